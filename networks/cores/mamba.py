"""Mamba-2: a state space whose decay, input and output maps the input selects.

Shapes: B batch, T time, D features, heads, P units of a head, N numbers that each keeps, W
width of the convolution, H output size.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, NamedTuple

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
from annotated_types import Ge

from tolman.networks.convolution import causal_convolution
from tolman.networks.core import (
    Array,
    UnrolledCore,
    join_rows,
    register_core,
    split_rows,
)
from tolman.networks.linear_recurrence import SpreadMemory, spread_steps
from tolman.networks.matrix_memory import Row, Way, unroll_matrix


class MambaState(NamedTuple):
    """Attributes:
    memory: `[B, heads, P, N]`.
    earlier: `[B, W - 1, F]`, the last inputs of the convolution.
    """

    memory: Array
    earlier: Array


@dataclass(frozen=True)
class MambaConfig(SpreadMemory):
    """Settings of Mamba.

    Attributes:
      hidden_size: units of the output.
      num_heads: each with a decay of its own.
      head_size: units of a head.
      state_size: numbers that a unit keeps; keys and queries of all heads have as many.
      convolution_width: rows that the convolution sees, its own included; 4 in Dao and Gu
        2024.
      scan: how an unroll is taken, with the same result: step by step or in chunks; auto
        knows which is faster.
      chunk_length: rows of a chunk.
    """

    hidden_size: Annotated[int, Ge(1)] = 48
    num_heads: Annotated[int, Ge(1)] = 4
    head_size: Annotated[int, Ge(1)] = 16
    state_size: Annotated[int, Ge(1)] = 16
    convolution_width: Annotated[int, Ge(2)] = 4
    scan: Way = "auto"
    chunk_length: Annotated[int, Ge(1)] = 32


@register_core("mamba")
class Mamba(UnrolledCore):
    """Selective state space with one decay a head, behind a short convolution.

    Source: Dao and Gu 2024, "Transformers are SSMs"; the selection: Gu and Dao 2023.
      Departure: A starts at -1 and the time steps of the heads so that their memories are
      spread (see `MambaConfig`); there both are drawn. No norm and no residual path around
      the layer.
    """

    def __init__(self, config: MambaConfig, name: str | None = None) -> None:
        super().__init__(name)
        self._config = config
        self._inner_size = config.num_heads * config.head_size
        self._convolved_size = self._inner_size + 2 * config.state_size

    def initial_state(self, batch_size: int) -> MambaState:
        config = self._config
        shape = (config.num_heads, config.head_size, config.state_size)
        earlier = (config.convolution_width - 1, self._convolved_size)
        return MambaState(
            jnp.zeros((batch_size, *shape)), jnp.zeros((batch_size, *earlier))
        )

    def unroll(self, x: Array, reset: Array, state: MambaState) -> tuple[Array, MambaState]:
        config = self._config
        size, width = self._convolved_size, config.convolution_width
        num_features = self._inner_size + size + config.num_heads
        into = hk.Linear(num_features, with_bias=False, name="input")
        features = split_rows(into(join_rows(x)), len(x))
        gate, convolved, time_step = jnp.split(
            features, [self._inner_size, self._inner_size + size], axis=-1
        )
        init = hk.initializers.RandomUniform(-(width**-0.5), width**-0.5)
        weights = hk.get_parameter("convolution", (width, size), init=init)
        bias = hk.get_parameter("convolution_bias", (size,), init=jnp.zeros)
        convolved, earlier = causal_convolution(convolved, reset, state.earlier, weights)
        convolved = jax.nn.silu(convolved + bias)
        rows = jnp.concatenate([gate, convolved, time_step], axis=-1)
        outputs, memory = unroll_matrix(
            self._enter, self._leave, rows, reset, state.memory, config.scan,
            config.chunk_length,
        )  # fmt: skip
        return outputs, MambaState(memory, earlier)

    def _enter(self, rows: Array) -> Row:
        config, heads = self._config, self._config.num_heads
        steps = spread_steps(config.shortest_memory, config.longest_memory, heads)
        biases = hk.initializers.Constant(np.log(np.expm1(1.0 / steps)))
        bias = hk.get_parameter("time_step_bias", (heads,), init=biases)
        log_rate = hk.get_parameter("log_rate", (heads,), init=jnp.zeros)  # Of -A.
        time_step = jax.nn.softplus(rows[..., -heads:] + bias)
        keys_and_queries = rows[..., 2 * self._inner_size : -heads]
        # All heads share them.
        key, query = (
            jnp.repeat(part[..., None, :], heads, axis=-2)
            for part in jnp.split(keys_and_queries, 2, axis=-1)
        )
        value = time_step[..., None] * self._units(rows)
        return Row(jnp.exp(-time_step * jnp.exp(log_rate)), key, value, query)

    def _leave(self, read: Array, rows: Array) -> Array:
        through = hk.get_parameter("feedthrough", (self._config.num_heads,), init=jnp.ones)
        read = read + through[:, None] * self._units(rows)
        read = read.reshape(*read.shape[:-2], -1)
        read = read * jax.nn.silu(rows[..., : self._inner_size])
        read = hk.RMSNorm(-1, create_scale=False)(read)
        return hk.Linear(self._config.hidden_size, with_bias=False, name="output")(read)

    def _units(self, rows: Array) -> Array:
        """What the convolution made of the input, `[..., heads, P]`."""
        units = rows[..., self._inner_size : 2 * self._inner_size]
        return units.reshape(*units.shape[:-1], self._config.num_heads, -1)
