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

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("leftovers")]

TASKS = ("conflict/catch", "conflict/dodge")
WORDS = f"""train ewc --launcher ray --tasks {",".join((*TASKS, TASKS[0]))}
--steps-per-task 3000 --core feedforward --actors 1 --num-envs 4 --agent.unroll-length 1
--agent.n-step 1 --agent.image-axes none --agent.torso-size 8 --agent.min-size 40
--agent.capacity 500 --agent.batch-size 8 --agent.samples-per-insert 1
--agent.num-fisher-batches 2 --agent.max-tasks 3 --eval-episodes 2 --log-interval 200
--checkpoint-interval 200""".split()


def saved(run):
    """The env steps of the last checkpoint, its leaves by name, and the Fisher of tasks."""
    steps = run.checkpoints()[-1]
    with np.load(run.folder / "checkpoints" / str(steps) / "state.npz") as file:
        names = json.loads(file["description"].tobytes())["leaves"]
        leaves = {name: file[f"arr_{i}"] for i, name in enumerate(names)}
    fishers = [v for k, v in leaves.items() if "terms" in k and "fisher" in k]
    sums = sum(leaf.reshape(len(leaf), -1).astype(float).sum(1) for leaf in fishers)
    return steps, leaves, sums


def test_a_run_that_is_killed_in_the_second_task_goes_on_there(tmp_path, extension):
    """With the anchor of the first, to the bit; it returns to the first, and ends."""
    path = f"{extension}:{os.environ.get('PYTHONPATH', '')}"
    words = [*WORDS, "--run-dir", tmp_path, "--loggers", "my_extension:Slow"]
    os.environ["SLOW_SECONDS"] = "0.3"  # A row, so that it is still there to be killed.
    try:
        with Run(tmp_path, words, path) as run:
            wait_for(
                lambda: sum(row["task/index"] == 1 for row in run.rows()) >= 4,
                "second task",
                run.process,
            )
            os.kill(role_processes("LearnerRole")[0], signal.SIGKILL)
            run.wait_for_restart("learner", 1)
            run.wait_for_rows(2)
            assert run.rows()[-1]["task/index"] == 1
    finally:
        del os.environ["SLOW_SECONDS"]
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
    # All are played where a task ends, which is in the midst of a row of 25 updates.
    begun = [b for a, b in pairwise(rows) if a["task/index"] < b["task/index"]]
    assert len(begun) == 2
    for row in (*begun, rows[-1]):
        assert all(-1 <= row[f"eval/{name}/episode_return"] <= 1 for name in TASKS)
    found = evaluate(str(tmp_path), num_episodes=2, trust=True)
    assert all(f"eval/{name}/episode_return" in found for name in TASKS)
