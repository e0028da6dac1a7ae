"""LSTM and GRU.

On a CPU `unroll` takes steps; on an accelerator it multiplies all T inputs by the input
weights at once, and only the recurrent product stays inside the scan.
Shapes: B batch, T time, D features, H hidden size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple

import haiku as hk
import jax
import jax.numpy as jnp
from annotated_types import Ge

from tolman.networks.core import Array, register_core, reset_state, scan_steps


def _steps_are_faster() -> bool:
    """On a CPU the gates of all T inputs do not fit the caches, and take longer to move."""
    return jax.default_backend() == "cpu"


class LSTMState(NamedTuple):
    """`hidden` and `cell`, both `[B, H]`."""

    hidden: Array
    cell: Array


@dataclass(frozen=True)
class LSTMConfig:
    """Settings of the LSTM.

    Attributes:
      hidden_size: units; 48 in most experiments of Wang et al. 2016, table 1.
      forget_bias: initial bias of the forget gate. 1 keeps 0.73 of the cell at every step
        at first (Jozefowicz et al. 2015); for what must be kept N steps, the natural
        logarithm of N (Tallec and Ollivier 2018: the largest of their biases).
      input_bias: initial bias of the input gate; where `forget_bias` is large, its
        negative (same source), so that the cell averages over N steps rather than sums.
    """

    hidden_size: Annotated[int, Ge(1)] = 48
    forget_bias: float = 1.0
    input_bias: float = 0.0


@register_core("lstm")
class LSTM(hk.Module):
    """Long short-term memory.

    Source: Hochreiter and Schmidhuber 1997; biases: see `LSTMConfig`.
    """

    def __init__(self, config: LSTMConfig, name: str | None = None) -> None:
        super().__init__(name)
        self._hidden_size = config.hidden_size
        self._forget_bias, self._input_bias = config.forget_bias, config.input_bias

    def initial_state(self, batch_size: int) -> LSTMState:
        zeros = jnp.zeros((batch_size, self._hidden_size))
        return LSTMState(zeros, zeros)

    def __call__(self, x: Array, reset: Array, state: LSTMState) -> tuple[Array, LSTMState]:
        return self._step(self._project(x), reset, state)

    def unroll(self, x: Array, reset: Array, state: LSTMState) -> tuple[Array, LSTMState]:
        if _steps_are_faster():
            return scan_steps(self, (x, reset), state)
        return scan_steps(self._step, (self._project(x), reset), state)

    def _project(self, x: Array) -> Array:
        """The input's share of the four gates: `[..., D]` to `[..., 4 H]`."""
        size = self._hidden_size
        biases = _first_biases(size, self._input_bias)
        return hk.Linear(4 * size, b_init=biases, name="input_gates")(x)

    def _step(
        self, gates: Array, reset: Array, state: LSTMState
    ) -> tuple[Array, LSTMState]:
        state = reset_state(state, jax.tree.map(jnp.zeros_like, state), reset)
        weights = hk.get_parameter(
            "recurrent_gates",
            (self._hidden_size, 4 * self._hidden_size),
            gates.dtype,
            init=hk.initializers.VarianceScaling(),
        )
        gates = gates + state.hidden @ weights  # [B, 4 H]
        update, candidate, forget, output = jnp.split(gates, 4, axis=-1)
        cell = jax.nn.sigmoid(forget + self._forget_bias) * state.cell
        cell = cell + jax.nn.sigmoid(update) * jnp.tanh(candidate)
        hidden = jax.nn.sigmoid(output) * jnp.tanh(cell)
        return hidden, LSTMState(hidden, cell)


@dataclass(frozen=True)
class GRUConfig:
    """Settings of the GRU.

    Attributes:
      hidden_size: units.
      update_bias: initial bias of the update gate. -1 keeps 0.73 of the state at every
        step at first, as the forget-gate bias of one does in the LSTM; at 0 it is half,
        and thirty steps on too little is left to learn from.
    """

    hidden_size: Annotated[int, Ge(1)] = 48
    update_bias: float = -1.0


@register_core("gru")
class GRU(hk.Module):
    """Gated recurrent unit, reset gate applied before the recurrent product.

    Source: Cho et al. 2014.
      Departure: the update gate's bias does not start at zero; see `GRUConfig`.
    """

    def __init__(self, config: GRUConfig, name: str | None = None) -> None:
        super().__init__(name)
        self._hidden_size = config.hidden_size
        self._update_bias = config.update_bias

    def initial_state(self, batch_size: int) -> Array:
        return jnp.zeros((batch_size, self._hidden_size))

    def __call__(self, x: Array, reset: Array, state: Array) -> tuple[Array, Array]:
        return self._step(self._project(x), reset, state)

    def unroll(self, x: Array, reset: Array, state: Array) -> tuple[Array, Array]:
        if _steps_are_faster():
            return scan_steps(self, (x, reset), state)
        return scan_steps(self._step, (self._project(x), reset), state)

    def _project(self, x: Array) -> Array:
        """The input's share of update, reset and candidate: `[..., D]` to `[..., 3 H]`."""
        size = self._hidden_size
        biases = _first_biases(size, self._update_bias)
        return hk.Linear(3 * size, b_init=biases, name="input_gates")(x)

    def _step(self, gates: Array, reset: Array, state: Array) -> tuple[Array, Array]:
        hidden = reset_state(state, jnp.zeros_like(state), reset)
        size, init = self._hidden_size, hk.initializers.VarianceScaling()
        gate_weights = hk.get_parameter(
            "recurrent_gates", (size, 2 * size), gates.dtype, init=init
        )
        candidate_weights = hk.get_parameter(
            "recurrent_candidate", (size, size), gates.dtype, init=init
        )
        update_and_reset = jax.nn.sigmoid(gates[:, : 2 * size] + hidden @ gate_weights)
        update, reset_gate = jnp.split(update_and_reset, 2, axis=-1)
        recurrent = (reset_gate * hidden) @ candidate_weights
        candidate = jnp.tanh(gates[:, 2 * size :] + recurrent)
        hidden = (1.0 - update) * hidden + update * candidate
        return hidden, hidden


def _first_biases(size: int, bias: float) -> hk.initializers.Initializer:
    """Starts the first `size` units, those of one gate, at `bias`, and the rest at 0."""

    def biases(shape: Sequence[int], dtype: Any) -> Array:
        return jnp.zeros(shape, dtype).at[:size].set(bias)

    return biases
