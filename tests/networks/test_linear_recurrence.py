"""The recurrence h_t = a_t h_{t-1} + b_t, by hand and its ways side by side."""

from dataclasses import replace

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tolman.networks import linear_recurrence
from tolman.networks.cores import LRUConfig, MinGRUConfig, S5Config
from tolman.networks.linear_recurrence import (
    maps_take_all_rows,
    spread_steps,
    unroll_linear,
)

# The sequential way has two: its maps take all rows at once, or one after the other.
WAYS = ("sequential", "row by row", "associative")


def unroll(way, decay, value, reset, state):
    """Both maps are the identity; outputs are the memories `[T, B, M]`."""
    if way == "row by row":
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(linear_recurrence, "maps_take_all_rows", lambda *sizes: False)
            return unroll("sequential", decay, value, reset, state)
    forward = hk.without_apply_rng(
        hk.transform(
            lambda decay, value, state: unroll_linear(
                lambda x: (x[..., :1] if decay is None else decay, x[..., 1:]),
                lambda memory, x: memory,
                value,
                reset,
                state,
                way,
            )[0]
        )
    )
    return forward.apply({}, decay, value, state)


@pytest.mark.parametrize("way", WAYS)
def test_by_hand(way):
    """Decays 1/2, 3, 1/4, 2 and values 1, 2, 3, 4; row 2 opens a task."""
    x = jnp.array([[[0.5, 1]], [[3.0, 2]], [[0.25, 3]], [[2.0, 4]]])  # [T, 1, 1 + 1].
    reset = jnp.array([[False], [False], [True], [False]])
    memory = unroll(way, None, x, reset, jnp.array([[10.0]]))
    # 5 + 1, 18 + 2, then 3 alone, 6 + 4.
    np.testing.assert_allclose(memory[:, 0, 0], [6, 20, 3, 10])


@pytest.mark.parametrize("way", WAYS)
def test_a_complex_decay_of_all_rows_turns(way):
    """i, times 2 + 3i at the start, plus 1: -2 + 2i, -1 - 2i, 3 - i, and a task that opens.

    A second unit, of decay 1, adds up. Real parts come first, then imaginary ones.
    """
    x = jnp.tile(jnp.array([0.0, 1, 1, 0, 0]), (4, 1, 1))
    reset = jnp.array([[False], [False], [False], [True]])
    memory = unroll(way, jnp.array([1j, 1]), x, reset, jnp.array([[2.0, 5, 3, 6]]))
    expected = [[-2, 6, 2, 6], [-1, 7, -2, 6], [3, 8, -1, 6], [1, 1, 0, 0]]
    np.testing.assert_allclose(memory[:, 0], expected, atol=1e-6)


@pytest.mark.parametrize("way", WAYS)
def test_a_task_that_opens_in_the_first_row_knows_nothing_of_the_state(way):
    """Decays 1/2 and 3, and then i; the task of the second batch row goes on."""
    reset = jnp.array([[True, False], [False, False]])
    x = jnp.array([[[0.5, 1], [0.5, 1]], [[3.0, 2], [3.0, 2]]])  # [T, B, 1 + 1].
    memory = unroll(way, None, x, reset, jnp.array([[10.0], [10.0]]))
    np.testing.assert_allclose(memory[..., 0], [[1, 6], [5, 20]])
    x = jnp.tile(jnp.array([0.0, 1, 0]), (2, 2, 1))  # The value 1.
    memory = unroll(way, jnp.array([1j]), x, reset, jnp.full((2, 2), 3.0))
    # 1, i + 1; i (3 + 3i) + 1 = -2 + 3i, i (-2 + 3i) + 1 = -2 - 2i.
    np.testing.assert_allclose(memory[:, 0], [[1, 0], [1, 1]], atol=1e-6)
    np.testing.assert_allclose(memory[:, 1], [[-2, 3], [-2, -2]], atol=1e-6)


@pytest.mark.parametrize("way", ["sequential", "associative"])
def test_a_value_that_all_contexts_share(way):
    """Decays `[1, 2]`, 1/2 and i; the value 1 has one axis of length 1 for both of them."""
    decay = jnp.array([[0.5, 1j]])
    value = jnp.tile(jnp.array([[[1.0], [0.0]]]), (2, 1, 1, 1))  # [T, B, 2 M, 1].
    forward = hk.transform(
        lambda: unroll_linear(
            lambda rows: (decay, rows),
            lambda memory, rows: memory,
            value,
            jnp.zeros((2, 1), bool),
            jnp.array([[[2.0, 2], [0, 0]]]),
            way,
        )[0]
    )
    memory = forward.apply({}, None)
    # 1 + 1, 1 + 1; 2 i + 1, i (2 i + 1) + 1.
    np.testing.assert_allclose(memory[:, 0, 0], [[2, 1], [2, -1]], atol=1e-6)
    np.testing.assert_allclose(memory[:, 0, 1], [[0, 2], [0, 1]], atol=1e-6)


def test_maps_take_all_rows_but_of_many_memories_of_a_large_batch():
    assert maps_take_all_rows(20, 16, 118) and maps_take_all_rows(128, 64, 118)
    assert not maps_take_all_rows(128, 64, 167)
    assert not maps_take_all_rows(128, 64, 62, 4)
    assert maps_take_all_rows(1024, 16, 118)


def test_gradients_of_all_ways_agree_and_none_crosses_a_reset():
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.uniform(0.2, 1.0, size=(9, 2, 4)), jnp.float32)
    state = jnp.ones((2, 3))
    reset = np.zeros((9, 2), bool)
    reset[4, 0] = True

    def last(x, state, way):
        return jnp.square(unroll(way, None, x, reset, state)[-1]).sum()

    gradients = [
        jax.jit(jax.grad(last, argnums=(0, 1)), static_argnums=2)(x, state, way)
        for way in WAYS
    ]
    for gradient, before in gradients:
        np.testing.assert_allclose(gradient, gradients[0][0], rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(before, gradients[0][1], rtol=1e-5)
        assert not np.asarray(gradient)[:4, 0].any() and not np.asarray(before)[0].any()
        assert not np.asarray(gradient)[4, 0, 0]  # Nor of the decay where it is cut.
        assert np.asarray(gradient)[:, 1].all() and np.asarray(before)[1].all()


def test_memories_are_spread_in_logarithms():
    np.testing.assert_allclose(spread_steps(10, 1000, 3), [10, 100, 1000], rtol=1e-6)
    np.testing.assert_array_equal(spread_steps(2, 50, 1), [50])


@pytest.mark.parametrize(
    ("config", "name"),
    [
        (MinGRUConfig(shortest_memory=20, longest_memory=10), "longest_memory"),
        (LRUConfig(radius_min=0.99, radius_max=0.9), "radius_max"),
        (S5Config(time_step_min=0.5), "time_step_max"),
    ],
)
def test_a_range_upside_down_is_refused(config, name):
    assert [problem[0] for problem in config.setting_problems()] == [name]
    assert not list(replace(config, **{name: 0.999 * 1000}).setting_problems())
