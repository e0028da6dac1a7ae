"""Tasks in turn over Ray, to their end: killed in the second, with what dies on the way."""

import json
import os
import signal
from itertools import pairwise

import numpy as np
import pytest
from cluster_runs import Run, role_processes, wait_for

from tolman.launchers.evaluation.evaluate import evaluate
from tolman.launchers.host.saved_replay import check_replays
from tolman.launchers.report.continual import rand_index_of_counts

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("leftovers")]

TASKS = ("conflict/catch", "conflict/dodge")
SCREENS = ("screen_games:Dark", "screen_games:Grey")
WORDS = """train ewc --launcher ray
--steps-per-task 3000 --core feedforward --actors 1 --num-envs 4 --agent.unroll-length 1
--agent.n-step 1 --agent.image-axes none --agent.torso-size 8 --agent.min-size 40
--agent.capacity 500 --agent.batch-size 8 --agent.samples-per-insert 1
--agent.num-fisher-batches 2 --agent.max-tasks 3 --eval-episodes 2 --log-interval 200
--checkpoint-interval 200 --loggers my_extension:Slow""".split()


def words_of(tasks):
    """Those of a run of two tasks, the first of which returns."""
    return [*WORDS, "--tasks", ",".join((*tasks, tasks[0]))]


def saved(run):
    """The env steps of the last checkpoint, its leaves by name, and the Fisher of tasks."""
    steps = run.checkpoints()[-1]
    with np.load(run.folder / "checkpoints" / str(steps) / "state.npz") as file:
        names = json.loads(file["description"].tobytes())["leaves"]
        leaves = {name: file[f"arr_{i}"] for i, name in enumerate(names)}
    fishers = [v for k, v in leaves.items() if "terms" in k and "fisher" in k]
    sums = sum(leaf.reshape(len(leaf), -1).astype(float).sum(1) for leaf in fishers)
    return steps, leaves, sums


def test_a_run_that_is_killed_in_the_second_task_goes_on_there(
    tmp_path, extension, monkeypatch
):
    """With the anchor of the first, to the bit; it returns to the first, and ends."""
    path = f"{extension}:{os.environ.get('PYTHONPATH', '')}"
    monkeypatch.setenv("SLOW_SECONDS", "0.3")  # A row, so that it is there to be killed.
    with Run(tmp_path, [*words_of(TASKS), "--run-dir", tmp_path], path) as run:
        wait_for(
            lambda: sum(row["task/index"] == 1 for row in run.rows()) >= 4,
            "second task",
            run.process,
        )
        os.kill(role_processes("LearnerRole")[0], signal.SIGKILL)
        run.wait_for_restart("learner", 1)
        run.wait_for_rows(2)
        assert run.rows()[-1]["task/index"] == 1
    monkeypatch.delenv("SLOW_SECONDS")
    wait_for(lambda: not role_processes(), "end of all roles")
    killed_at, before, sums = saved(run)
    assert sums[0] > 0 and not sums[1:].any()
    check_replays(tmp_path / "checkpoints" / str(killed_at), 1)

    with Run(tmp_path, ["resume", tmp_path], path) as resumed:
        output, _ = resumed.process.communicate(timeout=300)
    assert resumed.process.returncode == 0, output
    rows = resumed.rows()
    after = [row for row in rows if row["env_steps"] > killed_at]
    assert after[0]["task/index"] == after[0]["task/label"] == 1
    assert (after[-1]["task/index"], after[-1]["task/label"]) == (2, 0)
    # The replay of the second task was there: no second wait for its minimum.
    assert sorted({row["env_steps"] for row in rows}) == [row["env_steps"] for row in rows]
    _, last, sums = saved(resumed)
    assert (sums[:2] > 0).all() and sums[2] == 0
    for name, leaf in before.items():  # Of the first; the second's came since.
        if "terms" in name:
            np.testing.assert_array_equal(last[name][0], leaf[0], err_msg=name)
    # Each label has its own clock. 3,000 steps of 40 before the first update: 370 updates,
    # and of the first task, which returns, (6000 - 40) / 8.
    updates = [int(last[f".places[{label}]['updates']"]) for label in (0, 1)]
    assert updates == [745, 370] and int(last[".updates"]) == sum(updates)
    # All are played where a task ends, and a row of 25 updates with it; and at the start.
    ended = [a for a, b in pairwise(rows) if a["task/index"] < b["task/index"]]
    assert len(ended) == 2
    assert {f"untrained/{name}/episode_return" for name in TASKS} <= rows[0].keys()
    for row in (*ended, rows[-1]):
        assert all(-1 <= row[f"eval/{name}/episode_return"] <= 1 for name in TASKS)
    found = evaluate(str(tmp_path), num_episodes=2, trust=True)
    assert all(f"eval/{name}/episode_return" in found for name in TASKS)


def test_labels_are_inferred_and_what_is_recognised_outlives_actor_and_driver(
    tmp_path, extension, games, monkeypatch
):
    """The watching actor is killed in the second task, and then the driver."""
    path = os.pathsep.join(map(str, (extension, games, os.environ.get("PYTHONPATH", ""))))
    words = [*words_of(SCREENS), "--labels", "inferred", "--run-dir", tmp_path]
    monkeypatch.setenv("SLOW_SECONDS", "0.3")
    with Run(tmp_path, words, path) as run:
        wait_for(
            lambda: sum(row["task/label"] == 1 for row in run.rows()) >= 3,
            "second label",
            run.process,
        )
        num_rows = len(run.rows())
        os.kill(role_processes("ActorRole")[0], signal.SIGKILL)
        run.wait_for_restart("actor", 1)
        run.wait_for_rows(4)
        # One that began anew would call this its first label, and open no other.
        rows = run.rows()[num_rows:]
        assert all(row["task/index"] == row["task/label"] == 1 for row in rows)
    monkeypatch.delenv("SLOW_SECONDS")
    wait_for(lambda: not role_processes(), "end of all roles")
    killed_at, before, sums = saved(run)
    assert before[".label"] == before[".known.label"] == 1 and sums[0] > 0
    assert before[".known.num_contexts"] == 2 and before[".labels"].tolist() == [0, 1]

    with Run(tmp_path, ["resume", tmp_path], path) as resumed:
        output, _ = resumed.process.communicate(timeout=300)
    assert resumed.process.returncode == 0, output
    after = [row for row in resumed.rows() if row["env_steps"] > killed_at]
    assert after[0]["task/index"] == after[0]["task/label"] == 1
    assert (after[-1]["task/index"], after[-1]["task/label"]) == (2, 0)
    _, last, sums = saved(resumed)
    assert (sums[:2] > 0).all() and sums[2] == 0
    assert last[".known.num_contexts"] == 2 and last[".labels"].tolist() == [0, 1]
    met = last[".met"]
    assert (met >= before[".met"]).all() and met.sum() > before[".met"].sum()
    assert last[".known.num_windows"] > before[".known.num_windows"]
    assert rand_index_of_counts(met) > 0.9
    assert after[-1]["task/agreement"] == pytest.approx(rand_index_of_counts(met))
    updates = [int(last[f".places[{label}]['updates']"]) for label in (0, 1, 2)]
    assert updates[0] > updates[1] > 0 and updates[2] == 0
    assert all(f"eval/{name}/episode_return" in after[-1] for name in SCREENS)
