"""Tables, batches and priorities: what an agent's data ask for is what Reverb is told."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reverb

from tolman.agents.agent import DataSpec, Learned
from tolman.launchers.host.learner import AgentLearner
from tolman.launchers.host.priorities import PriorityScale, initial_priorities
from tolman.launchers.host.reverb import TABLE, batches
from tolman.launchers.host.reverb.batches import Batch, Batches
from tolman.launchers.host.reverb.packing import Packing
from tolman.launchers.host.reverb.replay import ItemLayout, make_table

PRIORITIZED = DataSpec(
    1, 2, replay="prioritized", capacity=3, min_size=2, samples_per_insert=4.0,
    priority_exponent=2.0,
)  # fmt: skip


def layout_of(num_items=2):
    """Items of two rows, each the version of the parameters that acted."""
    version = np.zeros((), np.int32)
    row = Packing((np.zeros(0), np.zeros(0), version))
    return ItemLayout(row, Packing(version), 1, 1, num_items)


def insert(server, layout, version, priority=1.0):
    """Inserts an item, which has waited for nothing when this returns."""
    rows = layout.row.pack((np.zeros((2, 0)), np.zeros((2, 0)), np.full(2, version)), 2)
    state = layout.actor_state.pack(np.zeros(1, np.int32), 1)[0]
    with reverb.Client(f"localhost:{server.port}").trajectory_writer(2) as writer:
        writer.append({"row": rows[0], "actor_state": state})
        writer.append({"row": rows[1]})
        item = {
            "row": writer.history["row"][:],
            "actor_state": writer.history["actor_state"][0],
        }
        writer.create_item(TABLE, priority, item)
        writer.flush()


def first_batch(server, data, layout):
    reader = Batches([f"localhost:{server.port}"], data, layout, jax.devices()[0])
    try:
        return reader.next(20.0)
    finally:
        reader.close()


@pytest.fixture
def serve(monkeypatch):
    monkeypatch.setattr(batches, "SECONDS_A_REQUEST", 0.5)
    servers = []

    def start(data, layout):
        servers.append(reverb.Server([make_table(data, layout)]))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


def test_a_queue_is_read_in_its_order(serve):
    data, layout = DataSpec(1, 3), layout_of(3)
    server = serve(data, layout)
    for version in range(3):
        insert(server, layout, version)
    assert first_batch(server, data, layout).versions.tolist() == [0, 1, 2]


def test_a_replay_forgets_the_oldest_and_tells_probabilities(serve):
    """Of priorities 5, 1, 2, 3 the first is gone; squared, the others are 1, 4 and 9."""
    layout = layout_of()
    server = serve(PRIORITIZED, layout)
    for version, priority in enumerate((5.0, 1.0, 2.0, 3.0)):
        insert(server, layout, version, priority)
    batch = first_batch(server, PRIORITIZED, layout)
    expected = np.array([np.nan, 1, 4, 9]) / 14
    np.testing.assert_allclose(batch.probability, expected[batch.versions], rtol=1e-5)


def test_a_replay_is_drawn_from_as_often_as_the_agent_asks():
    limits = make_table(PRIORITIZED, layout_of()).info.rate_limiter_info
    assert (limits.samples_per_insert, limits.min_size_to_sample) == (4.0, 2)
    slack = 2 * 4.0  # A batch of 2, four times.
    assert (limits.min_diff, limits.max_diff) == (4.0 * 2 - slack, 4.0 * 2 + slack)


def test_priorities_go_to_the_server_that_the_batch_came_from():
    """In units of the largest of the first batch; the agent gets their probabilities."""
    told = [[], []]
    clients = [
        SimpleNamespace(mutate_priorities=lambda table, updates, to=to: to.append(updates))
        for to in told
    ]
    keys, versions = np.array([11, 12], np.uint64), np.zeros(2, np.int64)
    batch = Batch(jnp.zeros(2), jnp.array([0.25, 0.75]), keys, versions, shard=1)

    def update(state, probability, key, progress):
        metrics = {"probability": probability[1], "progress": progress}
        return Learned(state, metrics, jnp.array([2.0, 4.0]))

    learner = AgentLearner(
        SimpleNamespace(data=PRIORITIZED, update=update),
        SimpleNamespace(assemble=lambda items, probability: probability),
        lambda: batch,
        jnp.zeros(()),
        num_updates=1,
        total_updates=4,
        seed=0,
        clients=clients,
        priorities=PriorityScale(initial_priorities(PRIORITIZED)),
    )
    assert learner.step() == {"probability": 0.75, "progress": 0.25}
    learner.save()
    assert told == [[], [{11: 0.5, 12: 1.0}]]
