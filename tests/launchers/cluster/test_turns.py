"""Tasks in turn over Ray, by parts: where actors act and write, and what a switch does."""

import threading
import time
from types import SimpleNamespace

import jax
import numpy as np
import pytest
import ray

from tolman.agents.tasks import for_task
from tolman.launchers.catalog.environments import Specs
from tolman.launchers.cluster.environments import EnvironmentWork
from tolman.launchers.cluster.learner import LearnerRole
from tolman.launchers.cluster.parameter_server import Turn
from tolman.launchers.cluster.parameters import ParameterClient
from tolman.launchers.cluster.sequence import RaySequenceRunner
from tolman.launchers.cluster.session import Session
from tolman.launchers.cluster.statistics import StepCounter
from tolman.launchers.cluster.turns import TurnsLoop
from tolman.launchers.cluster.work import ActorIdentity
from tolman.launchers.host.replay import Batch
from tolman.launchers.host.reverb.batches import draw_examples
from tolman.launchers.host.reverb.server import ReplayServer
from tolman.launchers.host.schedule import begin, make_schedule, of_label
from tolman.launchers.host.state import HostState
from tolman.launchers.runs.job import resolve
from tolman.launchers.settings.commands import parse_train

TASKS = ("conflict/catch", "conflict/dodge")
WORDS = f"""ewc --launcher ray --tasks {",".join(TASKS)} --steps-per-task 120
--core feedforward --num-envs 2 --agent.unroll-length 1 --agent.n-step 1
--agent.image-axes none --agent.torso-size 4 --agent.min-size 6 --agent.capacity 50
--agent.batch-size 4 --agent.samples-per-insert 1 --agent.num-fisher-batches 2
--agent.max-tasks 2 --eval-episodes 2""".split()


class Parameters:
    """Stands in for a `ParameterClient`; `turn` is what the parameters are for."""

    def __init__(self, params, address):
        self.params, self._address, self.turn = params, address, Turn()
        self.is_closed = threading.Event()

    def get(self, num_unrolls=0):
        return 3, self.params

    def new_priority(self):
        return 1.0

    def address(self, shard):
        return self._address

    def is_over(self, turn):
        return self.is_closed.is_set() or self.turn != turn


class Loop:
    """Stands in for an `EnvironmentLoop` of four steps an unroll."""

    version, seconds = 5, 1.0

    def __init__(self, turn):
        self.turn, self.num_steps, self.is_closed = turn, 0, False

    def unroll(self):
        assert not self.is_closed
        self.num_steps += 4

    def take_episodes(self):
        return [f"of {self.turn.stretch}"]

    def close(self):
        self.is_closed = True


@pytest.fixture(scope="module")
def job():
    return resolve(parse_train(WORDS))


@pytest.fixture
def served(job, tmp_path):
    """The work of two tasks, an agent, parameters, and a server with its tables."""
    specs = Specs(job.source.observation_spec(), job.source.action_spec())
    work = EnvironmentWork(job.config, specs, num_envs=2, num_shards=1, num_labels=2)
    agent = work.agent()
    replay = ReplayServer(work.tables(agent), tmp_path / "replay")
    params = agent.init(jax.random.PRNGKey(0)).params
    yield work, agent, Parameters(params, replay.address), replay
    replay.stop()


def test_an_actor_acts_where_the_parameters_are_for():
    parameters, made = Parameters(None, ""), []

    def make_loop(turn):
        made.append(Loop(turn))
        return made[-1]

    loop = TurnsLoop(make_loop, parameters)
    loop.unroll()
    loop.unroll()
    parameters.turn = Turn(1, 0)
    loop.unroll()
    parameters.turn = Turn(2, 1)
    assert loop.take_episodes() == ["of 1"]
    loop.unroll()
    assert [one.turn for one in made] == [Turn(0, 0), Turn(1, 0), Turn(2, 1)]
    assert [one.num_steps for one in made] == [8, 4, 4]
    assert [one.is_closed for one in made] == [True, True, False]
    assert (loop.turn, loop.num_steps, loop.seconds) == (Turn(2, 1), 16, 3.0)
    assert loop.take_episodes() == ["of 2"]
    loop.close()
    assert made[-1].is_closed and (loop.num_steps, loop.take_episodes()) == (16, [])


def test_a_turn_that_comes_while_a_loop_is_made_is_followed():
    """No environment is stepped with parameters that are for another."""
    parameters, made = Parameters(None, ""), []

    def make_loop(turn):
        made.append(Loop(turn))
        parameters.turn = Turn(min(len(made), 3), 0)  # As an actor takes newer ones.
        return made[-1]

    loop = TurnsLoop(make_loop, parameters)
    loop.unroll()
    assert [one.num_steps for one in made] == [0, 0, 0, 4]


def test_each_label_has_tables_and_counts_of_its_own(served):
    work, _, parameters, replay = served
    names = {"unrolls", "examples", "unrolls-1", "examples-1"}
    assert set(replay.client().server_info()) == names
    statistics = work.table_statistics(replay.client())
    key = np.asarray(jax.random.PRNGKey(1))
    loop = work.acting_loop(ActorIdentity(0, 0, 0, key), parameters)
    try:
        while statistics().inserted[0] < 4:
            loop.unroll()
        parameters.turn = Turn(1, 1)
        while statistics().inserted[1] < 2:
            loop.unroll()
        loop.close()  # So that what is on its way comes in.
        first, second = statistics().inserted
        served_now = replay.client().server_info()
        assert served_now["unrolls"].current_size == first
        assert served_now["unrolls-1"].current_size == second
        # What is drawn for the Fisher is of this label, and no draw of the learner's.
        assert served_now["examples-1"].current_size == second
        assert len(draw_examples([replay.client()], "examples-1", 64)["row"]) == 64
        assert statistics().num_sampled == 0
        assert statistics().size == first + second
    finally:
        loop.close()


def test_nobody_waits_for_room_in_a_table_that_is_over(served):
    """The limiter takes 6 + 4 items and no more while the learner draws none."""
    work, _, parameters, replay = served
    statistics = work.table_statistics(replay.client())
    key = np.asarray(jax.random.PRNGKey(1))
    loop = work.acting_loop(ActorIdentity(0, 0, 0, key), parameters)
    acting = threading.Thread(
        target=lambda: [loop.unroll() for _ in range(40)], daemon=True
    )
    acting.start()
    deadline = time.monotonic() + 60
    before = -1
    while statistics().inserted[0] != before:  # Until nothing more comes in.
        before = statistics().inserted[0]
        time.sleep(1.5)
        assert time.monotonic() < deadline
    assert acting.is_alive() and statistics().inserted[1] == 0
    parameters.turn = Turn(1, 1)
    while statistics().inserted[1] == 0:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    parameters.is_closed.set()
    acting.join(60)
    loop.close()


def test_a_client_asks_where_to_be_now_and_then(monkeypatch):
    """The actor that waits for room is in the thread that would get parameters."""
    client = ParameterClient(None)
    asked = []

    def update(seconds):
        asked.append(seconds)
        client.turn = Turn(1, 0)

    monkeypatch.setattr(client, "_update", update)
    client._asked_at = time.monotonic()
    assert not client.is_over(Turn()) and not asked
    client._asked_at = 0.0
    assert client.is_over(Turn()) and not client.is_over(Turn(1, 0))
    assert asked == [0.0]
    client.close()
    assert client.is_over(Turn(1, 0))


def test_examples_are_drawn_from_servers_by_what_they_have():
    class Client:
        def __init__(self, name, size):
            self.name, self.size, self.drawn = name, size, 0

        def server_info(self, timeout):
            return {"examples": SimpleNamespace(current_size=self.size)}

        def sample(self, table, number, **settings):
            self.drawn += number
            return [SimpleNamespace(data={"row": np.array(self.name)})] * number

    clients = [Client(0, 5), Client(1, 0), Client(2, 15)]
    items = draw_examples(clients, "examples", 8)
    assert items["row"].tolist() == [0] * 2 + [2] * 6
    assert [client.drawn for client in clients] == [2, 0, 6]
    assert draw_examples([Client(0, 0)], "examples", 8) is None


@pytest.fixture
def learner(served, monkeypatch):
    """A `LearnerRole` of the work, at the start of the first task, and its state."""
    work, agent, _, replay = served
    published = []

    class Publisher:
        def __init__(self, *given):
            pass

        def publish(self, version, params, turn):
            published.append((version, turn))

        def close(self):
            pass

    monkeypatch.setattr("tolman.launchers.cluster.learner.ParameterPublisher", Publisher)
    role = LearnerRole(work, None)
    keys = jax.random.PRNGKey(0)[None]
    schedule = make_schedule(TASKS, 120, lambda steps: steps // 4, "given", 2)
    state = jax.device_get(begin(agent, schedule, keys))
    role.start(of_label(state, 0), 30, (replay.address,), None, Turn())
    yield role, state, published
    role.close()


def test_a_switch_holds_what_the_task_that_ended_needs(served, learner):
    work, agent, parameters, replay = served
    role, state, published = learner
    with pytest.raises(ValueError, match="'conflict/catch': its replay is empty where it"):
        role.switch(np.zeros(2, np.uint32), 0, 1)
    key = np.asarray(jax.random.PRNGKey(1))
    loop = work.acting_loop(ActorIdentity(0, 0, 0, key), parameters)
    for _ in range(4):  # 8 items, of the 10 that are taken without a draw.
        loop.unroll()
    loop.close()
    with pytest.raises(ValueError, match="'conflict/dodge': its replay is empty where it"):
        role.switch(np.zeros(2, np.uint32), 1, 0)  # Items are of the other label.
    told = role.switch(np.zeros(2, np.uint32), 0, 1)
    assert int(told.task) == 1
    fisher = jax.tree.leaves(told.elastic.terms.fisher)
    sums = sum(leaf.reshape(2, -1).sum(1) for leaf in fisher)
    assert sums[0] > 0 and sums[1] == 0
    # It goes on with what it is told, and with the tables of that label.
    second = HostState(told, **state.places[1])
    role.start(second, 20, (replay.address,), None, Turn(1, 1))
    assert published == [(0, Turn()), (0, Turn(1, 1))]
    parameters.turn = Turn(1, 1)
    parameters.params = for_task(agent, jax.device_put(told.params), 1)
    loop = work.acting_loop(ActorIdentity(0, 0, 0, key), parameters)
    for _ in range(4):  # 8 items, of the 10 that are taken without a draw.
        loop.unroll()
    loop.close()
    result = role.train(1)
    assert published[-1] == (1, Turn(1, 1)) and result.metrics["loss/elastic"] > 0.0
    assert list(role._batches) == [1]


def test_batches_are_of_the_table_of_the_label(learner, monkeypatch):
    role, _, _ = learner
    opened = []
    monkeypatch.setattr(
        "tolman.launchers.host.reverb.batches.Batches",
        lambda *given, table: opened.append(table),
    )
    role._open(1)
    role._open(0)
    assert opened == ["unrolls-1", None]  # None is the table of the layout, the first.


def test_priorities_go_into_the_table_of_the_label(learner):
    role, _, _ = learner
    told = []
    role._turn, role._addresses = Turn(3, 1), ("a",)
    role._clients["a"] = SimpleNamespace(
        mutate_priorities=lambda table, updates: told.append((table, updates))
    )
    role._set_priorities(Batch({}, 1, np.array([5], np.uint64), 0), np.array([2.0]))
    assert told == [("unrolls-1", {5: 2.0})]
    role._addresses = ()


def test_an_older_queue_is_emptied(learner):
    role, state, _ = learner
    told = []

    class Agent:
        data = SimpleNamespace(replay="queue")

    role._agent = Agent()
    role._clients["a"] = SimpleNamespace(reset=told.append)
    for turn in (Turn(), Turn(1, 1), Turn(1, 1), Turn(2, 0)):
        role.start(of_label(state, turn.label), 30, ("a",), None, turn)
    assert told == ["unrolls-1", "unrolls"]
    role._addresses = ()


def test_all_tasks_are_evaluated_under_the_label_of_each(served, monkeypatch):
    from tolman.launchers.cluster import environments

    work, agent, parameters, _ = served
    played = []

    def play(job, player, params, key, number):
        played.append((job.source.named.name, int(params.task), number))
        return SimpleNamespace(returns=np.array([1.0, 2.0]), lengths=np.array([7, 9]))

    monkeypatch.setattr(environments, "play_episodes_of", play)
    found = work.evaluator(agent)(parameters.params, 2, 0, [1, 0])
    assert played == [("conflict/catch", 1, 2), ("conflict/dodge", 0, 2)]
    for name in TASKS:
        assert found[f"eval/{name}/episode_return"] == 1.5
        assert found[f"eval/{name}/episode_length"] == 8.0


def test_steps_count_for_the_label_that_they_were_acted_under(served):
    work, agent, _, _ = served
    states = [
        HostState(None, np.zeros(2), np.int64(0), np.int64(steps)) for steps in (100, 7)
    ]
    session = Session.__new__(Session)  # Without processes.
    session._env_steps = [StepCounter(agent.data, 2, state) for state in states]
    session._statistics = work.run_statistics()
    replay = SimpleNamespace(index=0, incarnation=0)
    session._take_counts(replay, SimpleNamespace(inserted=(3, 0)))
    session._take_counts(replay, SimpleNamespace(inserted=(4, 5)))
    assert [counter.total(0) for counter in session._env_steps] == [104, 12]


class FakeSession:
    """Notes what a runner asks of it; evaluates to the number of updates."""

    def __init__(self):
        self.done = []

    def train(self, state, number):
        self.done.append(("train", number))
        updates = state.updates + number
        trained = state._replace(updates=updates, env_steps=4 * updates)
        return trained, {"loss/value": np.ones(1), "eval/a/episode_return": np.zeros(1)}

    def switch(self, state, key, ended, begun):
        self.done.append(("switch", ended, begun))
        return state.learner

    def move(self, turn, state, total):
        self.done.append(("move", turn, int(state.updates), total))

    def evaluate(self, params):
        self.done.append(("evaluate",))
        return {"eval/a/episode_return": 1.0}


def runner_of(agent, order, labels="given"):
    """A runner of stretches of 10 updates, and what it asks of its session."""
    session = FakeSession()
    ray_runner = SimpleNamespace(
        agent=agent,
        num_servers=1,
        start=lambda beginning: (
            session.done.append(
                ("start", beginning.turn, [int(one.updates) for one in beginning.states])
            )
            or session
        ),
    )
    schedule = make_schedule(order, 40, lambda steps: steps // 4, labels, len(set(order)))
    return RaySequenceRunner(ray_runner, schedule), session.done


def test_a_task_that_returns_goes_on_where_it_was(served):
    _, agent, _, _ = served
    runner, done = runner_of(agent, (*TASKS, TASKS[0]))
    assert runner.watch is None and runner.total_updates(0) == 30
    state = runner.prepare(runner.init(jax.random.PRNGKey(0)[None]), 30)
    state, metrics = runner.train(state, 15)
    assert metrics["eval/a/episode_return"] == 0.0  # Of the second stretch: the newest.
    assert metrics["untrained/a/episode_return"] == 1.0 and runner.task_ends == (10, 20, 30)
    assert (metrics["task/index"], metrics["task/label"]) == (1.0, 1.0)
    state, metrics = runner.train(state, 5)
    assert metrics["eval/a/episode_return"] == 1.0  # Where a stretch ends, of its end.
    assert "untrained/a/episode_return" not in metrics
    state, _ = runner.train(state, 10)
    assert done == [
        ("start", Turn(0, 0), [0, 0]),
        ("evaluate",),  # Before the first update.
        ("train", 10),
        ("evaluate",),
        ("switch", 0, 1),
        ("move", Turn(1, 1), 0, 10),
        ("train", 5),
        ("train", 5),
        ("evaluate",),
        ("switch", 1, 0),
        ("move", Turn(2, 0), 10, 20),
        ("train", 10),
        ("evaluate",),
    ]
    assert [int(place["updates"]) for place in state.places] == [20, 10]
    assert (int(state.updates), int(state.env_steps)) == (30, 120)


@pytest.mark.parametrize(("updates", "turn"), [(10, Turn(0, 0)), (11, Turn(1, 1))])
def test_a_run_goes_on_in_its_task(served, updates, turn):
    """One that was saved where a task ended has that switch before it."""
    _, agent, _, _ = served
    runner, _ = runner_of(agent, TASKS)
    state, _ = runner.train(
        runner.prepare(runner.init(jax.random.PRNGKey(0)[None]), 20), updates
    )
    other, done = runner_of(agent, TASKS)
    other.prepare(state, 20)
    other.train(state, 2)
    assert done[0] == ("start", turn, [10, updates - 10])
    switched = [("switch", 0, 1), ("move", Turn(1, 1), 0, 10)] if updates == 10 else []
    assert done[1:] == [*switched, ("train", 2)]


def test_one_label_for_all_is_no_switch(served):
    _, agent, _, _ = served
    runner, done = runner_of(agent, TASKS, "none")
    state = runner.prepare(runner.init(jax.random.PRNGKey(0)[None]), 20)
    state, _ = runner.train(state, 20)
    assert ("move", Turn(1, 0), 10, 20) in done
    assert not [each for each in done if each[0] == "switch"]
    assert state.labels.tolist() == [0, 0] and len(state.places) == 1


def test_what_cannot_be_done_is_told_in_one_line(tolman, tmp_path):
    words = ["train", *WORDS, "--run-dir", tmp_path / "run"]
    for more, told in (
        (["--labels", "inferred"], "labels='inferred': takes screens, uint8"),
        (["--agent.max-tasks", "1"], "max_tasks=1: must be at least 2, for conflict/"),
        (["--eval-every", "50"], "eval_every=50: tasks in turn are evaluated for"),
    ):
        code, _, errors = tolman(*words, *more)
        assert code == 2 and told in errors[-1], errors
        assert not (tmp_path / "run").exists()
    assert not ray.is_initialized()
