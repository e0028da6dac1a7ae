"""Runs a core with fixed parameters, for tests of a single core."""

import functools

import haiku as hk
import jax
import numpy as np


def bind(make_core, num_features, seed=0, scale=1.0):
    """Returns the parameters, the initial state of any batch, and a jitted unroll."""

    def build():
        core = make_core()

        def init(x, reset):
            return core.unroll(x, reset, core.initial_state(x.shape[1]))

        return init, (core.initial_state, core.unroll, core.__call__)

    transformed = hk.without_apply_rng(hk.multi_transform(build))
    x, reset = np.zeros((1, 1, num_features), np.float32), np.zeros((1, 1), bool)
    params = jax.jit(transformed.init)(jax.random.PRNGKey(seed), x, reset)
    params = jax.tree.map(lambda leaf: scale * np.asarray(leaf), params)
    initial_state, unroll, step = transformed.apply
    return (
        params,
        functools.partial(jax.jit(initial_state, static_argnums=1), params),
        jax.jit(unroll),
        jax.jit(step),
    )


def inputs(num_steps, batch_size, num_features, reset_rate=0.2, seed=0):
    """Random inputs `[T, B, D]` and resets `[T, B]`."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(num_steps, batch_size, num_features)).astype(np.float32)
    return x, rng.random((num_steps, batch_size)) < reset_rate


def softmax(z):
    z = np.exp(z - z.max(-1, keepdims=True))
    return z / z.sum(-1, keepdims=True)


def sigmoid(z):
    return 1.0 / (1.0 + np.exp(-z))


def normalise(z):
    return (z - z.mean(-1, keepdims=True)) / np.sqrt(z.var(-1, keepdims=True) + 1e-5)
