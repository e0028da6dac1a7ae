"""Softmax attention over the last N steps, with relative positions.

Shapes: B batch, T time, D features, N window, heads, K of a key, a query and a value, H
output size.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Literal, NamedTuple

import haiku as hk
import jax.numpy as jnp
import numpy as np
from annotated_types import Ge, Gt

from tolman.networks import window
from tolman.networks.attention import masked_softmax
from tolman.networks.core import Array, UnrolledCore, register_core
from tolman.networks.positions import alibi_slopes, turn


class AttentionState(NamedTuple):
    """What the last N steps of a task have stored, the newest last.

    Attributes:
      keys: `[B, N, heads * K]`, not rotated.
      values: `[B, N, heads * K]`.
      length: `[B]` int32, how many of them belong to the present task.
    """

    keys: Array
    values: Array
    length: Array


@dataclass(frozen=True)
class AttentionConfig:
    """Settings of attention.

    Attributes:
      hidden_size: units of the output.
      num_heads: of the attention.
      head_size: K; even with rope.
      window: N, earlier steps that a step attends to; what was before has no influence.
      positions: how a step knows how far back another is: rope turns queries and keys (Su
        et al. 2021, section 3.2.2), alibi takes from a logit a share of the distance (Press
        et al. 2022, section 3), none tells nothing.
      rope_base: pair i of K / 2 turns by rope_base^(-2i / K) radians a step.
    """

    hidden_size: Annotated[int, Ge(1)] = 48
    num_heads: Annotated[int, Ge(1)] = 4
    head_size: Annotated[int, Ge(1)] = 16
    window: Annotated[int, Ge(1)] = 64
    positions: Literal["rope", "alibi", "none"] = "rope"
    rope_base: Annotated[float, Gt(1)] = 10_000.0

    def setting_problems(self) -> Iterator[tuple[str, str]]:
        if self.positions == "rope" and self.head_size % 2:
            yield "head_size", "even with positions = rope"


@register_core("attention")
class Attention(UnrolledCore):
    """One layer of attention over a window that rolls.

    Source: Vaswani et al. 2017, section 3.2.2, with positions as `AttentionConfig` says.
      Departure: no norm and no residual path around the layer; `stack` adds them.
    """

    def __init__(self, config: AttentionConfig, name: str | None = None) -> None:
        super().__init__(name)
        self._config = config

    def initial_state(self, batch_size: int) -> AttentionState:
        config = self._config
        rows = jnp.zeros((batch_size, config.window, config.num_heads * config.head_size))
        return AttentionState(rows, rows, jnp.zeros(batch_size, jnp.int32))

    def unroll(
        self, x: Array, reset: Array, state: AttentionState
    ) -> tuple[Array, AttentionState]:
        config, capacity = self._config, self._config.window
        size = config.num_heads * config.head_size
        query, key, value = jnp.split(
            hk.Linear(3 * size, with_bias=False, name="query_key_value")(x), 3, axis=-1
        )
        keys, values = window.extend(state.keys, key), window.extend(state.values, value)
        in_view = window.rows_in_view(reset, state.length, capacity)
        length = window.block_length(len(x), capacity)
        near_keys, near_values = (
            window.spans(rows, capacity, length) for rows in (keys, values)
        )
        mask = window.block_mask(in_view, capacity, length)[:, None]
        logits = self._logits(window.fold(query, length), near_keys)
        weights = masked_softmax(logits, mask)
        rows = near_values.reshape(
            *near_values.shape[:2], config.num_heads, config.head_size
        )
        read = window.unfold(jnp.einsum("bhts,bshk->tbhk", weights, rows), len(x))
        outputs = hk.Linear(config.hidden_size, name="output")(
            read.reshape(*query.shape[:2], size)
        )
        length_after = window.length_after(in_view, capacity)
        state = AttentionState(keys[:, -capacity:], values[:, -capacity:], length_after)
        return outputs, state

    def _logits(self, query: Array, keys: Array) -> Array:
        """`[B, heads, T, S]` of queries `[T, B, ...]` and keys `[B, S, ...]`.

        The last T of the S rows are those of the queries; blocks are members of the batch.
        """
        config = self._config
        num_steps, num_rows = len(query), keys.shape[1]
        heads = (config.num_heads, config.head_size)
        query = query.reshape(*query.shape[:2], *heads)
        keys = keys.reshape(*keys.shape[:2], *heads)
        number = np.arange(num_rows)  # Of a row; only differences matter.
        if config.positions == "rope":
            # Angles in float64: far on, float32 does not tell one step from the next.
            angle = np.multiply.outer(number, rope_frequencies(config))
            cosine, sine = (
                part(angle).astype(np.float32)[:, None] for part in (np.cos, np.sin)
            )
            keys = turn(keys, cosine, sine)
            now = slice(num_rows - num_steps, None)
            query = turn(query, cosine[now, None], sine[now, None])
        logits = jnp.einsum("tbhk,bshk->bhts", query, keys) / math.sqrt(config.head_size)
        if config.positions == "alibi":
            distance = number[num_rows - num_steps :, None] - number
            logits -= alibi_slopes(config.num_heads)[:, None, None] * distance
        return logits


def rope_frequencies(config: AttentionConfig) -> np.ndarray:
    """`[K / 2]`, radians a step: Su et al. 2021, section 3.2.2."""
    return config.rope_base ** (-np.arange(0, config.head_size, 2) / config.head_size)
