"""Convolutions beside Haiku's and jax's own."""

import re

import haiku as hk
import jax
import numpy as np
import pytest
from jax import lax

from tolman.networks.images import NAMES, Conv2D, convolve

CASES = [
    # Height, width, size, stride, padding.
    (84, 84, 8, 4, ((0, 0), (0, 0))),
    (20, 20, 4, 2, ((0, 0), (0, 0))),
    (9, 9, 3, 1, ((0, 0), (0, 0))),
    (7, 10, 4, 2, ((0, 1), (0, 0))),
    (5, 6, 3, 2, ((1, 1), (2, 0))),
    (3, 11, 5, 3, ((0, 2), (1, 2))),  # The last columns lie in no window.
    (4, 4, 1, 1, ((0, 0), (0, 0))),
]


def drawn(*shape, seed=0):
    return jax.random.normal(jax.random.PRNGKey(seed), shape)


def plain(x, w, stride, padding):
    return lax.conv_general_dilated(
        x, w, (stride, stride), padding, dimension_numbers=NAMES
    )


@pytest.mark.parametrize(("height", "width", "size", "stride", "padding"), CASES)
def test_values_and_gradients_are_jax_s_own(height, width, size, stride, padding):
    x, w = drawn(2, height, width, 3), drawn(size, size, 3, 5, seed=1)
    weights = drawn(*plain(x, w, stride, padding).shape, seed=2)

    def loss(function):
        return lambda x, w: (function(x, w, stride, padding) * weights).sum()

    ours = jax.value_and_grad(loss(convolve), (0, 1))(x, w)
    theirs = jax.value_and_grad(loss(plain), (0, 1))(x, w)
    for got, wanted in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-4)


def test_it_is_haiku_s_layer():
    x, padding = drawn(2, 9, 9, 3), ((0, 1), (0, 1))
    ours = hk.without_apply_rng(hk.transform(lambda x: Conv2D(4, 4, 2, padding)(x)))
    theirs = hk.transform(lambda x: hk.Conv2D(4, 4, 2, padding=padding)(x))
    theirs = hk.without_apply_rng(theirs)
    key = jax.random.PRNGKey(3)
    params, wanted = ours.init(key, x), theirs.init(key, x)
    jax.tree.map(np.testing.assert_array_equal, params, wanted)
    np.testing.assert_array_equal(ours.apply(params, x), theirs.apply(params, x))


def test_members_of_a_population_have_gradients_of_their_own():
    x, w = drawn(2, 8, 8, 3), drawn(2, 4, 4, 3, 5, seed=1)
    slope = jax.grad(lambda w: (convolve(x, w, 2, ((0, 0), (0, 0))) ** 2).sum())
    np.testing.assert_allclose(jax.vmap(slope)(w)[1], slope(w[1]), rtol=1e-4, atol=1e-3)


def test_no_convolution_of_a_loop_is_in_an_order_without_fast_code():
    x, w = drawn(2, 12, 12, 3), (drawn(4, 4, 3, 5, seed=1), drawn(2, 2, 5, 5, seed=2))
    none = ((0, 0), (0, 0))

    def loss(w):
        return (convolve(convolve(x, w[0], 4, none), w[1], 1, none) ** 2).sum()

    def step(w, _):
        return jax.tree.map(lambda a, b: a - 1e-3 * b, w, jax.grad(loss)(w)), None

    program = jax.jit(lambda w: lax.scan(step, w, None, length=3)[0]).lower(w).compile()
    orders = re.findall(r" convolution\(.*dim_labels=(\S+?)[,\s]", program.as_text())
    assert len(orders) >= 5 and set(orders) == {"b01f_01io->b01f"}
