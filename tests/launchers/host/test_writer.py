"""What lies in a replay is what an unroll says, worked out by hand."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tolman.agents.agent import DataSpec, Decision
from tolman.envs.environment import TimeStep
from tolman.launchers.host.layout import ItemLayout
from tolman.launchers.host.packing import Packing


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


def make_layout(unroll_length, group_size, num_items):
    decision = Decision(
        np.zeros(group_size, np.int32), np.zeros((group_size, 3), jnp.bfloat16)
    )
    row = (timestep(0, group_size), decision, np.zeros((), np.int32))
    state = (np.zeros((group_size, 2), np.float32),)
    return ItemLayout(Packing(row), Packing(state), unroll_length, group_size, num_items)


@pytest.fixture
def write(open_replay):
    return functools.partial(_write, open_replay)


def _write(open_replay, unroll_length, period, num_decisions, num_items, group_size=2):
    """Two environments; decision t is t and -t of version 7 + t, after state 100 + t.

    Returns their layout, and all items as `[I, ...]` columns.
    """
    layout = make_layout(unroll_length, group_size, num_items)
    data = DataSpec(unroll_length, 2, period=period)
    replay = open_replay(data, layout, num_streams=2 // group_size)
    writer = replay.writer(2, lambda: 1.0)
    for t in range(-1, num_decisions):
        logits = np.stack([np.full((2, 3), t)]).reshape(2, 3).astype(jnp.bfloat16)
        decision = Decision(np.array([t, -t], np.int32), logits)
        state = (jnp.full((2, 2), 101.0 + t),)
        writer.append(timestep(t + 1), None if t < 0 else decision, 7 + t, state)
    items = replay.next(20.0).items
    assert replay.next(0.1) is None
    writer.close()
    assert set(items) == set(layout.columns())
    return items, layout


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


def test_items_that_do_not_overlap_share_their_border_row(write):
    # Of the third item only two decisions came.
    items, layout = write(unroll_length=3, period=3, num_decisions=8, num_items=2)
    check(items, layout, starts=[0, 3])


def test_items_that_overlap_start_one_period_apart(write):
    items, layout = write(unroll_length=3, period=2, num_decisions=8, num_items=3)
    check(items, layout, starts=[0, 2, 4])


def test_items_may_have_rows_between_them(write):
    items, layout = write(unroll_length=2, period=4, num_decisions=11, num_items=3)
    check(items, layout, starts=[0, 4, 8])


def test_environments_have_items_of_their_own(write):
    items, layout = write(3, 3, 8, num_items=4, group_size=1)
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
