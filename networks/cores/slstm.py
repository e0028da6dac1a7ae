"""The sLSTM: exponential gates, and heads that do not mix.

Shapes: B batch, T time, D features, heads, H hidden size.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, NamedTuple

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
from annotated_types import Ge, Gt

from tolman.networks.core import Array, register_core, reset_state, scan_steps
from tolman.networks.linear_recurrence import SpreadMemory, spread_steps

EMPTY = -1e30  # The logarithm of the weight of nothing.


class SLSTMState(NamedTuple):
    """All `[B, H]`.

    Attributes:
      hidden: the output.
      cell: the weighted sum of candidates.
      weight: the sum of the weights, in units of `exp(log_unit)`.
      log_unit: the logarithm of the largest weight so far, decayed.
    """

    hidden: Array
    cell: Array
    weight: Array
    log_unit: Array


@dataclass(frozen=True)
class SLSTMConfig(SpreadMemory):
    """Settings of the sLSTM.

    Attributes:
      hidden_size: units; a multiple of `num_heads`.
      num_heads: groups of units; the gates of one see the outputs of that alone.
    """

    hidden_size: Annotated[int, Ge(1)] = 48
    num_heads: Annotated[int, Ge(1)] = 4
    shortest_memory: Annotated[float, Gt(1)] = 2.0
    longest_memory: Annotated[float, Gt(1)] = 100.0

    def setting_problems(self) -> Iterator[tuple[str, str]]:
        if self.hidden_size % self.num_heads:
            yield "hidden_size", f"a multiple of num_heads = {self.num_heads}"
        yield from super().setting_problems()


@register_core("slstm")
class SLSTM(hk.Module):
    """An LSTM whose input gate is an exponential, so that it can outweigh all that is kept.

    Source: Beck et al. 2024, "xLSTM", with a sigmoid as forget gate, and their running
      maximum, which keeps the exponentials finite.
      Departure: the forget gates' biases spread the memories of a head's units; no
      convolution, no norm and no projection around the layer.
    """

    def __init__(self, config: SLSTMConfig, name: str | None = None) -> None:
        super().__init__(name)
        self._config = config

    def initial_state(self, batch_size: int) -> SLSTMState:
        zeros = jnp.zeros((batch_size, self._config.hidden_size))
        return SLSTMState(zeros, zeros, zeros, jnp.full_like(zeros, EMPTY))

    def __call__(
        self, x: Array, reset: Array, state: SLSTMState
    ) -> tuple[Array, SLSTMState]:
        config, heads = self._config, self._config.num_heads
        size = config.hidden_size // heads
        state = reset_state(state, self.initial_state(len(x)), reset)
        init = hk.initializers.VarianceScaling()
        weights = hk.get_parameter("recurrent_gates", (heads, size, 4 * size), init=init)
        steps = spread_steps(config.shortest_memory, config.longest_memory, size)
        biases = np.zeros((heads, 4, size), np.float32)
        biases[:, 2] = np.log(steps - 1.0)  # The forget gates.
        b_init = hk.initializers.Constant(biases.reshape(-1))
        gates = hk.Linear(4 * config.hidden_size, b_init=b_init, name="input_gates")(x)
        hidden = state.hidden.reshape(-1, heads, size)
        gates = gates.reshape(-1, heads, 4 * size) + jnp.einsum(
            "bhk,hkg->bhg", hidden, weights
        )
        candidate, log_input, forget, output = (
            gate.reshape(-1, config.hidden_size) for gate in jnp.split(gates, 4, axis=-1)
        )
        log_kept = jax.nn.log_sigmoid(forget) + state.log_unit
        log_unit = jnp.maximum(log_kept, log_input)
        kept, entering = jnp.exp(log_kept - log_unit), jnp.exp(log_input - log_unit)
        cell = kept * state.cell + entering * jnp.tanh(candidate)
        weight = kept * state.weight + entering  # At least 1.
        hidden = jax.nn.sigmoid(output) * cell / weight
        return hidden, SLSTMState(hidden, cell, weight, log_unit)

    def unroll(self, x: Array, reset: Array, state: SLSTMState) -> tuple[Array, SLSTMState]:
        return scan_steps(self, (x, reset), state)
