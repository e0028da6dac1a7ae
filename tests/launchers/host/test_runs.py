"""Runs on the host, whole: trained, evaluated, killed and broken by their users."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from tolman.launchers.host.saved_replay import seal
from tolman.launchers.runs.folder import RunFolder

COMMAND = "import sys; from tolman.launchers.cli import main; sys.exit(main())"
ACTOR_CRITIC = (
    "train actor_critic --env CartPole-v1 --core feedforward --num-envs 4 "
    "--agent.off-policy-correction vtrace --agent.batch-size 8 --agent.unroll-length 10"
).split()
DQN = (
    "train dqn --env CartPole-v1 --core feedforward --num-envs 4 --agent.batch-size 8 "
    "--agent.min-size 100 --agent.samples-per-insert 2 --checkpoint-interval 200"
).split()


def rows(run):
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def test_train_and_evaluate(tolman, tmp_path, kind):
    run = tmp_path / "run"
    words = [*ACTOR_CRITIC, "--num-env-steps", 2000, "--run-dir", run]
    words += ["--replay", kind] if kind != "memory" else []  # The default.
    code, out, errors = tolman(*words)
    assert (code, out) == (0, str(run)), errors
    config = (run / "config.yaml").read_text()
    assert "launcher: local" in config and "num_envs: 4" in config
    assert f"replay: {kind}\n" in config
    assert RunFolder(run).status()["env_steps"] == 2000
    assert rows(run)[-1]["time/param_lag"] == 1.0
    code, out, _ = tolman("eval", run, "--num-episodes", 6)
    assert code == 0 and out.startswith("eval/episode_return ") and "env_steps 2000" in out
    assert tolman("resume", run)[0] == 0  # There is nothing left to do.


def test_killed_runs_go_on_with_their_replay(tolman, tmp_path):
    """SIGKILL in the middle: env steps go on from the checkpoint, the replay is full."""
    run = tmp_path / "run"
    words = [*DQN, "--num-env-steps", "1000000", "--run-dir", str(run)]
    process = subprocess.Popen(
        [sys.executable, "-c", COMMAND, *words],
        env={**os.environ, "COLUMNS": "200"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 300
    while not (run / "checkpoints" / "never").exists() and time.monotonic() < deadline:
        steps = checkpoints_of(run)
        if steps and steps[-1] >= 800 and not list(run.glob("checkpoints/*.unfinished")):
            break
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()

    saved = checkpoints_of(run)[-1]
    target = saved + 600
    longer(run, 1000000, target)
    code, _, errors = tolman("resume", run)
    assert code == 0, errors
    assert f"resuming at env_steps {saved}" in (run / "log.txt").read_text()
    lines = rows(run)
    steps = [line["env_steps"] for line in lines]
    assert steps == sorted(steps)  # Counted once.
    first = next(line for line in lines if line["env_steps"] > saved)
    # One item a decision: what the checkpoint held is there at once.
    assert first["replay/num_items"] >= 0.9 * saved
    assert abs(steps[-1] - target) < 200


def longer(run, before, after):
    """Has the run go on to another number of env steps."""
    config = run / "config.yaml"
    text = config.read_text()
    assert f"num_env_steps: {before}" in text
    config.write_text(text.replace(f"num_env_steps: {before}", f"num_env_steps: {after}"))


def checkpoints_of(run):
    return sorted(int(p.name) for p in run.glob("checkpoints/*") if p.name.isdigit())


def test_a_kill_while_the_only_checkpoint_is_replaced(tolman, tmp_path, monkeypatch, kind):
    """What a run leaves on the disk at that moment goes on with its replay."""
    run, left = tmp_path / "run", []

    def seal_and_look(folder):
        seal(folder)
        left.append(shutil.copytree(run, tmp_path / f"killed{len(left)}"))

    where = "memory.replay" if kind == "memory" else "reverb.server"
    monkeypatch.setattr(f"tolman.launchers.host.{where}.seal", seal_and_look)
    words = [
        "--replay",
        kind,
        "--num-checkpoints-to-keep",
        1,
        "--num-env-steps",
        500,
        "--run-dir",
        run,
    ]
    code, _, errors = tolman(*DQN, *words)
    assert code == 0, errors
    assert len(checkpoints_of(run)) == 1 and not list(run.glob("checkpoints/*.unfinished"))
    monkeypatch.undo()
    killed = left[1]
    (saved,) = checkpoints_of(killed)
    assert len(list(killed.glob("checkpoints/*.unfinished/replay/0"))) == 1
    code, _, errors = tolman("resume", killed)
    assert code == 0, errors
    first = next(line for line in rows(killed) if line["env_steps"] > saved)
    assert first["replay/num_items"] >= 0.9 * saved
    assert [p.name for p in (killed / "checkpoints").iterdir()] == [
        str(step) for step in checkpoints_of(killed)
    ]


def test_a_broken_replay_costs_its_checkpoint_and_a_missing_one_is_asked_for(
    tolman, tmp_path, kind
):
    run, words = tmp_path / "run", ["--replay", kind, "--num-env-steps", 500]
    code, _, errors = tolman(*DQN, *words, "--run-dir", run)
    assert code == 0, errors
    *_, before, last = checkpoints_of(run)
    name = "rows.npy" if kind == "memory" else "chunks.tfrecord"
    path = run / "checkpoints" / str(last) / "replay" / "0" / name
    path.write_bytes(path.read_bytes()[:-3])
    code, _, errors = tolman("resume", run)
    assert code == 0, errors
    assert any(f"{last}: checkpoint not used (" in line for line in errors)
    assert f"resuming at env_steps {before}" in (run / "log.txt").read_text()
    first = next(line for line in rows(run) if line["env_steps"] > before)
    assert first["replay/num_items"] >= 0.9 * before

    for folder in run.glob("checkpoints/*/replay"):
        shutil.rmtree(folder)
    longer(run, 500, 1000)
    code, _, errors = tolman("resume", run)
    assert code == 2 and "no such replay" in errors[-1] and "--empty-replay" in errors[-1]
    saved = checkpoints_of(run)[-1]
    code, _, errors = tolman("resume", run, "--empty-replay")
    assert code == 0, errors
    first = next(line for line in rows(run) if line["env_steps"] > saved)
    assert first["replay/num_items"] < 0.9 * saved


@pytest.mark.parametrize(
    "change, said",
    [
        (["--env-processes", "5"], "env_processes=5: must be at most num_envs=4."),
        (["--env-processes", "2", "--env", "ALE/Pong-v5"], "copies as one by itself"),
        (
            ["--env-processes", "2", "--env", "two_step", "--launcher", "local"],
            "env_processes=2: env 'two_step' is pure JAX",
        ),
        (["--num-envs", "3"], "num_envs=3: must divide the batch of 8 sequences"),
        (
            ["--launcher", "ray", "--replay", "memory"],
            "launcher 'ray' needs one that other",
        ),
    ],
)
def test_a_mistake_is_one_line_and_leaves_no_folder(change, said, tolman, tmp_path):
    code, _, errors = tolman(*ACTOR_CRITIC, *change, "--run-dir", tmp_path / "run")
    assert code == 2 and said in errors[-1]
    assert not (tmp_path / "run").exists()


def test_a_replay_that_does_not_fit_is_one_line_and_leaves_no_folder(
    tolman, tmp_path, monkeypatch
):
    where = "tolman.launchers.host.memory.size.memory_of_machine"
    monkeypatch.setattr(where, lambda: 1_000_000)
    code, _, errors = tolman(*DQN, "--run-dir", tmp_path / "run")
    assert code == 2 and "capacity=100000: a replay of so many sequences" in errors[-1]
    assert " bytes, must be at most 900,000, 0.9 of" in errors[-1]
    assert not (tmp_path / "run").exists()


def test_processes_change_nothing_but_the_time(tolman, tmp_path):
    """On a queue a run repeats, in one process and with two for its environments."""
    told = []
    for number in (0, 2):
        run = tmp_path / str(number)
        words = ["--num-env-steps", 400, "--env-processes", number, "--run-dir", run]
        code, _, errors = tolman(*ACTOR_CRITIC, *words)
        assert code == 0, errors
        assert f"env_processes: {number}\n" in (run / "config.yaml").read_text()
        keys = ("loss/policy", "loss/value", "grad/global_norm")
        told.append([[row[key] for key in keys] for row in rows(run)])
    np.testing.assert_array_equal(*told)
    assert tolman("eval", run, "--num-episodes", 2)[0] == 0


def test_nothing_of_reverb_is_imported_for_memory(tmp_path):
    words = [*DQN, "--num-env-steps", "300", "--run-dir", str(tmp_path / "run")]
    told = "import sys; from tolman.launchers.cli import main; main(); print("
    told += "{'reverb', 'tensorflow', 'acme', 'ray'} & {*sys.modules})"
    ran = subprocess.run(
        [sys.executable, "-c", told, *words], capture_output=True, text=True, timeout=300
    )
    assert ran.stdout.splitlines()[-1] == "set()", ran.stderr


USER_ENV = '''
import dm_env
import numpy as np
from dm_env import specs


class Env(dm_env.Environment):
    """Ends an episode after ten steps; breaks its own rules at step 37."""

    def __init__(self, fault: str = "none"):
        self.fault, self.steps = fault, 0

    def reset(self):
        self.time = 0
        return dm_env.restart(np.zeros(3, np.float32))

    def step(self, action):
        self.steps += 1
        self.time += 1
        observation = np.zeros(3, np.float32)
        if self.steps == 37 and self.fault == "raise":
            raise RuntimeError("no power")
        if self.steps == 37 and self.fault == "nan":
            observation[1] = np.nan
        if self.time == 10:
            return dm_env.termination(1.0, observation)
        return dm_env.transition(0.0, observation)

    def observation_spec(self):
        return specs.Array((3,), np.float32, "observation")

    def action_spec(self):
        return specs.DiscreteArray(2)
'''


@pytest.mark.parametrize("fault, said", [("raise", "no power"), ("nan", "nan")])
def test_a_fault_of_an_environment_is_one_line_or_a_restart(
    fault, said, tolman, tmp_path, monkeypatch
):
    (tmp_path / f"user_{fault}.py").write_text(USER_ENV)
    monkeypatch.syspath_prepend(str(tmp_path))
    words = [*ACTOR_CRITIC, "--num-env-steps", 800, "--env.fault", fault]
    words[words.index("CartPole-v1")] = f"user_{fault}:Env"
    code, _, errors = tolman(*words, "--run-dir", tmp_path / "fail")
    assert code == 1
    assert errors[-1].startswith(f"tolman: error: env 'user_{fault}:Env', copy ")
    assert said in errors[-1]
    assert "step 40" in errors[-1]  # 37 of its own, and three that started anew.
    status = RunFolder(tmp_path / "fail").status()
    assert status["state"] == "failed"
    # What was acted in whole batches is learned from, and not lost.
    assert status["env_steps"] == 80
    assert any("saved at env_steps 80. " in line for line in errors)
    code, _, errors = tolman(
        *words, "--run-dir", tmp_path / "restart", "--on-env-error", "restart"
    )
    assert code == 0
    assert sum("warning" in line and said in line for line in errors) >= 1
    assert RunFolder(tmp_path / "restart").status()["env_steps"] == 800
