"""Labels of tasks in turn: inferred from the screens, given, or one for all."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from dm_env import specs

from tolman.agents.ewc.forget_me_not import ForgetMeNotConfig
from tolman.envs.environment import TimeStep
from tolman.launchers.host.recognition import Watch

TASKS = ("screen_games:Dark", "screen_games:Grey", "screen_games:Light")
ORDER = (*TASKS, TASKS[0])
SMALL = """train ewc --launcher local --core feedforward --num-envs 2 --seed 1
--agent.unroll-length 1 --agent.n-step 1 --agent.image-axes none --agent.torso-size 8
--agent.min-size 40 --agent.capacity 300 --agent.batch-size 8 --agent.samples-per-insert 1
--agent.num-fisher-batches 2 --agent.max-tasks 4 --eval-episodes 2 --log-interval 32
--steps-per-task 200 --checkpoint-interval 32""".split()


def rows_of(run):
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def leaves_of(run):
    whole = (path for path in run.glob("checkpoints/*") if path.name.isdigit())
    last = max(whole, key=lambda path: int(path.name))
    with np.load(last / "state.npz") as file:
        names = json.loads(file["description"].tobytes())["leaves"]
        return last, {name: file[f"arr_{index}"] for index, name in enumerate(names)}


def row_of(screen):
    nothing = np.zeros(1)
    return TimeStep(nothing, nothing, nothing, np.array(screen)[None], nothing)


def test_a_watch_labels_windows_and_counts_them_by_task():
    spec = specs.Array((2, 2, 1), np.uint8)
    config = ForgetMeNotConfig(window=2, max_contexts=3)
    watch = Watch(config, spec, 2)
    assert watch.label == 0 and watch.labels(watch.met).tolist() == [0, 0]
    watch.begin(0)
    for _ in range(5):
        watch.see(row_of(np.zeros((2, 2, 1), np.uint8)))
    assert watch.met.tolist() == [[2, 0, 0], [0, 0, 0]]
    assert watch.labels(watch.met).tolist() == [0, 1]  # That of the other will be 1.
    watch.begin(1)  # The fifth screen is in no window.
    for _ in range(6):
        watch.see(row_of(np.full((2, 2, 1), 255, np.uint8)))
    # The hold-out wins the first window, but must win twice.
    assert watch.met.tolist() == [[2, 0, 0], [1, 2, 0]]
    assert watch.label == 1 and watch.known.num_contexts == 2
    other = Watch(config, spec, 2)
    other.restore(watch.known._replace(label=np.int64(1)), watch.met)
    assert other.label == 1 and other.labels(other.met).tolist() == [0, 1]


def test_a_task_not_met_has_the_last_label_where_no_more_can_be_opened():
    watch = Watch(ForgetMeNotConfig(max_contexts=2), specs.Array((2, 2, 1), np.uint8), 3)
    watch.known = watch.known._replace(num_contexts=2)
    assert watch.labels(np.array([[0, 4], [3, 1], [0, 0]])).tolist() == [1, 0, 1]


def test_the_newest_frame_of_the_first_environment_is_watched():
    watch = Watch(ForgetMeNotConfig(window=1), specs.Array((2, 2, 2), np.uint8), 1)
    screens = np.zeros((2, 2, 2, 2), np.uint8)
    screens[0, ..., 1] = 255
    watch.see(row_of(0)._replace(observation=screens))
    assert watch.known.counts[0, :, 15].tolist() == [1.0]


@pytest.mark.parametrize(
    "spec",
    [specs.Array((8,), np.uint8), specs.Array((8, 8, 1), np.float32), {"a": 1}],
)
def test_what_is_no_screen_is_told(spec):
    with pytest.raises(ValueError, match="labels='inferred': takes screens, uint8"):
        Watch(ForgetMeNotConfig(), spec, 2)


@pytest.mark.parametrize("sides", [(8, 7), (7, 8)])
def test_sides_that_cannot_be_halved_are_told(sides):
    told = rf"^labels='inferred': takes screens whose sides 2 divides, got {sides[0]} x"
    with pytest.raises(ValueError, match=told):
        Watch(ForgetMeNotConfig(), specs.Array((*sides, 1), np.uint8), 2)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("--tasks conflict/catch,conflict/dodge --labels inferred", "takes screens, uint8"),
        (f"--tasks {','.join(TASKS)} --labels no", "labels"),
        (
            "--tasks conflict/catch,conflict/dodge --labels none --launcher on-device",
            "labels=none: launcher 'on-device' has no such setting",
        ),
    ],
)
def test_mistakes_are_told_in_one_line(tolman, games, words, told):
    code, _, errors = tolman(*SMALL, *words.split())
    assert code == 2 and told in errors[-1], errors


def test_labels_without_tasks_are_told(tolman):
    code, _, errors = tolman("train", "dqn", "--env", "two_step", "--launcher", "local",
                             "--labels", "none")  # fmt: skip
    assert code == 2 and "labels='none': there are no tasks" in errors[-1], errors


def test_an_agent_without_room_for_tasks_is_told(tolman, games):
    words = f"train dqn --launcher local --tasks {','.join(TASKS)} --steps-per-task 5"
    code, _, errors = tolman(*words.split(), "--labels", "inferred")
    assert code == 2 and "agent 'dqn' has no room for tasks" in errors[-1], errors


def test_labels_are_inferred(tolman, tmp_path, games):
    """Three games, one of which returns: three labels, replays, clocks and anchors."""
    run = tmp_path / "run"
    words = ["--tasks", ",".join(ORDER), "--labels", "inferred", "--run-dir", run]
    code, _, errors = tolman(*SMALL, *words)
    assert code == 0, errors
    rows = rows_of(run)
    assert [row["task/index"] for row in rows][-1] == 3.0
    last, leaves = leaves_of(run)
    assert leaves[".labels"].tolist() == [0, 1, 2]
    met = leaves[".met"]
    assert met.shape == (3, 4)
    # Only windows of before a task was known anew have the label of another.
    assert all(met[k, k] >= 0.8 * met[k].sum() for k in range(3)) and not met[:, 3].any()
    assert leaves[".label"] == 0 and leaves[".known.num_contexts"] == 3
    updates = [int(leaves[f".places[{k}]['updates']"]) for k in range(4)]
    assert updates[3] == 0 and updates[0] > updates[1] > 0
    fishers = [v for k, v in leaves.items() if "terms" in k and "fisher" in k]
    sums = sum(leaf.reshape(len(leaf), -1).astype(float).sum(1) for leaf in fishers)
    assert (sums[:3] > 0).all() and sums[3] == 0
    assert sorted(path.name for path in (last / "replay").iterdir()) == list("0123")
    code, shown, errors = tolman("eval", run, "--num-episodes", "2", "--trust")
    assert code == 0 and "eval/screen_games:Grey/episode_return" in shown, errors


@pytest.mark.slow
def test_a_run_that_is_killed_in_its_third_game_goes_on_there(
    tolman, tmp_path, games, extension
):
    """With the label, the recogniser and the anchors that it had, to the bit."""
    run, metrics = tmp_path / "run", tmp_path / "run" / "metrics.jsonl"
    path = os.pathsep.join(map(str, (extension, games)))
    words = ["--tasks", ",".join(ORDER[:3]), "--labels", "inferred", "--run-dir", run]
    process = subprocess.Popen(
        [sys.executable, "-c", "from tolman.launchers.cli import main; main()",
         *map(str, [*SMALL, *words]), "--loggers", "my_extension:Slow"],
        env={**os.environ, "SLOW_SECONDS": "0.5", "PYTHONPATH": path},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    deadline = time.monotonic() + 300
    while not (
        metrics.exists() and sum(row["task/label"] == 2 for row in rows_of(run)) >= 2
    ):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    killed_at, before = leaves_of(run)
    assert before[".label"] == 2 and before[".known.num_contexts"] == 3
    assert (before[".met"].argmax(1) == [0, 1, 2]).all()
    num_rows = len(rows_of(run))
    code, _, errors = tolman("resume", run)
    assert code == 0, errors
    rows = rows_of(run)
    assert len(rows) >= num_rows
    resumed = [row for row in rows if row["env_steps"] > int(killed_at.name)]
    assert resumed and all(row["task/index"] == row["task/label"] == 2 for row in resumed)
    _, after = leaves_of(run)
    for name, leaf in before.items():
        if "terms" in name or (name.startswith(".places[") and name[8] in "01"):
            np.testing.assert_array_equal(after[name], leaf, err_msg=name)
    counts = ".known.counts"
    np.testing.assert_array_equal(after[counts][:2], before[counts][:2])
    assert (after[counts][2] > before[counts][2]).any()
    assert after[".known.num_contexts"] == 3 and after[".met"][2, 2] > before[".met"][2, 2]
    assert (after[".met"][:2] == before[".met"][:2]).all()


def test_more_tasks_than_there_is_room_for_are_told(tolman, tmp_path, games):
    words = "--tasks screen_games:Dark,screen_games:Changing --labels inferred".split()
    words += ["--agent.max-tasks", 2, "--run-dir", tmp_path / "run"]
    code, _, errors = tolman(*SMALL, *words)
    assert code == 2 and "max_tasks=2: a further task was seen" in errors[-1], errors


def test_one_label_for_all(tolman, tmp_path, games):
    run = tmp_path / "run"
    words = ["--tasks", ",".join(ORDER), "--labels", "none", "--run-dir", run]
    code, _, errors = tolman(*SMALL, *words)
    assert code == 0, errors
    _, leaves = leaves_of(run)
    assert leaves[".labels"].tolist() == [0, 0, 0]
    rows = rows_of(run)
    assert max(row["loss/elastic"] for row in rows) == 0.0
    assert {row["task/label"] for row in rows} == {0.0}
    assert rows[-1]["task/index"] == 3.0
    # One replay, whose minimum was filled once: (800 - 40) / 8 updates.
    assert int(leaves[".updates"]) == 95
