"""Fast and forgetful memory.

Shapes: B batch, T time, D features, M traces, C contexts, H output size.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
from annotated_types import Ge, Gt

from tolman.networks.core import Array, UnrolledCore, register_core
from tolman.networks.linear_recurrence import (
    ComplexState,
    Way,
    from_halves,
    spread_steps,
    to_halves,
    unroll_linear,
    zero_complex_state,
)

KEPT = 0.01  # Of a content at the end of a trace's memory: Morad et al. 2023.


@dataclass(frozen=True)
class FFMConfig:
    """Settings of fast and forgetful memory.

    Attributes:
      hidden_size: units of the output.
      num_traces: numbers that enter the memory at a row; each decays at a rate of its own.
      num_contexts: frequencies at which all of them turn.
      longest_memory: steps after which the slowest trace keeps 0.01 at first, and the
        longest period; the others lie between 1 and it, evenly in logarithms. For what must
        be kept N steps, at least 4 N.
      scan: how an unroll is taken, with the same result: step by step, which is faster on a
        CPU, or associative, in parallel.
    """

    hidden_size: Annotated[int, Ge(1)] = 48
    num_traces: Annotated[int, Ge(1)] = 32
    num_contexts: Annotated[int, Ge(1)] = 4
    longest_memory: Annotated[float, Gt(1)] = 1024.0
    scan: Way = "auto"


@register_core("ffm")
class FFM(UnrolledCore):
    """A sum of inputs that decay and turn: what, and how long ago.

    Source: Morad et al. 2023, "Reinforcement Learning with Fast and Forgetful Memory".
      Departure: rates and periods begin evenly in logarithms. A row takes one step of the
      recurrence from the last, so no power of a decay is ever taken and none can overflow.
    """

    def __init__(self, config: FFMConfig, name: str | None = None) -> None:
        super().__init__(name)
        self._config = config

    def initial_state(self, batch_size: int) -> ComplexState:
        return zero_complex_state(
            batch_size, self._config.num_traces, self._config.num_contexts
        )

    def unroll(
        self, x: Array, reset: Array, state: ComplexState
    ) -> tuple[Array, ComplexState]:
        memory, way = to_halves(state), self._config.scan
        outputs, memory = unroll_linear(self._enter, self._leave, x, reset, memory, way)
        return outputs, from_halves(memory)

    def _enter(self, x: Array) -> tuple[Array, Array]:
        """Decays `[M, C]`, and values `[R, 2 M, 1]`, alike for all contexts."""
        config = self._config
        traces = spread_steps(1.0, config.longest_memory, config.num_traces)
        periods = spread_steps(1.0, config.longest_memory, config.num_contexts)
        rate = hk.get_parameter(
            "rate", traces.shape, init=hk.initializers.Constant(-math.log(KEPT) / traces)
        )
        frequency = hk.get_parameter(
            "frequency", periods.shape, init=hk.initializers.Constant(2 * np.pi / periods)
        )
        decay = jnp.exp(-jnp.abs(rate)[:, None] + 1j * frequency)
        size = config.num_traces
        value = hk.Linear(size, name="value")(x)
        value *= jax.nn.sigmoid(hk.Linear(size, name="value_gate")(x))
        return decay, jnp.concatenate([value, jnp.zeros_like(value)], axis=-1)[..., None]

    def _leave(self, memory: Array, x: Array) -> Array:
        size = self._config.hidden_size
        read = hk.Linear(size, name="read")(memory.reshape(len(memory), -1))
        read = hk.LayerNorm(-1, create_scale=False, create_offset=False)(read)
        gate = jax.nn.sigmoid(hk.Linear(size, name="read_gate")(x))
        return gate * read + (1.0 - gate) * hk.Linear(size, name="past")(x)
