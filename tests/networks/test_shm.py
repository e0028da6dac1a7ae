"""What the stable Hadamard memory starts with, and what keeps it finite."""

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tolman.networks.cores import SHM, SHMConfig


def unroll(config, x, memory=None, seed=0):
    """Parameters, and the state after an unroll of that core from that memory."""

    def forward(x):
        core = SHM(config)
        state = core.initial_state(x.shape[1])
        if memory is not None:
            state = state._replace(memory=jnp.broadcast_to(memory, state.memory.shape))
        return core.unroll(x, jnp.zeros(x.shape[:2], bool), state)[1]

    transformed = hk.without_apply_rng(hk.transform(forward))
    params = jax.jit(transformed.init)(jax.random.PRNGKey(seed), x)
    return params, jax.jit(transformed.apply)(params, x)


def test_a_typical_number_falls_to_1_over_e_in_the_typical_memory():
    """Over inputs and calibrations the logarithm of what is left after N steps is -1."""
    config = SHMConfig(memory_size=64, typical_memory=40.0, num_calibrations=4000)
    x = np.random.default_rng(0).normal(size=(40, 8, 300)).astype(np.float32)
    # So large that what is written in these steps is nothing beside it.
    params, state = unroll(config, x, memory=1e3)
    left = np.log(np.asarray(state.memory) / 1e3)
    assert left.mean() == pytest.approx(-1.0, abs=0.15)
    rows = params["shm"]["calibrations"]
    assert rows.var() == pytest.approx(2 / 40, rel=0.05)


def test_equal_inputs_grow_no_further_than_the_largest():
    """One calibration and one input: 1 + tanh(c u) to the power of 20,000."""
    x = np.ones((20_000, 1, 3), np.float32) * np.array([3.0, -1.0, 0.5], np.float32)
    config = SHMConfig(memory_size=6, num_calibrations=1, largest=50.0)
    _, state = unroll(config, x)
    memory = np.abs(np.asarray(state.memory))
    assert memory.max() == 50.0
    assert np.isfinite(memory).all()


def test_calibrations_take_turns():
    """Seven rows of three: the next one is the second."""
    _, state = unroll(SHMConfig(num_calibrations=3), np.ones((7, 2, 4), np.float32))
    np.testing.assert_array_equal(state.turn, [1, 1])
