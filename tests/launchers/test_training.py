"""Runs, whole: to the end, killed, interrupted, diverged, and resumed to the same bits."""

import json
import os
import random
import signal
import struct
import subprocess
import sys
import time

import numpy as np
import pytest
import yaml
from tensorboardX.proto.event_pb2 import Event

from tolman.launchers.runs.loop import Plan
from tolman.launchers.runs.training import make_plan
from tolman.launchers.settings.config import TrainConfig
from tolman.launchers.settings.files import load_config

TOTAL = 2000


def final_state(run):
    with np.load(run / "checkpoints" / str(TOTAL) / "state.npz") as file:
        names = json.loads(file["description"].tobytes())["leaves"]
        return {name: file[f"arr_{i}"].tobytes() for i, name in enumerate(names)}


def rows(run):
    """The rows of metrics.jsonl without the clock."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if not k.startswith("time/")} for line in lines]


def status(run):
    return json.loads((run / "status.json").read_text())


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    """The folder of a run that nothing disturbed."""
    from tolman.launchers.cli import main

    run = tmp_path_factory.mktemp("unbroken") / "run"
    flags = """--env two_step --core feedforward --env.num-trials 2 --num-env-steps 1991
    --agent.unroll-length 5 --agent.batch-size 2 --agent.torso flat
    --log-interval 40 --checkpoint-interval 80"""
    assert main(["train", "actor_critic", *flags.split(), "--run-dir", str(run)]) == 0
    return run


def test_run_folder_is_complete(unbroken):
    assert {path.name.split(".")[0] for path in unbroken.iterdir()} == {
        *("config", "versions", "metrics", "events", "checkpoints", "log", "status"),
        "lock",
    }
    assert status(unbroken)["state"] == "finished"
    assert status(unbroken)["env_steps"] == TOTAL  # 1991, rounded up to whole updates.
    steps = sorted(int(path.name) for path in (unbroken / "checkpoints").iterdir())
    assert steps == [1840, 1920, 2000]
    assert load_config(unbroken / "config.yaml").num_env_steps == 1991
    assert "finished at env_steps 2000" in (unbroken / "log.txt").read_text()
    assert json.loads((unbroken / "versions.json").read_text())["devices"] == "1 x cpu"


def test_rows_are_named_and_finite(unbroken):
    lines = rows(unbroken)
    assert [line["env_steps"] for line in lines] == list(range(40, TOTAL + 1, 40))
    for line in lines:
        assert {"train/episode_return", "loss/policy", "grad/global_norm"} <= line.keys()
        assert np.isfinite(list(line.values())).all()


def read_events(run):
    """All `(tag, step, value)` of the run's TensorBoard files, oldest file first."""
    found = []
    for path in sorted(run.glob("events.out.tfevents.*")):
        data, place = path.read_bytes(), 0
        while place < len(data):
            (length,) = struct.unpack_from("<Q", data, place)
            event = Event.FromString(data[place + 12 : place + 12 + length])
            found += [(v.tag, event.step, v.simple_value) for v in event.summary.value]
            place += length + 16
    return found


def test_tensorboard_holds_the_same_numbers(unbroken):
    events = {(tag, step): value for tag, step, value in read_events(unbroken)}
    for line in rows(unbroken):
        value = events["loss/policy", line["env_steps"]]
        assert value == pytest.approx(line["loss/policy"], rel=1e-6)


def test_same_seed_same_bits_and_other_seed_differs(unbroken, tolman, tiny, tmp_path):
    state = final_state(unbroken)
    for seed, same in (("0", True), ("1", False)):
        run = tmp_path / seed
        code, out, _ = tolman(
            *("train", "actor_critic", *tiny, "--seed", seed, "--run-dir", run)
        )
        assert (code, out) == (0, str(run))
        assert (final_state(run) == state) is same
        assert (rows(run) == rows(unbroken)) is same


def start(words, slow, extension):
    environment = {
        **os.environ,
        "SLOW_SECONDS": str(slow),
        "PYTHONPATH": str(extension),
        "COLUMNS": "200",
    }
    command = "import sys; from tolman.launchers.cli import main; sys.exit(main())"
    return subprocess.Popen(
        [sys.executable, "-c", command, *map(str, words)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def kill_in_the_middle(process, run, chance):
    """SIGKILL at a random moment after the run has written something new."""
    path = run / "metrics.jsonl"
    before = path.stat().st_size if path.exists() else 0
    deadline = time.monotonic() + 120
    while not (path.exists() and path.stat().st_size > before):
        assert process.poll() is None and time.monotonic() < deadline, process.stdout.read()
        time.sleep(0.01)
    time.sleep(chance.uniform(0, 0.5))
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert status(run)["state"] == "running"


def test_killed_runs_resume_to_the_same_bits(unbroken, tolman, tiny, tmp_path, extension):
    run, chance = tmp_path / "run", random.Random()
    own_logger = ["--loggers", "my_extension:Slow"]
    words = ["train", "actor_critic", *tiny, "--run-dir", run, *own_logger]
    kill_in_the_middle(start(words, 0.03, extension), run, chance)
    kill_in_the_middle(start(["resume", run], 0.03, extension), run, chance)
    code, _, errors = tolman("resume", run)
    assert code == 0, errors
    assert final_state(run) == final_state(unbroken)
    assert rows(run) == rows(unbroken)
    assert status(run)["state"] == "finished"


REPLAY = """--env cartpole --core feedforward --num-env-steps 1200 --num-envs 4
--agent.torso-size 8 --agent.batch-size 8 --agent.min-size 100 --agent.capacity 300
--log-interval 8 --checkpoint-interval 16""".split()


def replay_run(run):
    """The leaves and metrics at its end."""
    (last,) = sorted(run.glob("checkpoints/*"), key=lambda path: int(path.name))[-1:]
    with np.load(last / "state.npz") as file:
        names = json.loads(file["description"].tobytes())["leaves"]
        leaves = {name: file[f"arr_{i}"].tobytes() for i, name in enumerate(names)}
    return int(last.name), leaves, rows(run)


def test_a_killed_replay_resumes_to_the_same_bits(tolman, tmp_path, extension):
    """Also of what it held; where checkpoints leave it out, it fills anew."""
    whole, run = tmp_path / "whole", tmp_path / "run"
    assert tolman("train", "dqn", *REPLAY, "--run-dir", whole)[0] == 0
    chance, slow = random.Random(), ["--loggers", "my_extension:Slow"]
    words = ["train", "dqn", *REPLAY, "--run-dir", run, *slow]
    kill_in_the_middle(start(words, 0.02, extension), run, chance)
    code, _, errors = tolman("resume", run)
    assert code == 0, errors
    units, leaves, metrics = replay_run(whole)
    assert replay_run(run) == (units, leaves, metrics)
    held = [leaf for name, leaf in leaves.items() if name.startswith(".replay.ring")]
    assert sum(map(len, held)) > 300 * 4 * (4 + 3)  # Bytes of observations and the rest.
    assert units >= 1200 and units % 4 == 0
    assert {"replay/num_items", "time/param_lag"} & metrics[-1].keys() == {
        "replay/num_items"
    }

    small = tmp_path / "small"
    words = ["train", "dqn", *REPLAY, "--run-dir", small, "--no-save-replay", *slow]
    kill_in_the_middle(start(words, 0.02, extension), small, chance)
    code, _, errors = tolman("resume", small)
    assert code == 0, errors
    assert (
        "an empty replay: learning waits until it has its minimum."
        in (small / "log.txt").read_text()
    )
    later, leaves, _ = replay_run(small)
    assert later >= units
    assert not any(name.startswith(".replay.ring") for name in leaves)


@pytest.mark.parametrize("name, code", [("SIGINT", 130), ("SIGTERM", 143)])
def test_signal_saves_and_says_how_to_resume(
    name, code, unbroken, tolman, tiny, tmp_path, extension, monkeypatch
):
    run = tmp_path / "run"
    monkeypatch.setenv("SIGNAL", name)
    monkeypatch.setenv("SIGNAL_AT", "1000")
    words = ["train", "actor_critic", *tiny, "--run-dir", run]
    got, _, errors = tolman(*words, "--loggers", "my_extension:Signalling")
    assert got == code
    assert errors[-1] == (
        "tolman: error: stopped at env_steps 1000, checkpoint saved. "
        f"Go on with: tolman resume {run}"
    )
    assert status(run)["state"] == "interrupted"
    monkeypatch.setenv("SIGNAL_AT", "-1")
    # A torn line and a broken last checkpoint cost nothing but the way back.
    with (run / "metrics.jsonl").open("a") as file:
        file.write('{"env_steps": 104')
    broken = run / "checkpoints" / "1000" / "state.npz"
    broken.write_bytes(broken.read_bytes()[:-100])
    got, _, errors = tolman("resume", run)
    assert got == 0
    assert sum("broken checkpoint, not used" in line for line in errors) == 1
    assert final_state(run) == final_state(unbroken)
    assert rows(run) == rows(unbroken)
    steps = [step for tag, step, _ in read_events(run) if tag == "loss/policy"]
    assert set(steps) == set(range(40, TOTAL + 1, 40))


def test_divergence_names_the_term_and_keeps_the_last_good_checkpoint(
    tolman, tiny, tmp_path, extension
):
    run = tmp_path / "run"
    words = ["train", "my_extension:Faulty", *tiny, "--run-dir", run]
    own = """--core my_extension:MyCore --core.units 4 --env my_extension:make_env
    --agent.learning-rate 0.5"""
    code, _, errors = tolman(*words, *own.split())
    assert code == 1
    # After 100 of 200 updates progress is 0.5: the next update is the first bad one.
    assert errors[-1] == (
        "tolman: error: loss/value is nan at env_steps 1010 (update 101); the last good "
        f"checkpoint is {run / 'checkpoints' / '960'}. "
        "Try a lower --agent.learning-rate (it is 0.5)."
    )
    assert status(run)["state"] == "failed"
    assert "loss/value is nan" in status(run)["reason"]
    assert rows(run)[-1]["env_steps"] == 1000
    config = yaml.safe_load((run / "config.yaml").read_text())
    assert (config["core"], config["core.units"]) == ("my_extension:MyCore", 4)


def test_parameters_that_are_not_finite_are_never_saved(tolman, tiny, tmp_path):
    run = tmp_path / "run"
    words = ["train", "actor_critic", *tiny, "--run-dir", run]
    code, _, errors = tolman(*words, "--agent.learning-rate", "1e38")
    assert code == 1
    assert "Try a lower --agent.learning-rate (it is 1e+38)" in errors[-1]
    assert "there is no checkpoint yet" in errors[-1]


def test_existing_folder(unbroken, tolman, tiny):
    before = {path: path.read_bytes() for path in unbroken.rglob("*") if path.is_file()}
    words = [
        "train",
        "actor_critic",
        *tiny,
        "--num-env-steps",
        "1991",
        "--run-dir",
        unbroken,
    ]
    code, _, (error,) = tolman(*words)
    assert (code, error) == (
        2,
        f"tolman: error: {unbroken}: holds a run already. Say --if-exists resume or new, "
        "or choose another --run-dir.",
    )
    code, _, (error,) = tolman(*words, "--if-exists", "resume", "--seed", "1")
    assert code == 2
    assert "its run has seed=0, not 1. Set --seed back to resume it" in error
    assert {path: path.read_bytes() for path in before} == before
    assert len(list(unbroken.parent.iterdir())) == 1

    code, out, _ = tolman(*words, "--if-exists", "new", "--num-env-steps", "10")
    assert (code, out) == (0, f"{unbroken}-2")
    code, out, _ = tolman(*words, "--if-exists", "resume")
    assert (code, out) == (0, str(unbroken))
    assert rows(unbroken)[-1]["env_steps"] == TOTAL


def test_folder_of_something_else_is_left_alone(tolman, tiny, tmp_path):
    (tmp_path / "precious").write_text("data")
    words = ["train", "actor_critic", *tiny, "--run-dir", tmp_path, "--if-exists", "resume"]
    code, _, (error,) = tolman(*words)
    assert code == 2
    assert "exists and holds no run" in error
    assert [path.name for path in tmp_path.iterdir()] == ["precious"]


def test_a_restart_that_cannot_be_made_is_warned_of(unbroken, tolman, tiny, tmp_path):
    words = ["train", "actor_critic", *tiny, "--on-env-error", "restart"]
    code, _, errors = tolman(*words, "--run-dir", tmp_path / "run")
    warning = "env 'two_step' are stepped as one, and none can be restarted"
    assert code == 0 and sum(warning in line for line in errors) == 1
    assert warning not in (unbroken / "log.txt").read_text()


def test_locked_run_cannot_be_resumed_twice(unbroken, tolman):
    from tolman.launchers.runs.folder import hold

    with hold(unbroken):
        code, _, (error,) = tolman("resume", unbroken)
    assert code == 2
    assert error.endswith("another process is training this run.")


def test_eval_plays_episodes_of_a_checkpoint(unbroken, tolman):
    code, out, _ = tolman("eval", unbroken, "--num-episodes", "50", "--checkpoint", "1920")
    assert code == 0
    words = out.split()
    assert 0.0 <= float(words[1]) <= 2.0  # Two trials of two steps pay 0 or 1 each.
    assert 0.0 < float(words[3]) < 0.2
    assert (
        "(standard error of 50 episodes)  eval/episode_length 4  at env_steps 1920" in out
    )


def test_eval_of_what_is_not_there(unbroken, tolman):
    code, _, (error,) = tolman("eval", unbroken, "--num-episodes", "1")
    assert (code, error) == (
        2,
        "tolman: error: num_episodes=1: must be in [2, 1000000]. Set --num-episodes.",
    )
    code, _, (error,) = tolman("eval", unbroken, "--checkpoint", "7")
    assert code == 2
    assert "no checkpoint 7; there are [1840, 1920, 2000]" in error


def test_plan_rounds_up_to_whole_updates_and_rows():
    config = TrainConfig(
        "a", "e", num_env_steps=1001, log_interval=25, checkpoint_interval=70
    )
    plan = make_plan(config, 101, 10)
    assert (plan.total, plan.row, plan.checkpoint) == (101, 3, 9)
    plan = make_plan(TrainConfig("a", "e", num_env_steps=10**6), 10**5, 10)
    assert (plan.total, plan.row, plan.checkpoint) == (100_000, 100, None)
    assert make_plan(TrainConfig("a", "e", num_env_steps=1), 1, 10).row == 1


def test_rows_stand_at_the_same_updates_wherever_a_run_goes_on():
    plan = Plan(total=10, num_units=10, row=3)
    assert [plan.next_row(done) for done in (0, 3, 4, 5, 9)] == [3, 6, 6, 6, 10]
    plan = Plan(total=120, num_units=120)  # 50 rows, at every 2.4 updates.
    assert [plan.next_row(done) for done in (0, 1, 3, 5, 119)] == [3, 3, 5, 8, 120]
    assert [plan.next_row(done, (4, 7)) for done in (3, 4, 5, 7)] == [4, 5, 7, 8]
