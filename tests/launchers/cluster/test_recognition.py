"""Labels inferred over Ray, by parts: who watches, who is told, and what is kept."""

import threading
import time
from types import SimpleNamespace

import jax
import numpy as np
import pytest
from ray.exceptions import RayActorError

from tolman.agents.ewc.forget_me_not import ForgetMeNotConfig, observe
from tolman.launchers.catalog.environments import Specs
from tolman.launchers.cluster.actor import ActorReport, ActorRole
from tolman.launchers.cluster.environments import EnvironmentWork
from tolman.launchers.cluster.launcher import ProcessLauncher
from tolman.launchers.cluster.learner import LearnerRole, TrainResult
from tolman.launchers.cluster.parameter_server import Turn
from tolman.launchers.cluster.sequence import RaySequenceRunner
from tolman.launchers.cluster.session import Session
from tolman.launchers.cluster.statistics import (
    EvaluationScheduler,
    StepCounter,
    Throughput,
)
from tolman.launchers.cluster.supervisor import Process
from tolman.launchers.cluster.turns import TurnsLoop
from tolman.launchers.cluster.work import ActorIdentity
from tolman.launchers.host.recognition import Recognised, Watch
from tolman.launchers.host.reverb.server import ReplayServer
from tolman.launchers.host.schedule import begin, make_schedule, of_label
from tolman.launchers.host.state import HostState
from tolman.launchers.runs.job import resolve
from tolman.launchers.settings.commands import parse_train

TASKS = ("screen_games:Dark", "screen_games:Grey")
ORDER = (*TASKS, TASKS[0])
WORDS = f"""ewc --launcher ray --tasks {",".join(ORDER)} --steps-per-task 40
--labels inferred --core feedforward --num-envs 2 --agent.unroll-length 1
--agent.n-step 1 --agent.image-axes none --agent.torso-size 4 --agent.min-size 40
--agent.capacity 50 --agent.batch-size 4 --agent.samples-per-insert 1
--agent.num-fisher-batches 2 --agent.max-tasks 3 --eval-episodes 2""".split()
KEY = np.asarray(jax.random.PRNGKey(1))


class Parameters:
    """Stands in for a `ParameterClient`; the turns of `coming` come with each `get`."""

    def __init__(self, params=None, address="", coming=()):
        self.params, self._address, self.turn = params, address, Turn()
        self.coming, self.is_closed = list(coming), threading.Event()

    def get(self, num_unrolls=0):
        if self.coming:
            self.turn = self.coming.pop(0)
        return 3, self.params

    def new_priority(self):
        return 1.0

    def address(self, shard):
        return self._address

    def is_over(self, turn):
        return self.is_closed.is_set() or self.turn != turn


@pytest.fixture(scope="module")
def job(games):
    return resolve(parse_train(WORDS))


@pytest.fixture
def served(job, tmp_path):
    """The work of two tasks, an agent, parameters, and a server with its tables."""
    specs = Specs(job.source.observation_spec(), job.source.action_spec())
    work = EnvironmentWork(job.config, specs, num_envs=2, num_shards=1, num_labels=3)
    agent = work.agent()
    replay = ReplayServer(work.tables(agent), tmp_path / "replay")
    params = agent.init(jax.random.PRNGKey(0)).params
    yield work, agent, Parameters(params, replay.address), replay
    replay.stop()


def test_who_recognises_another_label_waits_for_its_turn(monkeypatch):
    """No step is taken under a label that is known to be another's."""
    monkeypatch.setattr("tolman.launchers.cluster.turns.SECONDS_BETWEEN_REQUESTS", 0.0)
    parameters, watch, made = Parameters(), SimpleNamespace(label=0), []

    def make_loop(turn):
        steps = SimpleNamespace(
            num_steps=0, seconds=0.0, version=5, close=lambda: None, turn=turn
        )
        steps.unroll = lambda: setattr(steps, "num_steps", steps.num_steps + 4)
        made.append(steps)
        return steps

    loop = TurnsLoop(make_loop, parameters, watch)
    loop.unroll()
    watch.label = 1
    # A turn of another task under the old label is none to act in either.
    parameters.coming = [Turn(0, 0), Turn(1, 0), Turn(1, 1)]
    for _ in range(3):
        loop.unroll()
        assert loop.num_steps == 4
    loop.unroll()
    assert loop.num_steps == 8
    assert [(each.turn, each.num_steps) for each in made] == [
        (Turn(0, 0), 4), (Turn(1, 0), 0), (Turn(1, 1), 4)
    ]  # fmt: skip


def test_the_actor_that_watches_counts_windows_by_task(served):
    """Eight screens of each stretch are two windows; a stretch that returns is its task."""
    work, _, parameters, replay = served
    begun = work.watch()
    begun.met[1, 2] = 7
    loop = work.acting_loop(ActorIdentity(0, 0, 0, KEY), parameters, None, begun.recognised)
    try:
        for _ in range(8):
            loop.unroll()
        assert loop.watch.met.tolist() == [[2, 0, 0], [0, 0, 7]]
        parameters.turn = Turn(1, 0)  # The second task, which nobody knows yet.
        for _ in range(8):
            loop.unroll()
        assert loop.watch.label == 1 and loop.watch.met.tolist()[1] == [1, 1, 7]
        parameters.turn = Turn(2, 1)
        for _ in range(8):
            loop.unroll()
        # One that is known is recognised in its first window: then no more steps are taken.
        assert loop.watch.label == 0 and loop.watch.met.tolist()[0] == [3, 0, 0]
        assert loop.num_steps == 2 * (8 + 8 + 4)
    finally:
        loop.close()
    served_now = replay.client().server_info()
    sizes = [served_now[name].current_size for name in ("unrolls", "unrolls-1")]
    # What was acted before the second task was known lies under the first label.
    assert sizes[0] > 16 and 0 < sizes[1] <= 8


def test_others_do_not_watch(served):
    work, _, parameters, _ = served
    loop = work.acting_loop(ActorIdentity(1, 0, 0, KEY), parameters)
    loop.close()
    assert loop.watch is None


def test_an_actor_reports_what_it_recognises(served):
    work = served[0]
    watch, given, began = work.watch(), [], threading.Event()

    class Work:
        def acting_loop(self, identity, parameters, job, recognised):
            given.append(recognised)
            if recognised is not None:
                watch.restore(*recognised)
            began.set()
            return SimpleNamespace(
                watch=watch if recognised else None, unroll=lambda: time.sleep(0.01),
                num_steps=3, seconds=1.0, version=2, turn=Turn(1, 0),
                take_episodes=list, close=lambda: None,
            )  # fmt: skip

    known = watch.known._replace(label=1, num_contexts=2)
    for recognised, label in ((Recognised(known, watch.met + 1), 1), (None, None)):
        role = ActorRole()
        assert role.report().label is None and role.recognised() is None
        began.clear()
        role.start(Work(), ActorIdentity(0, 0, 0, KEY), None, recognised)
        try:
            assert began.wait(60)
            while role._loop is None:
                time.sleep(0.01)
            assert role.report().label == label
            told = role.recognised()
            assert (told is None) == (recognised is None)
            if told is not None:
                assert told.known.label == 1 and told.met.tolist() == [[1] * 3] * 2
                watch.met[0, 0] = 9  # What was told does not change after.
                assert told.met[0, 0] == 1
        finally:
            role.close()
    assert given[0] is not None and given[1] is None


def test_only_the_first_actor_goes_on_from_what_was_recognised(served, tmp_path):
    launcher = ProcessLauncher(served[0].config, None, tmp_path)
    launcher._work, launcher.server = "work", "server"
    launcher._first_updates, launcher._key = 5, KEY
    begun, given = served[0].watch().recognised, []
    handle = SimpleNamespace(start=SimpleNamespace(remote=lambda *all: given.append(all)))
    launcher.start_actor(handle, 0, 0)
    launcher.recognised = begun
    launcher.start_actor(handle, 0, 1)
    launcher.start_actor(handle, 1, 0)
    assert [each[3] for each in given] == [None, begun, None]


def dead():
    raise RayActorError


def test_the_driver_keeps_what_an_actor_knew_before_it_died():
    session, launcher = Session.__new__(Session), SimpleNamespace(recognised=None)
    asked = SimpleNamespace(remote=lambda: "newer")
    actor = SimpleNamespace(handle=SimpleNamespace(recognised=asked), report="a report")
    session._launcher, session._actors = launcher, [actor]
    session._finish = lambda found: found() if callable(found) else found
    session._ask_what_is_recognised()
    assert session.recognised is None  # Nobody watches.
    launcher.recognised = "old"
    actor.report = None  # It is not there yet.
    session._ask_what_is_recognised()
    assert session.recognised == "old"
    actor.report = "a report"
    for answer in (lambda: dead, lambda: None):
        asked.remote = answer
        session._ask_what_is_recognised()
        assert session.recognised == "old"
    asked.remote = lambda: "newer"
    session._ask_what_is_recognised()
    assert session.recognised == "newer"


def test_the_learner_is_stopped_where_a_label_is_another():
    session, stopped = Session.__new__(Session), []
    stop = SimpleNamespace(remote=lambda: stopped.append(session._turn))
    session._learner = SimpleNamespace(handle=SimpleNamespace(stop=stop))
    session._turn = Turn(2, 1)
    for label in (None, 1):
        session._follow(label)
    assert not stopped
    session._follow(0)
    session._follow(0)  # The first may have come before the updates began.
    assert stopped == [Turn(2, 1)] * 2
    session._learner.handle = None  # Until it is restarted.
    session._follow(0)
    assert len(stopped) == 2


def test_updates_that_were_stopped_come_with_what_is_recognised(served):
    """Without processes: the learner takes 3 updates of 10, as a report says label 1."""
    work, agent, _, _ = served
    session, stopped = Session.__new__(Session), []
    before = HostState(None, np.zeros(2), np.int64(20), np.int64(80))
    report = ActorReport(9, 1.0, 2, Turn(1, 0), 1, [], [], None)
    actor = Process("actor", 0, lambda incarnation: None)
    actor.report = report
    actor.handle = SimpleNamespace(recognised=SimpleNamespace(remote=lambda: "newer"))
    stop = SimpleNamespace(remote=lambda: stopped.append(1))

    def train(number):
        session._poll()
        return TrainResult(20 + 3 * len(stopped), "learner", (), {"loss/value": 1.0})

    trains = SimpleNamespace(remote=train)
    session._learner = SimpleNamespace(handle=SimpleNamespace(stop=stop, train=trains))
    session._with_learner = lambda state, call: call(session._learner.handle)
    session._finish = lambda request: request
    session._supervisor = SimpleNamespace(
        rows=list, poll=lambda seconds: [] if stopped else [(actor, report)]
    )
    session._data, session._turn, session._replays = agent.data, Turn(1, 0), []
    session._env_steps = [StepCounter(agent.data, 2, before)]
    session._evaluations = EvaluationScheduler(None)
    session._throughput, session._statistics = Throughput(), work.run_statistics()
    session._rate_limiter, session._evaluators, session._actors = None, [], [actor]
    session._sent_at = time.monotonic() + 1e6
    session._launcher = SimpleNamespace(recognised="old")
    state, metrics = session.train(before, 10)
    assert stopped == [1] and int(state.updates) == 23
    assert session.recognised == "newer" and metrics["loss/value"].tolist() == [1.0]


@pytest.fixture
def learner(served, monkeypatch):
    """A `LearnerRole` of the work, at the start of the first task, and its state."""
    work, agent, _, replay = served
    publisher = SimpleNamespace(publish=lambda *_, turn=None: None, close=lambda: None)
    name = "tolman.launchers.cluster.learner.ParameterPublisher"
    monkeypatch.setattr(name, lambda *given: publisher)
    role = LearnerRole(work, None)
    schedule = make_schedule(ORDER, 40, lambda steps: steps // 4, "inferred", 3)
    state = jax.device_get(begin(agent, schedule, jax.random.PRNGKey(0)[None]))
    role.start(of_label(state, 0), 30, (replay.address,), None, Turn())
    yield role, state
    role.close()


def filled(work, parameters, num_unrolls):
    loop = work.acting_loop(ActorIdentity(0, 0, 0, KEY), parameters)
    for _ in range(num_unrolls):
        loop.unroll()
    loop.close()


def test_a_learner_that_waits_is_stopped_and_learns_on_when_asked_again(served, learner):
    work, _, parameters, _ = served
    role, _ = learner
    results = []
    training = threading.Thread(target=lambda: results.append(role.train(2)), daemon=True)
    training.start()  # There is nothing to learn from.
    time.sleep(1.0)
    assert training.is_alive()
    role.stop()
    training.join(60)
    assert results[0].updates == 0 and results[0].metrics == {}
    filled(work, parameters, 21)
    role.stop()  # One that comes too late ends no later updates.
    assert role.train(1).updates == 1


def test_what_hardly_was_learned_is_not_held(served, learner):
    """Fewer items than the minimum of a replay: as on the host."""
    work, _, parameters, _ = served
    role, state = learner
    sums = []
    for num_unrolls in (1, 21):  # 2 items, and up to 42 more; the minimum is 40.
        filled(work, parameters, num_unrolls)
        told = role.switch(np.zeros(2, np.uint32), 0, 1)
        assert int(told.task) == 1
        fisher = jax.tree.leaves(told.elastic.terms.fisher)
        sums.append(sum(float(leaf[0].sum()) for leaf in fisher))
    assert sums[0] == 0.0 and sums[1] > 0.0
    assert isinstance(of_label(state, 2), HostState)


class FakeSession:
    """Trains until it has met another label; `meets` says after how many updates which."""

    def __init__(self, meets):
        self.meets, self.done, self.labels = list(meets), [], None

    def train(self, state, number):
        number, self.recognised = self.meets.pop(0) if self.meets else (
            number, self.recognised
        )  # fmt: skip
        self.done.append(("train", number))
        updates = state.updates + number
        trained = state._replace(updates=updates, env_steps=4 * updates)
        return trained, {"loss/value": np.ones(1)}

    def switch(self, state, key, ended, begun):
        self.done.append(("switch", ended, begun))
        return state.learner

    def move(self, turn, state, total):
        self.done.append(("move", turn, int(state.updates), total))

    def evaluate(self, params):
        self.done.append(("evaluate", self.labels))
        return {}


def runner_of(work, agent, meets):
    """A runner of three stretches of 10 updates, and its session."""
    session = FakeSession(meets)

    def start(beginning):
        session.done.append(("start", beginning.turn, beginning.labels))
        session.recognised, session.labels = beginning.recognised, beginning.labels
        return session

    ray_runner = SimpleNamespace(agent=agent, num_servers=1, start=start)
    schedule = make_schedule(ORDER, 40, lambda steps: steps // 4, "inferred", 3)
    return RaySequenceRunner(ray_runner, schedule, work.watch()), session


def recognised(work, *windows):
    """What a watch knows after windows of tasks, each of one grey."""
    watch: Watch = work.watch()
    for task, level in windows:
        config = ForgetMeNotConfig(max_contexts=3)
        window = np.full((4, watch.known.counts.shape[1]), level, np.intp)
        watch.known = observe(config, watch.known, window)
        watch.met[task, watch.label] += 1
    return watch.recognised


FIRST = [(0, 0)] * 3
SECOND = [*FIRST, (1, 9), (1, 9)]


def test_a_label_that_changes_in_the_midst_of_a_task_is_followed(served):
    work, agent, _, _ = served
    first, second = recognised(work, *FIRST), recognised(work, *SECOND)
    back = recognised(work, *SECOND, (0, 0))
    meets = [(10, first), (3, second), (7, second), (1, back)]
    runner, session = runner_of(work, agent, meets)
    state = runner.prepare(runner.init(jax.random.PRNGKey(0)[None]), 30)
    assert state.known.num_windows == 0 and state.met.tolist() == [[0] * 3] * 2
    state, metrics = runner.train(state, 20)
    assert (metrics["task/index"], metrics["task/label"]) == (1.0, 1.0)
    # Of windows, one of the second task has the first label: not all agree.
    assert 0 < metrics["task/agreement"] < 1
    assert state.met.tolist() == [[3, 0, 0], [1, 1, 0]] and state.known.num_contexts == 2
    assert state.labels.tolist() == [0, 0]
    state, metrics = runner.train(state, 10)
    assert session.done == [
        ("start", Turn(0, 0), [0, 0]),
        ("evaluate", [0, 0]),  # Before the first update.
        ("train", 10),
        ("evaluate", [0, 1]),  # Of a task not met yet, the next label that is opened.
        ("move", Turn(1, 0), 10, 10 + 5),
        ("train", 3),
        ("switch", 0, 1),
        ("move", Turn(1, 1), 0, 15),
        ("train", 7),
        ("evaluate", [0, 0]),
        ("move", Turn(2, 1), 7, 15),
        ("train", 1),
        ("switch", 1, 0),
        ("move", Turn(2, 0), 13, 15),
        ("train", 9),
        ("evaluate", [0, 0]),
    ]
    assert [int(place["updates"]) for place in state.places] == [22, 8, 0]
    assert int(state.updates) == 30 and state.label == 0


def test_no_updates_before_a_label_changes_leave_no_trace_in_metrics(served):
    work, agent, _, _ = served
    meets = [(0, recognised(work, *FIRST, (0, 9), (0, 9))), (10, None)]
    runner, session = runner_of(work, agent, meets)
    state = runner.prepare(runner.init(jax.random.PRNGKey(0)[None]), 30)
    meets[1] = session.meets[1] = (10, meets[0][1])
    state, metrics = runner.train(state, 10)
    assert metrics["loss/value"] == 1.0 and int(state.updates) == 10
    assert session.done[2:5] == [
        ("train", 0), ("switch", 0, 1), ("move", Turn(0, 1), 0, 15)
    ]  # fmt: skip


def test_a_run_goes_on_with_what_it_had_recognised(served):
    """Where it was saved before the switch that was due, that comes first."""
    work, agent, _, _ = served
    second = recognised(work, *SECOND)
    runner, _ = runner_of(work, agent, [(10, recognised(work, *FIRST)), (3, second)])
    state = runner.prepare(runner.init(jax.random.PRNGKey(0)[None]), 30)
    state, _ = runner.train(state, 13)
    assert int(state.label) == 0 and state.known.label == 1
    other, session = runner_of(work, agent, [])
    other.prepare(jax.tree.map(np.asarray, state), 30)  # As a checkpoint has it.
    np.testing.assert_array_equal(session.recognised.known.counts, second.known.counts)
    assert session.recognised.met.tolist() == second.met.tolist()
    other.train(state, 7)
    assert session.done[:4] == [
        ("start", Turn(1, 0), [0, 0]),
        ("switch", 0, 1),
        ("move", Turn(1, 1), 0, 15),
        ("train", 7),
    ]
