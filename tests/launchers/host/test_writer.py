"""What lies in Reverb is what an unroll says, worked out by hand."""

import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reverb

from tolman.agents.agent import DataSpec, Decision
from tolman.envs.environment import TimeStep
from tolman.launchers.host.reverb import TABLE
from tolman.launchers.host.reverb.packing import Packing
from tolman.launchers.host.reverb.replay import ItemLayout
from tolman.launchers.host.reverb.writer import UnrollWriter


def timestep(t, num_envs=2):
    """Of environments 0, 1, ...: observation 10 t + the environment's number."""
    numbers = 10 * t + np.arange(num_envs)
    return TimeStep(
        step_type=(numbers % 3).astype(np.int32),
        reward=numbers.astype(np.float32) / 4,
        discount=np.ones(num_envs, np.float32),
        observation={"a": numbers.astype(np.float64), "b": numbers.astype(np.uint8)},
        new_task=numbers % 2 == 0,
    )


def make_layout(unroll_length, group_size):
    decision = Decision(
        np.zeros(group_size, np.int32), np.zeros((group_size, 3), jnp.bfloat16)
    )
    row = (timestep(0, group_size), decision, np.zeros((), np.int32))
    state = (np.zeros((group_size, 2), np.float32),)
    num_items = 2 // group_size
    return ItemLayout(Packing(row), Packing(state), unroll_length, group_size, num_items)


@pytest.fixture
def server():
    server = reverb.Server([reverb.Table.queue(TABLE, 100)])
    yield server
    server.stop()


def write(server, unroll_length, period, num_decisions, group_size=2, priority=1.0):
    """Two environments; decision t is t and -t of version 7 + t, after state 100 + t."""
    layout = make_layout(unroll_length, group_size)
    data = DataSpec(unroll_length, 2, period=period)
    address = f"localhost:{server.port}"
    writer = UnrollWriter(address, data, layout, 2, threading.Event(), lambda: priority)
    for t in range(-1, num_decisions):
        logits = np.stack([np.full((2, 3), t)]).reshape(2, 3).astype(jnp.bfloat16)
        decision = Decision(np.array([t, -t], np.int32), logits)
        state = (jnp.full((2, 2), 101.0 + t),)
        writer.append(timestep(t + 1), None if t < 0 else decision, 7 + t, state)
    writer.close()
    return layout


def read(server, layout):
    """All items as `[I, ...]` columns."""
    client = reverb.Client(f"localhost:{server.port}")
    number = client.server_info()[TABLE].current_size
    samples = list(client.sample(TABLE, number, emit_timesteps=False))
    # The columns stand in the order of their names.
    columns = zip(*(sample.data for sample in samples), strict=True)
    items = dict(zip(("actor_state", "row"), map(np.stack, columns), strict=True))
    assert set(items) == set(layout.signature())
    return items, [sample.info.priority for sample in samples]


def check(items, layout, starts, num_groups=1):
    unroll = jax.jit(lambda items: layout.assemble(items, None))(items)
    times = np.stack([np.arange(s, s + layout.unroll_length + 1) for s in starts], -1)
    numbers = 10 * times[:, :, None] + np.arange(2)  # [T + 1, I, environments]
    numbers = numbers.reshape(len(times), -1)
    decisions = np.stack([times[:-1], -times[:-1]], -1).reshape(len(times) - 1, -1)
    np.testing.assert_array_equal(unroll.timestep.observation["a"], numbers)
    assert unroll.timestep.observation["a"].dtype == np.float32
    np.testing.assert_array_equal(unroll.timestep.observation["b"], numbers % 256)
    np.testing.assert_array_equal(unroll.timestep.step_type, numbers % 3)
    np.testing.assert_array_equal(unroll.timestep.reward, numbers / 4)
    np.testing.assert_array_equal(unroll.timestep.new_task, numbers % 2 == 0)
    np.testing.assert_array_equal(unroll.action, decisions)
    assert unroll.policy.dtype == jnp.bfloat16
    np.testing.assert_array_equal(unroll.policy[..., 0], np.abs(decisions))
    state = np.repeat(100.0 + np.asarray(starts), 2)
    np.testing.assert_array_equal(unroll.actor_state[0], np.stack([state, state], -1))
    versions = np.repeat(7 + np.asarray(starts), num_groups)
    np.testing.assert_array_equal(layout.versions(items), versions)


def test_items_that_do_not_overlap_share_their_border_row(server):
    layout = write(server, unroll_length=3, period=3, num_decisions=8)
    items, _ = read(server, layout)
    check(items, layout, starts=[0, 3])  # Of the third item only two decisions came.


def test_items_that_overlap_start_one_period_apart(server):
    layout = write(server, unroll_length=3, period=2, num_decisions=8)
    check(read(server, layout)[0], layout, starts=[0, 2, 4])


def test_environments_have_items_of_their_own(server):
    layout = write(server, 3, 3, 8, group_size=1, priority=2.5)
    items, priorities = read(server, layout)
    assert items["row"].shape[0] == 4 and priorities == [2.5] * 4
    # The items of one environment stand beside those of the other.
    check(items, layout, starts=[0, 3], num_groups=2)


def test_no_bit_is_lost_on_the_way():
    chance = np.random.default_rng(0)
    dtypes = (np.uint8, np.int8, np.int16, np.uint32, np.float16, np.float32, jnp.bfloat16)
    tree = {
        jnp.dtype(dtype).name: chance.integers(
            0, 256, (5, 3, 2 * jnp.dtype(dtype).itemsize)
        )
        .astype(np.uint8)
        .view(dtype)
        for dtype in dtypes
    }
    tree["bool"] = chance.random((5, 4)) < 0.5
    packing = Packing(jax.tree.map(lambda leaf: leaf[0], tree))
    packed = packing.pack(tree, 5)
    assert (
        packed.shape
        == (5, packing.num_bytes)
        == (5, 3 * 2 * (1 + 1 + 2 + 4 + 2 + 4 + 2) + 4)
    )
    for got in (packing.read(packed), jax.jit(packing.unpack)(packed)):
        for name, leaf in tree.items():
            assert got[name].dtype == leaf.dtype and got[name].shape == leaf.shape
            assert np.asarray(got[name]).tobytes() == leaf.tobytes()
