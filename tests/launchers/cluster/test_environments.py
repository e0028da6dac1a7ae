"""An actor's loop over environments writes to a replay, without processes of its own."""

import threading

import jax
import numpy as np
import pytest
import tensorflow as tf
from reverb.errors import DeadlineExceededError

from tolman.launchers.catalog.environments import Specs
from tolman.launchers.cluster import learner
from tolman.launchers.cluster.environments import EnvironmentWork
from tolman.launchers.cluster.learner import LearnerRole
from tolman.launchers.cluster.parameter_server import Turn
from tolman.launchers.cluster.work import ActorIdentity
from tolman.launchers.host.replay import Batch
from tolman.launchers.host.reverb import batches
from tolman.launchers.host.reverb.server import ReplayServer
from tolman.launchers.runs.job import resolve
from tolman.launchers.settings.commands import parse_train

WORDS = (
    "dqn --env two_step --core feedforward --launcher ray --agent.min-size 10 "
    "--agent.torso-size 8"
)


class Parameters:
    """Stands in for a `ParameterClient` of a learner whose largest priority is 7.5."""

    def __init__(self, params, address):
        self.params, self._address = params, address
        self.is_closed = threading.Event()

    turn = Turn()

    def get(self, num_unrolls=0):
        return 3, self.params

    def new_priority(self):
        return 7.5

    def address(self, shard):
        return self._address


def test_items_enter_with_the_largest_priority_that_the_learner_published(tmp_path):
    job = resolve(parse_train(WORDS.split()))
    specs = Specs(job.source.observation_spec(), job.source.action_spec())
    work = EnvironmentWork(job.config, specs, num_envs=2, num_shards=1)
    agent = work.agent()
    replay = ReplayServer(work.tables(agent), tmp_path / "replay")
    statistics = work.table_statistics(replay.client())
    params = agent.init(jax.random.PRNGKey(0)).params
    key = np.asarray(jax.random.PRNGKey(1))
    parameters = Parameters(params, replay.address)
    loop = work.acting_loop(ActorIdentity(0, 0, 0, key), parameters)
    try:
        while sum(statistics().inserted) < 12:
            loop.unroll()
        samples = list(replay.client().sample("unrolls", 8, emit_timesteps=False))
        assert {sample.info.priority for sample in samples} == {7.5}
        assert loop.version == 3 and loop.num_steps >= 12
        assert statistics().num_sampled == 8
    finally:
        loop.close()
        replay.stop()


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ("gone\nfor good", "RuntimeError: gone"),
        ("\ngone", "RuntimeError: gone"),
        ("", "RuntimeError"),
    ],
)
def test_priorities_go_to_the_shard_that_the_batch_is_from(caplog, message, told):
    class Client:
        told = None

        def mutate_priorities(self, table, updates):
            self.told = table, updates

    class Gone:
        def mutate_priorities(self, table, updates):
            raise RuntimeError(message)

    role = LearnerRole.__new__(LearnerRole)  # Without a run.
    role._addresses, role._clients = ["a", "b"], {"a": Gone(), "b": Client()}
    role._turn = Turn()
    batch = Batch({}, np.ones(2), np.array([5, 7], np.uint64), np.zeros(2), shard=1)
    role._set_priorities(batch, np.array([2.0, 3.0]))
    assert role._clients["b"].told == ("unrolls", {5: 2.0, 7: 3.0})
    role._set_priorities(batch._replace(shard=0), np.array([2.0, 3.0]))
    assert caplog.messages == [f"priorities were not taken: {told}"]


def role_whose_replay(raises, monkeypatch):
    """Without a run; its batches are "batch" once all errors were raised."""
    monkeypatch.setattr(learner, "SECONDS_BETWEEN_TRIES", 0.0)
    role = LearnerRole.__new__(LearnerRole)
    role._learner, role._max_updates = object(), None
    role._is_given, role._is_stopped = True, False
    role._addresses, role._batches, role._turn = ("a",), {}, Turn()
    role._clients, left = {}, list(raises)

    class Replay:
        def next(self):
            if left:
                raise left.pop(0)
            return "batch"

        def reset(self, table):
            self.next()

        def close(self):
            pass

    monkeypatch.setattr(role, "_open", lambda label: Replay())
    monkeypatch.setattr(role, "_client", lambda address: Replay())
    monkeypatch.setattr(batches, "draw_examples", lambda clients, *_: clients[0].next())
    return role


CALLS = {
    "batch": lambda role: role._next_batch(),
    "examples": lambda role: role._examples(0, 2),
    "queue": lambda role: role._empty_queues(0),
}


@pytest.mark.parametrize("call", CALLS)
def test_only_what_a_lost_replay_raises_is_tried_again(call, monkeypatch, caplog):
    lost = [
        tf.errors.UnavailableError(None, None, "gone"),
        DeadlineExceededError("gone"),
        RuntimeError("gone"),
    ]
    role = role_whose_replay(lost, monkeypatch)
    for _ in range(len(lost) if call == "queue" else 1):
        assert CALLS[call](role) == (None if call == "queue" else "batch")
    assert len(caplog.messages) == 3
    for error in (jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED"), KeyError("ours")):
        # A second time, it would be lost, and end the test.
        role = role_whose_replay([error, AssertionError], monkeypatch)
        with pytest.raises(type(error)):
            CALLS[call](role)
    assert len(caplog.messages) == 3
