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
from tolman.networks.core import Array, UnrolledCore, register_core
from tolman.networks.gating import GRUGate, Linear, get_weights, normalise


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
class GTrXL(UnrolledCore):
    """Layers of attention over the last N steps, each behind a gate.

    Source: Parisotto et al. 2019, sections 3.1 and 3.2 (the GRU-type gate); relative
      positions: Dai et al. 2019.
      Departure: every step attends to N earlier steps and no more, however it is
      unrolled. There, a step in the middle of a segment reaches further than one at its
      start, so that its output depends on how the sequence was cut.
      Departure: layer normalisation has no scale and no offset of its own. The linear maps
      that follow it can express the scale. The offset is expressed by the bias of the MLP
      and, for queries, by `content_bias` and `position_bias`; that of keys cancels in the
      softmax. That of values, a constant in the output of an attention, is left out. The
      memory then holds normalised inputs, and a step does not normalise the window again;
      key and value weights are applied at every step and learn from what is stored.
    """

    def __init__(self, config: GTrXLConfig, name: str | None = None) -> None:
        super().__init__(name)
        self._config = config
        self._input = Linear(config.hidden_size, config.dtype, "input")
        self._layers = [_Layer(config, f"layer_{i}") for i in range(config.num_layers)]

    def initial_state(self, batch_size: int) -> GTrXLState:
        config = self._config
        shape = batch_size, config.num_layers, config.memory_length, config.hidden_size
        return GTrXLState(jnp.zeros(shape), jnp.zeros(batch_size, jnp.int32))

    def unroll(self, x: Array, reset: Array, state: GTrXLState) -> tuple[Array, GTrXLState]:
        capacity = self._config.memory_length
        in_view = window.rows_in_view(reset, state.length, capacity)
        block = window.block_length(len(x), capacity)
        mask = window.block_mask(in_view, capacity, block)[:, None]
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
          mask: `[blocks * B, 1, length, S]`, from `window.block_mask`.

        Returns:
          `[T, B, H]`, and `[B, N + T, H]`, the stored rows and the new ones.
        """
        size, dtype = self._config.hidden_size, self._config.dtype

        def gate(name: str) -> GRUGate:
            return GRUGate(size, self._config.gate_bias, name, dtype)

        extended = window.extend(rows, normalise(hidden))
        attended = self._attend(extended, mask)
        # The ReLU after either part: Parisotto et al. 2019, section 3.1.
        hidden = gate("attention_gate")(hidden, jax.nn.relu(attended))
        inner = Linear(self._config.mlp_size, dtype, "mlp_0")(normalise(hidden))
        outer = Linear(size, dtype, "mlp_1")(jax.nn.relu(inner))
        return gate("mlp_gate")(hidden, jax.nn.relu(outer)), extended

    def _attend(self, extended: Array, mask: Array) -> Array:
        config = self._config
        size, heads, dtype = config.hidden_size, config.num_heads, config.dtype
        head_size, capacity = size // heads, config.memory_length
        key_weights, value_weights, position_weights = (
            get_weights(f"{kind}_weights", (heads, head_size, size), size)
            for kind in ("key", "value", "position")
        )
        content_bias, position_bias = (
            hk.get_parameter(f"{kind}_bias", (heads, head_size), init=jnp.zeros)
            for kind in ("content", "position")
        )
        present = jnp.swapaxes(extended[:, capacity:], 0, 1)  # [T, B, H]
        query = Linear(size, dtype, "query", with_bias=False)(present)
        length = mask.shape[-2]
        query = window.fold(query.reshape(*query.shape[:-1], heads, head_size), length)
        near = window.spans(extended, capacity, length)  # [blocks * B, S, H]
        logits = attention.content_logits(
            query + content_bias, key_weights, near, dtype
        ) + attention.position_logits(
            query + position_bias, position_weights, near.shape[1] - length, dtype
        )  # [blocks * B, heads, length, S]
        weights = attention.masked_softmax(logits, mask)
        values = window.unfold(
            attention.read(weights, value_weights, near, dtype), len(present)
        )
        values = values.reshape(*values.shape[:-2], size)
        return Linear(size, dtype, "attended", with_bias=False)(values)
