"""What a memory core costs: its parameters, its state, and the arithmetic of a step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import haiku as hk
import jax
import jax.numpy as jnp

from tolman.networks.core import Array, MemoryCore, State, split_inputs


class CoreSize(NamedTuple):
    """Attributes:
    num_parameters: numbers that are learned.
    state_bytes: of the state of one environment.
    """

    num_parameters: int
    state_bytes: int


class CoreCost(NamedTuple):
    """Attributes:
    num_parameters: numbers that are learned.
    state_bytes: of the state of one environment.
    step_flops: floating-point operations of one step of one environment, a multiplication
      and an addition counted apart, as XLA's cost analysis counts them.
    """

    num_parameters: int
    state_bytes: int
    step_flops: int


def core_cost(make_core: Callable[[], MemoryCore], num_features: int) -> CoreCost:
    """Measures a core without running it.

    Args:
      make_core: builds the core; called inside a Haiku transform.
      num_features: D of its input.
    """
    step, params, inputs, size = _step(make_core, num_features)
    analysis: Any = jax.jit(step.apply).lower(params, *inputs).cost_analysis()
    return CoreCost(size.num_parameters, size.state_bytes, round(analysis["flops"]))


def core_size(make_core: Callable[[], MemoryCore], num_features: int) -> CoreSize:
    """The part of `core_cost` for which nothing is compiled; takes the same."""
    return _step(make_core, num_features)[-1]


def _step(make_core: Callable[[], MemoryCore], num_features: int) -> Any:
    """One step of one environment, the shapes that it takes, and the core's size."""

    def step(x: Array, reset: Array) -> tuple[Array, State]:
        core = make_core()
        return core(split_inputs(core, x), reset, core.initial_state(1))

    transformed: Any = hk.without_apply_rng(hk.transform(step))
    inputs = jnp.zeros((1, num_features)), jnp.zeros(1, bool)
    params = jax.eval_shape(transformed.init, jax.random.PRNGKey(0), *inputs)
    _, state = jax.eval_shape(transformed.apply, params, *inputs)
    size = CoreSize(
        sum(leaf.size for leaf in jax.tree.leaves(params)),
        sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(state)),
    )
    return transformed, params, inputs, size
