"""Tasks in turn on the host: replays of their own, the switch, and a run that is killed."""

import json
import os
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from types import SimpleNamespace

import jax
import numpy as np
import pytest
from dm_env import specs
from replays import fill, layout_of
from toys import CountingTask, make_agent

from tolman.agents.agent import DataSpec
from tolman.agents.ewc.forget_me_not import ForgetMeNotConfig
from tolman.launchers.host import sequence
from tolman.launchers.host.recognition import Watch
from tolman.launchers.host.schedule import HostSequenceState, begin, make_schedule
from tolman.launchers.host.sequence import HostSequenceRunner
from tolman.launchers.runs.turns import combine, lengths_of

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


def test_pieces_of_a_row_are_weighted_by_their_updates():
    """Means over what was told; a loss that is not finite stays so."""
    nan = float("nan")
    found = combine([
        (1, {"task/label": [1.0], "train/episode_return": [nan], "loss/value": [nan]}),
        (3, {"task/label": [5.0], "train/episode_return": [2.0], "loss/value": [1.0]}),
    ])  # fmt: skip
    assert found["task/label"] == 4.0 and found["train/episode_return"] == 2.0
    assert np.isnan(found["loss/value"]).all()


STATE = HostSequenceState(
    "weights", np.int64(7), np.int64(28), ({"key": jax.random.PRNGKey(0)},) * 2,
    np.int64(0), np.array([1, 0]),
)  # fmt: skip


class Player:
    """An agent with a replay of at least 40, and what parameters it has in a task."""

    data = DataSpec(1, 5, replay="uniform", min_size=40)

    def for_task(self, params, task):
        return f"{params} of {task}"


def runner_of(**fields):
    """A runner on tasks `a` and `b`, of which only what is named is there."""
    runner = HostSequenceRunner.__new__(HostSequenceRunner)
    fields = {"agent": Player(), "names": ["a", "b"], "_layout": None, **fields}
    for name, value in fields.items():
        setattr(runner, name, value)
    return runner


@pytest.mark.parametrize(
    ("num_items", "is_given", "held"),
    [(39, True, True), (1, True, True), (39, False, False), (40, False, True)],
)
def test_an_inferred_task_without_its_minimum_holds_nothing(num_items, is_given, held):
    told = []

    def tell(learner, items, key, ended, begun):
        told.append((items, ended, begun))
        return "switched"

    tell.num_examples = 16
    replay = SimpleNamespace(num_items=lambda: num_items, examples=lambda number: number)
    runners = [SimpleNamespace(open_replay=lambda layout: replay)]
    runner = runner_of(_runners=runners, _is_given=is_given, _tell=tell)
    assert runner._switch(STATE, 0, 1).learner == "switched"
    assert told == [(16 if held else None, 0, 1)]


def test_a_given_task_without_data_is_told():
    replay = SimpleNamespace(num_items=lambda: 0)
    runners = [SimpleNamespace(open_replay=lambda layout: replay)]
    tell = SimpleNamespace(num_examples=16)
    runner = runner_of(_runners=runners, _is_given=True, _tell=tell)
    with pytest.raises(ValueError, match=r"^environment 'a': its replay is empty where"):
        runner._switch(STATE, 0, 1)


class Label:
    """What a label's runner is asked for."""

    watch = make_vector = None

    def __init__(self, number, done):
        self.number, self.done = number, done

    def prepare(self, state, total):
        assert state.learner == "weights"
        self.done.append((self.number, self.make_vector, int(state.updates), total))

    def pause(self):
        self.done.append((self.number, "pause"))


def test_a_task_that_returns_is_acted_in_under_its_label():
    """10 updates of each stretch; that of task a's label are 20."""
    places = tuple(
        {"key": None, "updates": np.int64(updates), "env_steps": np.int64(0),
         "priorities": None}
        for updates in (10, 5)
    )  # fmt: skip
    done = []
    runner = runner_of(
        watch=None, _at=None, _runners=[Label(number, done) for number in range(2)],
        _tasks={name: SimpleNamespace(make_vector=f"vectors of {name}") for name in "ab"},
        _schedule=make_schedule("aba", 40, lambda steps: steps // 4, "given", 2),
    )  # fmt: skip
    state = STATE._replace(places=places)
    for stretch, label in ((0, 0), (0, 0), (1, 1), (2, 0)):
        state = runner._act_in(state, stretch)
        assert state.label == label
    assert done == [
        (0, "vectors of a", 10, 20), (0, "pause"), (1, "vectors of b", 5, 10),
        (1, "pause"), (0, "vectors of a", 10, 20),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("labels", "number", "totals", "label_of"),
    [
        ("given", 2, (20, 10), [0, 1, 0]),
        ("none", 1, (30,), [0, 0, 0]),
        # Which label a task will have is not known: each is given the mean of two tasks.
        ("inferred", 4, (15, 15, 15, 15), [0, 0, 0]),
    ],
)
def test_updates_of_each_label(labels, number, totals, label_of):
    schedule = make_schedule("aba", 40, lambda steps: steps // 4, labels, number)
    assert schedule.totals == totals and schedule.turns.num_updates == 30
    assert [schedule.label_of(stretch) for stretch in range(3)] == label_of


def test_labels_begin_by_chance_of_their_own():
    agent = make_agent("actor_critic", CountingTask(), "feedforward")
    schedule = make_schedule("abc", 40, lambda steps: steps // 4, "given", 3)
    state = begin(agent, schedule, jax.random.PRNGKey(0)[None])
    assert len({tuple(np.asarray(place["key"]).tolist()) for place in state.places}) == 3
    assert state.labels.tolist() == [0, 1, 2] and state.label == state.updates == 0


@pytest.mark.parametrize("eval_greedy", [False, True])
def test_evaluations_explore_unless_they_are_to_be_greedy(eval_greedy):
    task = CountingTask()
    agent = make_agent("actor_critic", task, "feedforward")
    schedule = make_schedule("aa", 40, lambda steps: steps // 4, "given", 1)
    runner = HostSequenceRunner(
        agent, [SimpleNamespace(num_envs=2)], {"a": task}, {"a": task}, schedule, 3,
        eval_greedy,
    )  # fmt: skip
    assert (runner._player is agent) == (not eval_greedy)


def test_what_was_recognised_is_gone_on_from():
    watch = Watch(ForgetMeNotConfig(max_contexts=3), specs.Array((2, 2, 1), np.uint8), 2)
    known = watch.known._replace(num_contexts=np.int64(2), label=np.int64(1))
    state = STATE._replace(known=known, met=np.array([[4, 0, 0], [0, 2, 0]]))
    agent = SimpleNamespace(data=DataSpec(1, 5, replay="queue"))
    runner_of(watch=watch, agent=agent).prepare(state, 9)
    assert watch.label == 1 and watch.known.num_contexts == 2
    assert watch.met.tolist() == [[4, 0, 0], [0, 2, 0]]


@pytest.mark.parametrize("updates", [0, 5])
def test_a_run_is_evaluated_before_its_first_update(monkeypatch, updates):
    turns = SimpleNamespace(ends=(4, 7), train=lambda *_: (STATE, {"loss/total": 1.0}))
    runner = runner_of(_schedule=SimpleNamespace(turns=turns), watch=None)
    assert runner.task_ends == (4, 7)
    values = iter([0.25, 0.75] if updates == 0 else [0.75])
    monkeypatch.setattr(sequence, "updates_of", lambda state: updates)
    runner.evaluate = lambda state: {"eval/a/episode_return": next(values)}
    _, row = runner.train(STATE, 2)
    assert row["eval/a/episode_return"] == 0.75
    assert row.get("untrained/a/episode_return") == (0.25 if updates == 0 else None)


def test_each_task_is_played_under_its_label(monkeypatch):
    played = []

    def play(player, vector, params, key, number):
        played.append((player, vector, params, number))
        ends = [SimpleNamespace(episode_return=value) for value in (1.0, 4.0)]
        return ends if vector == "of a" else ends[:1]

    learner = SimpleNamespace(params="weights")
    monkeypatch.setattr(sequence, "play_host_episodes", play)
    runner = runner_of(
        _num_eval_episodes=2, _player="player", _vectors={"a": "of a", "b": "of b"},
        _for_task=Player().for_task,
    )  # fmt: skip
    found = runner.evaluate(STATE._replace(learner=learner))
    assert found == {"eval/a/episode_return": 2.5, "eval/b/episode_return": 1.0}
    # Task a is known by label 1, whatever the learner is at.
    assert played == [
        ("player", "of a", "weights of 1", 2), ("player", "of b", "weights of 0", 2)
    ]  # fmt: skip


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
