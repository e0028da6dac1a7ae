"""A memory core as pure functions, with parameters of its own: what a check calls.

Shapes: B batch, T time, D features, H output size.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np

from tolman.networks.core import (
    Array,
    Diagnostics,
    MemoryCore,
    State,
    run_core,
    scan_steps,
    split_inputs,
)


class BoundCore(NamedTuple):
    """The methods of a core, compiled, its parameters bound.

    Attributes:
      params: the parameters.
      initial_state: takes a batch size.
      step: takes `x` `[B, D]`, `reset` `[B]` and a state.
      unroll: takes `[T, B, D]`, `[T, B]` and a state.
      diagnose: the same; see `run_core`.
      gradients: takes these and weights `[T, B]`, by which the sum of all outputs is
        weighted; returns its gradients by parameters and inputs, of the unroll and of the
        steps.
    """

    params: Any
    initial_state: Callable[[int], State]
    step: Callable[[np.ndarray, np.ndarray, State], tuple[Array, State]]
    unroll: Callable[[np.ndarray, np.ndarray, State], tuple[Array, State]]
    diagnose: Callable[[np.ndarray, np.ndarray, State], tuple[Array, State, Diagnostics]]
    gradients: Callable[[np.ndarray, np.ndarray, State, np.ndarray], tuple[Any, Any]]


def bind_core(
    make_core: Callable[[], MemoryCore], x: np.ndarray, reset: np.ndarray, seed: int
) -> BoundCore:
    """Initialises a core, and binds its methods to twice its first parameters.

    Args:
      make_core: builds the core; called inside a Haiku transform.
      x: `[T, B, D]`, of the shapes and types of what the core will be given.
      reset: `[T, B]`.
      seed: of the parameters.
    """

    def build() -> Any:
        core = make_core()

        def init(x: Array, reset: Array) -> Any:
            return unroll(x, reset, core.initial_state(x.shape[1]))

        def step(x: Array, reset: Array, state: State) -> Any:
            return core(split_inputs(core, x), reset, state)

        def unroll(x: Array, reset: Array, state: State) -> Any:
            return core.unroll(split_inputs(core, x), reset, state)

        def diagnose(x: Array, reset: Array, state: State) -> Any:
            return run_core(core, split_inputs(core, x), reset, state)

        def steps(x: Array, reset: Array, state: State) -> Any:
            return scan_steps(step, (x, reset), state)

        return init, (core.initial_state, step, unroll, diagnose, steps)

    transformed = hk.without_apply_rng(hk.multi_transform(build))
    params = jax.jit(transformed.init)(jax.random.PRNGKey(seed), x, reset)
    # Large parameters make a leak visible: a gate that is shut hides it.
    params = jax.tree.map(lambda leaf: 2.0 * np.asarray(leaf), params)
    initial_state, step, unroll, diagnose, steps = transformed.apply

    def gradients(params: Any, *inputs: Any) -> Any:
        return tuple(_gradients(run, params, *inputs) for run in (unroll, steps))

    return BoundCore(
        params,
        functools.partial(jax.jit(initial_state, static_argnums=1), params),
        *(
            functools.partial(jax.jit(method), params)
            for method in (step, unroll, diagnose, gradients)
        ),
    )


def _gradients(
    run: Any, params: Any, x: Array, reset: Array, state: State, weights: Array
) -> Any:
    def objective(params: Any, x: Array) -> Array:
        outputs, _ = run(params, x, reset, state)
        return (outputs * jnp.expand_dims(weights, range(2, outputs.ndim))).sum()

    return jax.grad(objective, argnums=(0, 1))(params, x)
