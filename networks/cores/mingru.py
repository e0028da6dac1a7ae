"""The minimal gated recurrent unit.

Shapes: B batch, T time, D features, H hidden size.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
from annotated_types import Ge, Gt

from tolman.networks.core import Array, UnrolledCore, register_core
from tolman.networks.linear_recurrence import SpreadMemory, Way, spread_steps, unroll_linear


@dataclass(frozen=True)
class MinGRUConfig(SpreadMemory):
    """Settings of the minimal GRU.

    Attributes:
      hidden_size: units.
      scan: how an unroll is taken, with the same result: step by step, which is faster on a
        CPU, or associative, in parallel.
    """

    hidden_size: Annotated[int, Ge(1)] = 48
    shortest_memory: Annotated[float, Gt(1)] = 2.0
    longest_memory: Annotated[float, Gt(1)] = 100.0
    scan: Way = "auto"


@register_core("mingru")
class MinGRU(UnrolledCore):
    """A GRU whose gate and candidate see the input alone, so that all T are known at once.

    Source: Feng et al. 2024, "Were RNNs All We Needed?".
      Departure: the gate's biases spread the memories (see `MinGRUConfig`); there they
      start alike. The recurrence is not taken in logarithms, so the candidate needs no
      positive function.
    """

    def __init__(self, config: MinGRUConfig, name: str | None = None) -> None:
        super().__init__(name)
        self._config = config

    def initial_state(self, batch_size: int) -> Array:
        return jnp.zeros((batch_size, self._config.hidden_size))

    def unroll(self, x: Array, reset: Array, state: Array) -> tuple[Array, Array]:
        return unroll_linear(
            self._enter, lambda memory, x: memory, x, reset, state, self._config.scan
        )

    def _enter(self, x: Array) -> tuple[Array, Array]:
        """What is kept of a unit, and what is added to it: `[..., B, H]` each."""
        config = self._config
        steps = spread_steps(
            config.shortest_memory, config.longest_memory, config.hidden_size
        )
        biases = np.concatenate([-np.log(steps - 1.0), np.zeros_like(steps)])
        both = hk.Linear(
            2 * len(steps),
            b_init=hk.initializers.Constant(biases),
            name="gate_and_candidate",
        )(x)
        gate, candidate = jnp.split(both, 2, axis=-1)
        gate = jax.nn.sigmoid(gate)  # 1 / steps at first.
        return 1.0 - gate, gate * candidate
