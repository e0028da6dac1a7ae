"""Stable Hadamard memory: a matrix each of whose numbers is kept to a share of its own.

Shapes: B batch, T time, D features, M memory size, L calibrations, H output size.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, NamedTuple

import haiku as hk
import jax
import jax.numpy as jnp
from annotated_types import Ge, Gt

from tolman.networks.core import Array, register_core, reset_state, scan_steps


class SHMState(NamedTuple):
    """Attributes:
    memory: `[B, M, M]`.
    turn: `[B]` int32, which calibration is next.
    """

    memory: Array
    turn: Array


@dataclass(frozen=True)
class SHMConfig:
    """Settings of the stable Hadamard memory.

    Attributes:
      hidden_size: units of the output.
      memory_size: M; keys, queries and values have as many numbers, the memory its square.
      num_calibrations: L, of which a step takes one; 128 in Le et al. 2025.
      typical_memory: steps after which a typical number of the memory has fallen to 1 / e
        at first; 3 (L + M) by the initializers of Le et al. 2025.
      largest: numbers of the memory stay between this and its negative.
    """

    hidden_size: Annotated[int, Ge(1)] = 48
    memory_size: Annotated[int, Ge(1)] = 32
    num_calibrations: Annotated[int, Ge(1)] = 128
    typical_memory: Annotated[float, Gt(1)] = 480.0
    largest: Annotated[float, Gt(0)] = 1e4


@register_core("shm")
class SHM(hk.Module):
    """A matrix to which rows add a value under a key, and which they calibrate.

    M_t = C_t * M_{t-1} + strength v k^T, number by number, read as M_t q. The calibration
    C_t = 1 + tanh(c u^T) of the input's u lies between 0 and 2, with a mean of 1.

    Source: Le et al. 2025, "Stable Hadamard Memory"; the path around the memory is that of
      the code with which they ran POPGym.
      Departure: they draw the row c of L at every step. Here the rows take turns from where
      a task opens, so that learner and actor have the same. Before equal inputs a product
      of calibrations may grow without end: `largest` cuts it off.
    """

    def __init__(self, config: SHMConfig, name: str | None = None) -> None:
        super().__init__(name)
        self._config = config

    def initial_state(self, batch_size: int) -> SHMState:
        size = self._config.memory_size
        return SHMState(
            jnp.zeros((batch_size, size, size)), jnp.zeros(batch_size, jnp.int32)
        )

    def __call__(self, x: Array, reset: Array, state: SHMState) -> tuple[Array, SHMState]:
        config, size = self._config, self._config.memory_size
        memory, turn = reset_state(state, self.initial_state(len(x)), reset)
        x = hk.LayerNorm(-1, create_scale=True, create_offset=True, name="norm")(x)
        # Of variance 1, as the inputs are.
        init = hk.initializers.VarianceScaling()
        joined = hk.Linear(4 * size + 1, with_bias=False, w_init=init, name="input")(x)
        key, query, value, update = jnp.split(joined[:, :-1], 4, axis=-1)
        written = jax.nn.sigmoid(joined[:, -1:]) * value

        # The mean logarithm of a calibration is then -1 / typical_memory.
        bound = math.sqrt(6.0 / config.typical_memory)
        rows = hk.get_parameter(
            "calibrations",
            (config.num_calibrations, size),
            init=hk.initializers.RandomUniform(-bound, bound),
        )
        calibration = 1.0 + jnp.tanh(rows[turn][:, :, None] * update[:, None, :])
        memory = calibration * memory + written[:, :, None] * _shares(key)[:, None, :]
        memory = jnp.clip(memory, -config.largest, config.largest)

        read = jnp.einsum("bvk,bk->bv", memory, _shares(query))
        read += hk.Linear(size, name="around")(x)
        turn = (turn + 1) % config.num_calibrations
        output = hk.Linear(config.hidden_size, name="output")(read)
        return output, SHMState(memory, turn)

    def unroll(self, x: Array, reset: Array, state: SHMState) -> tuple[Array, SHMState]:
        # The way back computes a row anew: faster than to store its matrices.
        return scan_steps(hk.remat(self, prevent_cse=False), (x, reset), state)


def _shares(x: Array) -> Array:
    """Numbers of 0 or more, whose sum is 1 unless all are 0."""
    x = jax.nn.relu(x)
    return x / (x.sum(-1, keepdims=True) + 1e-5)
