"""Tasks in turn from the command line: named, trained, killed and evaluated."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from types import SimpleNamespace
from typing import Any, NamedTuple

import jax
import numpy as np
import pytest

from tolman.launchers.evaluation import evaluate
from tolman.launchers.evaluation.episodes import Episodes
from tolman.launchers.runs.job import resolve
from tolman.launchers.settings.commands import parse_resume, parse_train
from tolman.launchers.settings.files import make_config, save_config
from tolman.launchers.settings.flags import spread

TASKS = "conflict/catch,conflict/dodge,conflict/catch"
WORDS = f"ewc --preset small --tasks {TASKS} --steps-per-task 100".split()


@pytest.mark.parametrize("words", ["--tasks a,b --x 1 c", "--tasks=a,b --x 1 c"])
def test_values_are_spread_as_words(words):
    assert spread(words.split(), "--tasks") == ["--tasks", "a", "b", "--x", "1", "c"]
    assert spread(["--tasks", "a,", "b", "--y=1,2", "c,d"], "--tasks") == [
        *("--tasks", "a", "b", "--y=1,2", "c,d")
    ]
    assert spread("--tasks a , b".split(), "--tasks") == ["--tasks", "a", "b"]


@pytest.mark.parametrize("said", ["a,,b", "a,", ",a", "a, ,b"])
def test_an_empty_name_is_told(said):
    for words in (["--tasks", *said.split()], [f"--tasks={said}"]):
        with pytest.raises(ValueError, match=rf"^tasks={said}: .* one of them is empty"):
            spread([*words, "--x", "1"], "--tasks")
    for words in (["--tasks"], ["--tasks="], ["--tasks", ","], ["--tasks", "--x"]):
        with pytest.raises(ValueError, match=r"^flag --tasks: must be followed by a value"):
            spread(words, "--tasks")


@pytest.mark.parametrize(
    "words", [WORDS, [word.replace(",", " ") for word in WORDS], [*WORDS, "--seed", "0"]]
)
def test_the_first_task_is_the_environment_and_all_are_resolved(words):
    words = [part for word in words for part in word.split()]
    job = resolve(parse_train(words))
    assert job.config.tasks == tuple(TASKS.split(","))
    assert job.config.env == "conflict/catch" and job.config.num_env_steps == 300
    assert list(job.tasks) == ["conflict/catch", "conflict/dodge"]
    assert job.tasks["conflict/catch"] is job.source
    assert job.runner == "on-device/acts-in-turn"
    # As a run's file has it, resolved.
    assert resolve(job.config).config == job.config


def test_from_python():
    config = make_config(
        {"agent": "ewc", "tasks": TASKS.split(","), "steps_per_task": 5, "preset": "small"}
    )
    assert config.env == "conflict/catch" and resolve(config).config.num_env_steps == 15


def test_resume_takes_tasks_as_train_does(tmp_path):
    save_config(resolve(parse_train(WORDS)).config, tmp_path / "config.yaml")
    for said in ([TASKS], TASKS.replace(",", ", ").split(), TASKS.split(",")):
        assert parse_resume([str(tmp_path), "--tasks", *said]).changes == {}
    two = parse_resume([str(tmp_path), "--tasks", "conflict/catch,conflict/dodge"])
    assert two.changes == {"tasks": ["conflict/catch", "conflict/dodge"]}


def test_a_file_has_tasks_as_a_list(tolman, tmp_path):
    (tmp_path / "run.yaml").write_text("tasks: conflict/catch,two_step\nsteps_per_task: 5")
    code, _, errors = tolman("train", "ewc", "--config", "run.yaml")
    told = "tasks='conflict/catch,two_step': must be a list. Write [conflict/catch, two_"
    assert code == 2 and told in errors[-1], errors


def test_settings_are_those_of_all_tasks():
    tasks = ["cartpole", "tolman.envs.classic.cartpole:CartPole"]
    flat = {"agent": "ewc", "tasks": tasks, "steps_per_task": 5}
    found = resolve(make_config({**flat, "env.max_num_steps": 7})).tasks
    assert [one.environment().max_num_steps for one in found.values()] == [7, 7]


MISTAKES = [
    ("ewc --tasks conflict/catch,conflict/dodge", "steps_per_task is missing: set --steps"),
    ("ewc --env conflict/catch --steps-per-task 5", "steps_per_task=5: there are no tasks"),
    (
        f"ewc --env conflict/dodge --tasks {TASKS} --steps-per-task 5",
        "must be the first of",
    ),
    (f"ewc --tasks {TASKS} --steps-per-task 5 --num-env-steps 9", "must be 15, 3 tasks of"),
    (f"ewc --tasks {TASKS} --steps-per-task 0", "steps_per_task=0: must be at least 1"),
    (
        f"ewc --tasks {TASKS} --steps-per-task 5 --eval-every 5",
        "are evaluated for every row",
    ),
    ("ewc --tasks conflict/catch,conflict/cath --steps-per-task 5", "did you mean"),
    ("ewc --tasks conflict/catch,CartPole-v1 --steps-per-task 5", "lives on the host"),
    (
        "ewc --tasks cartpole,two_step --env.max-num-steps 7 --steps-per-task 5",
        "task 'two_step': takes other settings than 'cartpole'",
    ),
    ("alphazero --tasks tic_tac_toe --steps-per-task 5", "does not act in environments"),
    (
        "ewc --tasks conflict/catch,two_step --steps-per-task 5",
        "must have the same. Leave one of them out of --tasks.",
    ),
    (f"ewc --tasks {TASKS} --steps-per-task 5 --agent.max-tasks 1", "max_tasks=1: must be"),
    (
        f"ewc --tasks {TASKS} --steps-per-task 5 --max-tasks 3",
        "--max-tasks is unknown (did you mean '--agent.max-tasks'?)",
    ),
    (
        f"ewc --tasks {TASKS} --steps-per-task 5 --agent.strength -1",
        "strength=-1.0: must be",
    ),
]


@pytest.mark.parametrize(("words", "told"), MISTAKES)
def test_mistakes_are_told_in_one_line(tolman, words, told):
    code, _, errors = tolman("train", *words.split())
    assert code == 2 and told in errors[-1], errors


@pytest.mark.skipif(find_spec("ale_py") is None, reason="needs ale_py")
def test_games_of_different_actions_can_have_all_of_them(tolman):
    words = "train ewc --tasks ALE/Pong-v5,ALE/Breakout-v5 --steps-per-task 5".split()
    code, _, errors = tolman(*words)
    assert code == 2 and "environment 'ALE/Breakout-v5': action_spec is" in errors[-1]
    assert errors[-1].endswith("Set --env.full-action-set, which all of ALE's games have.")


class Restored(NamedTuple):
    job: Any
    agent: Any = None
    params: Any = None

    def for_task(self, task):
        return task


@dataclasses.dataclass
class Job:
    tasks: dict
    source: str = ""
    config: Any = dataclasses.field(default_factory=lambda: SimpleNamespace(env="a"))


def test_no_two_tasks_are_judged_by_the_same_chance(monkeypatch):
    """Else the error of their mean, which takes them for independent, is too small."""
    asked = {}

    def play(job, agent, params, key, num_episodes):
        asked[job.source] = params, tuple(np.asarray(key).tolist())
        returns = np.array([0.0, 2.0]) if job.source == "a" else np.array([4.0, 10.0])
        return Episodes(returns, np.array([3, 5]))

    monkeypatch.setattr(evaluate, "play_episodes_of", play)
    restored = Restored(Job({"one": "a", "two": "b"}))
    found = evaluate._returns(restored, jax.random.PRNGKey(0), 2)
    assert [asked[name][0] for name in "ab"] == [0, 1]
    assert asked["a"][1] != asked["b"][1]
    assert found["eval/episode_return"] == (1.0 + 7.0) / 2
    # Errors of 1 and 3, of two returns each.
    wanted = (1.0**2 + 3.0**2) ** 0.5 / 2
    assert found["eval/episode_return_standard_error"] == pytest.approx(wanted)


SMALL = f"""train ewc --tasks {TASKS} --steps-per-task 120 --core feedforward --num-envs 4
--agent.unroll-length 1 --agent.n-step 1 --agent.image-axes none --agent.torso-size 8
--agent.min-size 40 --agent.capacity 200 --agent.batch-size 8 --agent.samples-per-insert 1
--agent.num-fisher-batches 2 --agent.max-tasks 2 --eval-episodes 2 --log-interval 16
--checkpoint-interval 16""".split()


def at_end(run):
    (last,) = sorted(run.glob("checkpoints/*"), key=lambda path: int(path.name))[-1:]
    with np.load(last / "state.npz") as file:
        names = json.loads(file["description"].tobytes())["leaves"]
        leaves = {name: file[f"arr_{i}"].tobytes() for i, name in enumerate(names)}
    return last.name, leaves


def rows_of(run):
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if not k.startswith("time/")} for line in lines]


@pytest.mark.slow
def test_a_run_that_is_killed_in_the_second_task_goes_on_there(tolman, tmp_path, extension):
    """With the anchor of the first, to the bits of a run that nothing disturbed."""
    whole, run = tmp_path / "whole", tmp_path / "run"
    code, _, errors = tolman(*SMALL, "--run-dir", whole)
    assert code == 0, errors
    rows = rows_of(whole)
    assert {row["task/index"] for row in rows} == {0.0, 1.0, 2.0}
    for name in ("conflict/catch", "conflict/dodge"):
        assert all(-1 <= row[f"eval/{name}/episode_return"] <= 1 for row in rows)
    held = [row["loss/elastic"] for row in rows]
    assert max(held[:4]) == 0.0 and held[-1] > 0.0

    process = subprocess.Popen(
        [sys.executable, "-c", "from tolman.launchers.cli import main; main()",
         *SMALL, "--run-dir", str(run), "--loggers", "my_extension:Slow"],
        env={**os.environ, "SLOW_SECONDS": "0.5", "PYTHONPATH": str(extension)},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    deadline = time.monotonic() + 300
    metrics = run / "metrics.jsonl"
    while not (metrics.exists() and any(row["task/index"] == 1 for row in rows_of(run))):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert all(row["task/index"] < 2 for row in rows_of(run))
    code, _, errors = tolman("resume", run)
    assert code == 0, errors
    assert at_end(run) == at_end(whole)
    assert rows_of(run) == rows

    code, _, errors = tolman("resume", run, "--steps-per-task", "240")
    assert code == 2 and "must keep it" in errors[-1], errors
    code, shown, errors = tolman("eval", run, "--num-episodes", "4")
    assert code == 0 and "eval/conflict/dodge/episode_return" in shown, (shown, errors)
