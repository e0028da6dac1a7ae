"""The convolution of Mamba, whose last inputs are state."""

import jax.numpy as jnp
import numpy as np

from tolman.networks.convolution import causal_convolution


def test_by_hand_with_a_task_that_opens():
    """Weights 1, 10, 100 of a row, the one before, and the one before that."""
    x = jnp.array([1.0, 2, 3, 4])[:, None, None]
    reset = jnp.array([[False], [False], [True], [False]])
    earlier = jnp.array([[[7.0], [8.0]]])  # The newest is the last.
    weights = jnp.array([[1.0], [10.0], [100.0]])
    outputs, last = causal_convolution(x, reset, earlier, weights)
    np.testing.assert_array_equal(outputs[:, 0, 0], [781, 812, 3, 34])
    np.testing.assert_array_equal(last[0, :, 0], [3, 4])


def test_what_is_handed_on_holds_the_present_task_alone():
    x, weights = jnp.ones((1, 2, 1)), jnp.ones((4, 1))
    earlier = jnp.array([[[5.0], [6.0], [7.0]]] * 2)
    reset = jnp.array([[True, False]])
    _, last = causal_convolution(x, reset, earlier, weights)
    np.testing.assert_array_equal(last[:, :, 0], [[0, 0, 1], [6, 7, 1]])
