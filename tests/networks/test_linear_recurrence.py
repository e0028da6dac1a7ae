"""The recurrence h_t = a_t h_{t-1} + b_t, and how the cores on it begin."""

from dataclasses import replace

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tolman.networks import linear_recurrence
from tolman.networks.cores import LRU, S5, LRUConfig, MinGRU, MinGRUConfig, S5Config
from tolman.networks.cores.state_space import hippo
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


def first_params(core, config):
    def forward(x, reset):
        module = core(config, name="core")
        return module.unroll(x, reset, module.initial_state(1))[0]

    transformed = hk.without_apply_rng(hk.transform(forward))
    x, reset = jnp.zeros((1, 1, 3)), jnp.zeros((1, 1), bool)
    return jax.jit(transformed.init)(jax.random.PRNGKey(0), x, reset)


def test_the_units_of_mingru_keep_what_they_are_set_to():
    """Without input, a unit that remembers n steps keeps 1 - 1/n a step."""
    config = MinGRUConfig(hidden_size=3, shortest_memory=10, longest_memory=1000)
    biases = first_params(MinGRU, config)["core/~_enter/gate_and_candidate"]["b"]
    np.testing.assert_allclose(jax.nn.sigmoid(biases[:3]), [0.1, 0.01, 0.001], rtol=1e-5)
    np.testing.assert_array_equal(biases[3:], 0)
    assert not biases.weak_type  # Of a weak type, the first update would compile again.


def test_decays_of_the_lru_start_in_their_ring():
    config = LRUConfig(4, state_size=2000, radius_min=0.5, radius_max=0.9, phase_max=1.0)
    params = first_params(LRU, config)["core"]
    radius, phase = np.exp(-np.exp(params["log_rate"])), np.exp(params["log_phase"])
    assert 0.5 <= radius.min() < 0.51 and 0.89 < radius.max() <= 0.9
    # Even over the area: half of them beyond the root of (0.25 + 0.81) / 2 = 0.728.
    assert (radius > 0.728).mean() == pytest.approx(0.5, abs=0.04)
    assert 0 < phase.min() < 0.01 and 0.99 < phase.max() <= 1.0
    np.testing.assert_allclose(
        np.exp(params["log_scale"]), np.sqrt(1 - radius**2), rtol=1e-4
    )


def test_s5_starts_as_hippo():
    """A = -1/2 - (skew part), made again from its kept eigenvalues and their conjugates."""
    values, vectors = hippo(6)
    values = np.concatenate([values, values.conj()])
    vectors = np.concatenate([vectors, vectors.conj()], axis=1)
    matrix = vectors @ np.diag(values) @ vectors.conj().T
    n = np.arange(6)[:, None]
    root = np.sqrt((n + 0.5) * (n.T + 0.5))
    expected = np.where(n > n.T, -root, root)  # Smith et al. 2023, equation 10.
    np.fill_diagonal(expected, -0.5)
    np.testing.assert_allclose(matrix, expected, atol=1e-10)
    config = S5Config(4, state_size=400, time_step_min=0.01, time_step_max=0.5)
    steps = np.exp(first_params(S5, config)["core"]["log_time_step"])
    assert 0.01 <= steps.min() < 0.012 and 0.45 < steps.max() <= 0.5


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
