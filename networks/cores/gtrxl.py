"""The gated Transformer-XL with a rolling memory.

Shapes: B batch, T time, D input features, H hidden size, L layers, N memory length.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Literal, NamedTuple

import haiku as hk
import jax
import jax.numpy as jnp
from annotated_types import Ge, MultipleOf

from tolman.networks import attention, window
from tolman.networks.core import Array, register_core


class GTrXLState(NamedTuple):
    """Attributes:
    rows: `[B, L, N, H]`, the normalised inputs of each layer at the last N steps.
    length: `[B]` int32, how many of them belong to the present task.
    """

    rows: Array
    length: Array


@dataclass(frozen=True)
class GTrXLConfig:
    """Settings of the gated Transformer-XL; the sizes are those of a small agent.

    Attributes:
      hidden_size: units of every layer, and of the output; even, a multiple of
        `num_heads`.
      num_layers: each one attention and one MLP; information travels back at most
        `num_layers * memory_length` steps.
      num_heads: of every attention.
      memory_length: earlier steps that each layer attends to.
      mlp_size: units between the two linear maps of an MLP; four times `hidden_size` in
        Vaswani et al. 2017, section 3.3.
      gate_bias: above 0 a layer starts near the identity map. Parisotto et al. 2019,
        section 3.2 and its ablation of the gate: 2.
      dtype: to which the forward matrix products round what they multiply; they sum in
        float32, and parameters, layer norms, softmax, gates, state and gradients stay so.
    """

    hidden_size: Annotated[int, Ge(1), MultipleOf(2)] = 64
    num_layers: Annotated[int, Ge(1)] = 2
    num_heads: Annotated[int, Ge(1)] = 4
    memory_length: Annotated[int, Ge(1)] = 64
    mlp_size: Annotated[int, Ge(1)] = 256
    gate_bias: float = 2.0
    dtype: Literal["float32", "bfloat16"] = "float32"

    def setting_problems(self) -> Iterator[tuple[str, str]]:
        if self.hidden_size % self.num_heads:
            yield "hidden_size", f"a multiple of num_heads = {self.num_heads}"


@register_core("gtrxl")
class GTrXL(hk.Module):
    """Layers of attention over the last N steps, each behind a gate.

    Source: Parisotto et al. 2019, sections 3.1 and 3.2 (the GRU-type gate); relative
      positions: Dai et al. 2019.
      Departure: every step attends to N earlier steps and no more, however it is
      unrolled. There, a step in the middle of a segment reaches further than one at its
      start, so that its output depends on how the sequence was cut.
      Departure: layer normalisation has no scale and offset of its own: the linear maps
      that follow it take them in. The memory then holds normalised inputs, and a step
      does not normalise the window again; key and value weights are applied at every
      step and learn from what is stored.
    """

    def __init__(self, config: GTrXLConfig, name: str | None = None) -> None:
        super().__init__(name)
        self._config = config
        self._input = _Linear(config.hidden_size, config.dtype, "input")
        self._layers = [_Layer(config, f"layer_{i}") for i in range(config.num_layers)]

    def initial_state(self, batch_size: int) -> GTrXLState:
        config = self._config
        shape = batch_size, config.num_layers, config.memory_length, config.hidden_size
        return GTrXLState(jnp.zeros(shape), jnp.zeros(batch_size, jnp.int32))

    def __call__(
        self, x: Array, reset: Array, state: GTrXLState
    ) -> tuple[Array, GTrXLState]:
        outputs, state = self.unroll(x[None], reset[None], state)
        return outputs[0], state

    def unroll(self, x: Array, reset: Array, state: GTrXLState) -> tuple[Array, GTrXLState]:
        capacity = self._config.memory_length
        in_view = window.rows_in_view(reset, state.length, capacity)
        mask = window.window_mask(in_view, capacity)[:, None]  # [B, 1, T, N + T]
        hidden = self._input(x)  # [T, B, H]
        rows = []
        for index, layer in enumerate(self._layers):
            hidden, extended = layer(hidden, state.rows[:, index], mask)
            rows.append(extended[:, -capacity:])
        length = window.length_after(in_view, capacity)
        return hidden, GTrXLState(jnp.stack(rows, axis=1), length)


class _Layer(hk.Module):
    """Attention and an MLP; layer normalisation before each, a gate after."""

    def __init__(self, config: GTrXLConfig, name: str) -> None:
        super().__init__(name)
        self._config = config

    def __call__(self, hidden: Array, rows: Array, mask: Array) -> tuple[Array, Array]:
        """Takes T steps.

        Args:
          hidden: `[T, B, H]`.
          rows: `[B, N, H]`, stored.
          mask: `[B, 1, T, N + T]`.

        Returns:
          `[T, B, H]`, and `[B, N + T, H]`, the stored rows and the new ones.
        """
        size, dtype = self._config.hidden_size, self._config.dtype
        extended = window.extend(rows, _normalise(hidden))
        attended = self._attend(extended, mask)
        # The ReLU after either part: Parisotto et al. 2019, section 3.1.
        hidden = _Gate(self._config, "attention_gate")(hidden, jax.nn.relu(attended))
        inner = _Linear(self._config.mlp_size, dtype, "mlp_0")(_normalise(hidden))
        outer = _Linear(size, dtype, "mlp_1")(jax.nn.relu(inner))
        return _Gate(self._config, "mlp_gate")(hidden, jax.nn.relu(outer)), extended

    def _attend(self, extended: Array, mask: Array) -> Array:
        config = self._config
        size, heads, dtype = config.hidden_size, config.num_heads, config.dtype
        head_size, capacity = size // heads, config.memory_length
        key_weights, value_weights, position_weights = (
            _weights(f"{kind}_weights", (heads, head_size, size), size)
            for kind in ("key", "value", "position")
        )
        content_bias, position_bias = (
            hk.get_parameter(f"{kind}_bias", (heads, head_size), init=jnp.zeros)
            for kind in ("content", "position")
        )
        present = jnp.swapaxes(extended[:, capacity:], 0, 1)  # [T, B, H]
        query = _Linear(size, dtype, "query", with_bias=False)(present)
        query = query.reshape(*query.shape[:-1], heads, head_size)
        logits = attention.content_logits(
            query + content_bias, key_weights, extended, dtype
        ) + attention.position_logits(
            query + position_bias, position_weights, capacity, dtype
        )  # [B, heads, T, N + T]
        weights = attention.masked_softmax(logits, mask)
        values = attention.read(weights, value_weights, extended, dtype)
        values = values.reshape(*values.shape[:-2], size)
        return _Linear(size, dtype, "attended", with_bias=False)(values)


class _Gate(hk.Module):
    """Lets `y` into the stream `x` as a GRU lets its input into its state.

    Source: Parisotto et al. 2019, section 3.2, "Gated-Recurrent-Unit-type gating".
    """

    def __init__(self, config: GTrXLConfig, name: str) -> None:
        super().__init__(name)
        self._size, self._bias = config.hidden_size, config.gate_bias
        self._dtype = config.dtype

    def __call__(self, x: Array, y: Array) -> Array:
        init = hk.initializers.Constant(self._bias)
        bias = hk.get_parameter("bias", (self._size,), init=init)
        from_y = self._linear(3, "y")(y)
        reset_y, update_y, candidate_y = jnp.split(from_y, 3, axis=-1)
        reset_x, update_x = jnp.split(self._linear(2, "x")(x), 2, axis=-1)
        reset = jax.nn.sigmoid(reset_y + reset_x)
        update = jax.nn.sigmoid(update_y + update_x - bias)
        candidate = jnp.tanh(candidate_y + self._linear(1, "reset_x")(reset * x))
        return (1.0 - update) * x + update * candidate

    def _linear(self, num_parts: int, name: str) -> _Linear:
        return _Linear(num_parts * self._size, self._dtype, name, with_bias=False)


class _Linear(hk.Module):
    """A linear map whose product is taken in `dtype`; parameters and result are float32."""

    def __init__(self, size: int, dtype: str, name: str, with_bias: bool = True) -> None:
        super().__init__(name)
        self._size, self._dtype, self._with_bias = size, dtype, with_bias

    def __call__(self, x: Array) -> Array:
        weights = _weights("w", (x.shape[-1], self._size), x.shape[-1])
        product = attention.contract("...d,dh->...h", x, weights, dtype=self._dtype)
        if not self._with_bias:
            return product
        return product + hk.get_parameter("b", (self._size,), init=jnp.zeros)


def _weights(name: str, shape: tuple[int, ...], fan_in: int) -> Array:
    init = hk.initializers.TruncatedNormal(fan_in**-0.5)
    return hk.get_parameter(name, shape, jnp.float32, init=init)


def _normalise(x: Array) -> Array:
    """Layer normalisation over the last axis."""
    return hk.LayerNorm(-1, create_scale=False, create_offset=False)(x)
