"""Tasks in turn on the host: replays of their own, the switch, and a run that is killed."""

import json
import os
import signal
import subprocess
import sys
import time
from importlib.util import find_spec

import numpy as np
import pytest
from replays import fill, layout_of

from tolman.agents.agent import DataSpec
from tolman.launchers.runs.turns import lengths_of

KINDS = ("memory", "reverb") if find_spec("reverb") else ("memory",)
TASKS = ("conflict/catch", "conflict/dodge", "conflict/exchanged")
SMALL = f"""train ewc --launcher local --tasks {",".join(TASKS)} --steps-per-task 120
--core feedforward --num-envs 4 --agent.unroll-length 1 --agent.n-step 1
--agent.image-axes none --agent.torso-size 8 --agent.min-size 40 --agent.capacity 200
--agent.batch-size 8 --agent.samples-per-insert 1 --agent.num-fisher-batches 2
--agent.max-tasks 3 --eval-episodes 2 --log-interval 16 --checkpoint-interval 16""".split()


def rows_of(run):
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def anchors_of(checkpoint):
    """`[K]`, the sum of the Fisher of each task, and the updates and their sum."""
    with np.load(checkpoint / "state.npz") as file:
        names = json.loads(file["description"].tobytes())["leaves"]
        found = {name: file[f"arr_{index}"] for index, name in enumerate(names)}
    fishers = [v for k, v in found.items() if "terms" in k and "fisher" in k]
    sums = sum(leaf.reshape(len(leaf), -1).astype(float).sum(1) for leaf in fishers)
    return sums, found


def test_stretches_of_a_task_share_its_updates():
    """10 steps at 4 an update are 3 updates; 20 of a task that returns are 5."""
    lengths, totals = lengths_of([10, 10, 10], [0, 1, 0], [lambda n: -(-n // 4)] * 2)
    assert lengths == [3, 3, 2] and totals == [5, 3]


def test_examples_count_as_no_draws(open_replay):
    """The limiter has counted none of 64 draws from 10 items."""
    data = DataSpec(1, 5, replay="uniform", min_size=1, samples_per_insert=0.1)
    replay = open_replay(data, layout_of(5))
    fill(replay, np.ones(10))
    if not hasattr(replay, "limiter"):
        pytest.skip("this one keeps its examples in a table of their own")
    before = replay.limiter.num_drawn
    items = replay.examples(64)
    assert {len(column) for column in items.values()} == {64}
    assert len(np.unique(items["row"], axis=0)) == 10  # All of them are met.
    assert replay.limiter.num_drawn == before


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_three_tasks_in_turn(tolman, tmp_path, kind):
    run = tmp_path / "run"
    code, _, errors = tolman(*SMALL, "--replay", kind, "--run-dir", run)
    assert code == 0, errors
    rows = rows_of(run)
    assert {row["task/index"] for row in rows} == {0.0, 1.0, 2.0}
    for name in TASKS:
        assert all(-1 <= row[f"eval/{name}/episode_return"] <= 1 for row in rows)
    in_first = [row["loss/elastic"] for row in rows if row["task/index"] == 0]
    assert max(in_first[:-1]) == 0.0 and rows[-1]["loss/elastic"] > 0.0
    # Each begins with an epsilon of its own clock, and a replay of its own.
    begun = [next(row for row in rows if row["task/index"] == k) for k in (1, 2)]
    assert all(row["replay/num_items"] < 150 for row in begun)
    last = max(run.glob("checkpoints/*"), key=lambda path: int(path.name))
    sums, _ = anchors_of(last)
    assert (sums[:2] > 0).all() and sums[2] == 0
    assert sorted(path.name for path in (last / "replay").iterdir()) == ["0", "1", "2"]


@pytest.mark.slow
def test_a_run_that_is_killed_in_the_third_task_goes_on_there(tolman, tmp_path, extension):
    """With the anchors of the first two, to the bit."""
    run = tmp_path / "run"
    process = subprocess.Popen(
        [sys.executable, "-c", "from tolman.launchers.cli import main; main()",
         *SMALL, "--run-dir", str(run), "--loggers", "my_extension:Slow"],
        env={**os.environ, "SLOW_SECONDS": "0.5", "PYTHONPATH": str(extension)},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    deadline, metrics = time.monotonic() + 300, run / "metrics.jsonl"
    while not (
        metrics.exists() and sum(row["task/index"] == 2 for row in rows_of(run)) >= 2
    ):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    num_rows = len(rows_of(run))
    folders = [path for path in run.glob("checkpoints/*") if path.name.isdigit()]
    killed_at = max(folders, key=lambda path: int(path.name))
    _, before = anchors_of(killed_at)
    code, _, errors = tolman("resume", run)
    assert code == 0, errors
    rows = rows_of(run)
    assert len(rows) > num_rows - 2 and rows[-1]["task/index"] == 2
    resumed = [row for row in rows if row["env_steps"] > int(killed_at.name)]
    assert resumed and all(row["task/index"] == 2 for row in resumed)
    last = max(run.glob("checkpoints/*"), key=lambda path: int(path.name))
    sums, after = anchors_of(last)
    assert (sums[:2] > 0).all() and sums[2] == 0
    for name, leaf in before.items():
        if "terms" in name:
            np.testing.assert_array_equal(after[name], leaf, err_msg=name)
