"""What the learner tells a replay."""

from types import SimpleNamespace
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tolman.agents.agent import DataSpec, Learned
from tolman.launchers.host.layout import ItemLayout
from tolman.launchers.host.learner import AgentLearner, NoMoreBatches
from tolman.launchers.host.packing import Packing
from tolman.launchers.host.priorities import PriorityScale, initial_priorities
from tolman.launchers.host.replay import Batch


class State(NamedTuple):
    params: jax.Array


class Parts(SimpleNamespace):
    """Like agents and layouts, each is equal to itself alone."""

    __eq__, __hash__ = object.__eq__, object.__hash__


PRIORITIZED = DataSpec(1, 2, replay="prioritized")


def test_priorities_of_a_batch_come_scaled_and_one_update_late():
    """In units of the largest of the first batch; the agent gets their probabilities."""
    told = []
    keys, versions = np.array([11, 12], np.uint64), np.zeros(2, np.int64)
    batches = iter(
        [
            Batch(jnp.zeros(2), jnp.array([0.25, 0.75]), keys, versions, shard=1),
            Batch(jnp.zeros(2), jnp.array([0.5, 0.5]), keys + 5, versions),
        ]
    )

    def update(state, probability, key, progress):
        metrics = {"probability": probability[1], "progress": progress}
        return Learned(state, metrics, jnp.array([2.0, 4.0]))

    learner = AgentLearner(
        Parts(data=PRIORITIZED, update=update),
        Parts(assemble=lambda items, probability: probability),
        lambda: next(batches),
        jnp.zeros(()),
        num_updates=1,
        total_updates=4,
        seed=0,
        set_priorities=lambda batch, values: told.append(
            (batch.shard, batch.keys.tolist(), values.tolist())
        ),
        priorities=PriorityScale(initial_priorities(PRIORITIZED)),
    )
    assert learner.step() == {"probability": 0.75, "progress": 0.25}
    assert told == []
    learner.step()
    assert told == [(1, [11, 12], [0.5, 1.0])]
    learner.save()
    assert told[1:] == [(0, [16, 17], [0.5, 1.0])]


def test_the_lag_is_how_many_updates_older_what_acted_was():
    data = DataSpec(1, 2, replay="uniform")
    batch = Batch(jnp.zeros(2), jnp.ones(2), np.zeros(2, np.uint64), np.array([2, 1]))
    published = []
    learner = AgentLearner(
        Parts(
            data=data, update=lambda state, *_: Learned(state, {"loss": jnp.float32(4.0)})
        ),
        Parts(assemble=lambda items, probability: items),
        lambda: batch,
        State(jnp.float32(7.0)),
        num_updates=3,
        total_updates=9,
        seed=0,
    )
    metrics = learner.train(2, lambda number, params: published.append((number, params)))
    # Versions 2 and 1, learned from by updates 3 and 4: 1, 2, 2 and 3 older.
    assert metrics == {"loss": 4.0, "time/param_lag": 2.0}
    assert published == [(4, 7.0), (5, 7.0)]


def test_a_learner_of_the_same_agent_has_its_program_and_ends_with_the_batches():
    traced = []

    def update(state, batch, key, progress):
        traced.append(1)
        return Learned(state, {"loss": batch["row"].sum().astype(float)})

    def learner_of(number, size=1):
        item = {"row": jnp.full((2, 2, size), number, jnp.uint8)}
        batch = Batch(item, jnp.ones(2), np.zeros(2, np.uint64), np.zeros(2, int))
        batches = [batch] * number

        def take():
            if not batches:
                raise NoMoreBatches
            return batches.pop()

        layout = ItemLayout(Packing(np.zeros(size, np.uint8)), Packing(()), 1, 1, 2)
        state = State(jnp.float32(7.0))
        return AgentLearner(agent, layout, take, state, 0, 9, 0)

    def assemble(layout, items, probability):
        return items

    agent = Parts(data=DataSpec(1, 2, replay="uniform"), update=update)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ItemLayout, "assemble", assemble)
        first, second = learner_of(1), learner_of(3)
        assert first.train(1, lambda *_: None)["loss"] == 4.0
        assert second.train(5, lambda *_: None)["loss"] == 12.0
        assert second.num_updates == 3 and len(traced) == 1
        assert second.train(2, lambda *_: None) == {}
        learner_of(1, size=2).step()  # Of another layout.
    assert len(traced) == 2
