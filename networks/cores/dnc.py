"""The differentiable neural computer: an LSTM that writes to and reads from slots.

Shapes: B batch, T time, D input features, H hidden size, N slots, W size of a slot, R read
heads.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, NamedTuple

import haiku as hk
import jax
import jax.numpy as jnp
from annotated_types import Ge

from tolman.networks import dnc
from tolman.networks.core import Array, register_core, reset_state, scan_steps
from tolman.networks.cores.recurrent import LSTM, LSTMConfig, LSTMState


class DNCState(NamedTuple):
    """Attributes:
    controller: the LSTM's state.
    memory: `tolman.networks.dnc.Memory`, every leaf with a leading B.
    reads: `[B, R * W]`, what the heads read last.
    """

    controller: LSTMState
    memory: dnc.Memory
    reads: Array


@dataclass(frozen=True)
class DNCConfig:
    """Settings of the DNC; the sizes are those of its authors' released code, train.py.

    Attributes:
      hidden_size: units of the LSTM, and of the output.
      num_slots: N. A state holds N * N links.
      slot_size: W.
      num_read_heads: R.
    """

    hidden_size: Annotated[int, Ge(1)] = 64
    num_slots: Annotated[int, Ge(1)] = 16
    slot_size: Annotated[int, Ge(1)] = 16
    num_read_heads: Annotated[int, Ge(1)] = 4


@register_core("dnc")
class DNC(hk.Module):
    """An LSTM with an external memory, addressed by content, order of writing and usage.

    Source: Graves et al. 2016, Methods.
      Departure: one controller layer, as in the authors' released code.
    """

    def __init__(self, config: DNCConfig, name: str | None = None) -> None:
        super().__init__(name)
        self._config = config
        self._controller = LSTM(LSTMConfig(config.hidden_size), name="controller")

    def initial_state(self, batch_size: int) -> DNCState:
        config = self._config
        empty = dnc.empty_memory(config.num_slots, config.slot_size, config.num_read_heads)
        memory = jax.tree.map(
            lambda leaf: jnp.broadcast_to(leaf, (batch_size, *leaf.shape)), empty
        )
        reads = jnp.zeros((batch_size, config.num_read_heads * config.slot_size))
        return DNCState(self._controller.initial_state(batch_size), memory, reads)

    def __call__(self, x: Array, reset: Array, state: DNCState) -> tuple[Array, DNCState]:
        config = self._config
        shape = config.slot_size, config.num_read_heads
        state = reset_state(state, jax.tree.map(jnp.zeros_like, state), reset)
        inputs = jnp.concatenate([x, state.reads], axis=-1)
        hidden, controller = self._controller(inputs, reset, state.controller)
        vector = hk.Linear(dnc.interface_size(*shape), name="interface")(hidden)
        interface = jax.vmap(lambda row: dnc.parse_interface(row, *shape))(vector)
        reads, memory = jax.vmap(dnc.access)(state.memory, interface)
        reads = reads.reshape(len(x), -1)  # [B, R W]
        output = hk.Linear(config.hidden_size, name="output")(
            jnp.concatenate([hidden, reads], axis=-1)
        )
        return output, DNCState(controller, memory, reads)

    def unroll(self, x: Array, reset: Array, state: DNCState) -> tuple[Array, DNCState]:
        return scan_steps(self, (x, reset), state)
