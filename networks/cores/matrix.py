"""Cores that keep a matrix a head: linear attention and the delta network.

Shapes: B batch, T time, D features, heads, K of a key, a query and a value, H output size.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
from annotated_types import Ge

from tolman.networks.core import Array, UnrolledCore, register_core
from tolman.networks.linear_recurrence import SpreadMemory, spread_steps
from tolman.networks.matrix_memory import Row, Way, unroll_matrix


@dataclass(frozen=True)
class MatrixConfig(SpreadMemory):
    """Settings of a core with a matrix a head.

    Attributes:
      hidden_size: units of the output.
      num_heads: each with a matrix of its own.
      head_size: of a head's keys, queries and values; the matrix has its square.
      gated: at every row, shrink what is kept by a share a head that the input chooses;
        without, all of a task is kept.
      scan: how an unroll is taken, with the same result: step by step or in chunks; auto
        knows which is faster.
      chunk_length: rows of a chunk.
    """

    hidden_size: Annotated[int, Ge(1)] = 48
    num_heads: Annotated[int, Ge(1)] = 4
    head_size: Annotated[int, Ge(1)] = 16
    gated: bool = True
    scan: Way = "auto"
    chunk_length: Annotated[int, Ge(1)] = 32


@dataclass(frozen=True)
class LinearAttentionConfig(MatrixConfig):
    """Settings of linear attention: those of `MatrixConfig`, and one more.

    Attributes:
      normaliser: what is read is divided by the sum of the weights ("sum", Katharopoulos et
        al. 2020), by that and no less than 1 ("bounded", Beck et al. 2024), or brought to
        one length ("rms", Yang et al. 2024).
    """

    normaliser: Literal["sum", "bounded", "rms"] = "rms"


@register_core("linear_attention")
class LinearAttention(UnrolledCore):
    """Attention without a softmax, whose sums over the past are matrices.

    Source: Katharopoulos et al. 2020, with their map of queries and keys,
      ELU + 1; the gate a head: Yang et al. 2024, "Gated Linear Attention Transformers",
      as one number a head and row, and the gate of what is read.
      Departure: no norm and no residual path around the layer.
    """

    def __init__(self, config: LinearAttentionConfig, name: str | None = None) -> None:
        super().__init__(name)
        self._config = config

    def initial_state(self, batch_size: int) -> Array:
        config, size = self._config, self._config.head_size
        # With a normaliser the last row of a matrix sums the keys.
        num_rows = size + (config.normaliser != "rms")
        return jnp.zeros((batch_size, config.num_heads, num_rows, size))

    def unroll(self, x: Array, reset: Array, state: Array) -> tuple[Array, Array]:
        way, length = self._config.scan, self._config.chunk_length
        return unroll_matrix(self._enter, self._leave, x, reset, state, way, length)

    def _enter(self, x: Array) -> Row:
        config = self._config
        key, query, value = _heads(x, config.num_heads, config.head_size)
        if config.normaliser != "rms":
            value = jnp.concatenate([value, jnp.ones_like(value[..., :1])], axis=-1)
        return Row(_decays(x, config), _positive(key), value, _positive(query))

    def _leave(self, read: Array, x: Array) -> Array:
        normaliser = self._config.normaliser
        if normaliser == "rms":
            return _outputs(_to_unit_size(read), x, self._config.hidden_size)
        total = read[..., -1:]
        total = jnp.maximum(total, 1.0) if normaliser == "bounded" else total + 1e-6
        return _outputs(read[..., :-1] / total, x, self._config.hidden_size)


@dataclass(frozen=True)
class DeltaNetConfig(MatrixConfig):
    """Settings of the delta network: those of `MatrixConfig`.

    A matrix holds as many contents apart as a key has numbers; without the gate a content
    stays until its key is written again.
    """


@register_core("delta_net")
class DeltaNet(UnrolledCore):
    """A matrix a head in which a key that is written again holds the new value alone.

    Source: Yang et al. 2025, "Gated Delta Networks"; without
      its gate, Yang et al. 2024, "Parallelizing Linear Transformers with the Delta Rule
      over Sequence Length".
      Departure: no convolution before keys, queries and values. The gate is a sigmoid that
      spreads the memories of the heads; there it is that of Mamba-2. No norm and no
      residual path around the layer.
    """

    def __init__(self, config: DeltaNetConfig, name: str | None = None) -> None:
        super().__init__(name)
        self._config = config

    def initial_state(self, batch_size: int) -> Array:
        size = self._config.head_size
        return jnp.zeros((batch_size, self._config.num_heads, size, size))

    def unroll(self, x: Array, reset: Array, state: Array) -> tuple[Array, Array]:
        way, length = self._config.scan, self._config.chunk_length
        return unroll_matrix(self._enter, self._leave, x, reset, state, way, length)

    def _enter(self, x: Array) -> Row:
        config = self._config
        key, query, value = _heads(x, config.num_heads, config.head_size)
        return Row(
            _decays(x, config),
            _to_unit_length(jax.nn.silu(key)),
            value=jax.nn.silu(value),
            query=_to_unit_length(jax.nn.silu(query)),
            strength=jax.nn.sigmoid(hk.Linear(config.num_heads, name="strength")(x)),
        )

    def _leave(self, read: Array, x: Array) -> Array:
        return _outputs(_to_unit_size(read), x, self._config.hidden_size)


def _heads(x: Array, num_heads: int, size: int) -> list[Array]:
    """Keys, queries and values, `[..., heads, K]` each."""
    joined = hk.Linear(3 * num_heads * size, with_bias=False, name="key_query_value")(x)
    return [
        part.reshape(*part.shape[:-1], num_heads, size)
        for part in jnp.split(joined, 3, axis=-1)
    ]


def _decays(x: Array, config: MatrixConfig) -> Array:
    """What a head keeps at each row, `[..., heads]`; at first 1 - 1 / its memory."""
    num_heads = config.num_heads
    if not config.gated:
        return jnp.ones((*x.shape[:-1], num_heads))
    steps = spread_steps(config.shortest_memory, config.longest_memory, num_heads)
    biases = hk.initializers.Constant(np.log(steps - 1.0))
    return jax.nn.sigmoid(hk.Linear(num_heads, b_init=biases, name="decay")(x))


def _outputs(read: Array, x: Array, hidden_size: int) -> Array:
    """What all heads have read, let through by a gate, as `[..., H]`."""
    read = read.reshape(*read.shape[:-2], -1)
    gate = jax.nn.silu(hk.Linear(read.shape[-1], with_bias=False, name="gate")(x))
    return hk.Linear(hidden_size, name="output")(gate * read)


def _positive(x: Array) -> Array:
    """ELU + 1: Katharopoulos et al. 2020."""
    return jax.nn.elu(x) + 1.0


def _to_unit_length(x: Array) -> Array:
    return x * jax.lax.rsqrt(jnp.square(x).sum(-1, keepdims=True) + 1e-6)


def _to_unit_size(x: Array) -> Array:
    """To a root mean square of 1."""
    return x * jax.lax.rsqrt(jnp.square(x).mean(-1, keepdims=True) + 1e-6)
