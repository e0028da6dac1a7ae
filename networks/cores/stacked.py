"""One core on top of another; the navigation paper's two-layer LSTM.

Shapes: B batch, T time, D features, H output size of the upper core.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import haiku as hk
import jax.numpy as jnp
from annotated_types import Ge

from tolman.networks.core import (
    Array,
    Diagnostics,
    Input,
    MemoryCore,
    register_core,
    run_core,
)
from tolman.networks.cores.recurrent import LSTM, LSTMConfig


class Stacked:
    """A core that takes another one's output among its inputs.

    It holds no parameters of its own, so it is no Haiku module.

    Source: Mirowski et al. 2016, section 3, for two LSTMs.

    Attributes:
      inputs: names of all inputs; none where both cores take everything.
    """

    def __init__(
        self,
        lower: MemoryCore,
        upper: MemoryCore,
        lower_inputs: Sequence[str] = (),
        upper_inputs: Sequence[str] = (),
    ) -> None:
        """Stacks two cores.

        Args:
          lower: sees its inputs alone.
          upper: sees the lower one's output too; its output is that of the whole.
          lower_inputs: names of what enters the lower one; see `MemoryCore`. None for all
            that the upper one names, or for everything.
          upper_inputs: of the upper one, besides the lower one's output.
        """
        self._lower, self._upper = lower, upper
        self._lower_inputs = tuple(lower_inputs or upper_inputs)
        self._upper_inputs = tuple(upper_inputs or lower_inputs)
        self.inputs = tuple(dict.fromkeys((*self._lower_inputs, *self._upper_inputs)))

    def initial_state(self, batch_size: int) -> tuple[Any, Any]:
        return self._lower.initial_state(batch_size), self._upper.initial_state(batch_size)

    def __call__(
        self, x: Input, reset: Array, state: tuple[Any, Any]
    ) -> tuple[Array, tuple[Any, Any]]:
        below, lower = self._lower(_join(x, self._lower_inputs), reset, state[0])
        output, upper = self._upper(self._above(x, below), reset, state[1])
        return output, (lower, upper)

    def unroll(
        self, x: Input, reset: Array, state: tuple[Any, Any]
    ) -> tuple[Array, tuple[Any, Any]]:
        output, state, _ = self.diagnose(x, reset, state)
        return output, state

    def diagnose(
        self, x: Input, reset: Array, state: tuple[Any, Any]
    ) -> tuple[Array, tuple[Any, Any], Diagnostics]:
        """As `unroll`, with the upper core's diagnostics."""
        below, lower = self._lower.unroll(_join(x, self._lower_inputs), reset, state[0])
        above = self._above(x, below)
        output, upper, diagnostics = run_core(self._upper, above, reset, state[1])
        return output, (lower, upper), diagnostics

    def _above(self, x: Input, below: Array) -> Array:
        return jnp.concatenate([_join(x, self._upper_inputs), below], axis=-1)


@dataclass(frozen=True)
class StackedLSTMConfig:
    """Settings of the two-layer LSTM.

    Attributes:
      first_hidden_size: units of the first LSTM, 64 in Mirowski et al. 2016.
      hidden_size: units of the second LSTM, which is the output; 256 there.
      first_inputs: names of what enters the first LSTM; see `MemoryCore`. None for all that
        the second one names, or for everything. Mirowski et al. 2016, section 3: features
        previous_reward.
      second_inputs: of the second LSTM, besides the first one's output. Mirowski et al.
        2016, section 3: features previous_action velocity.
    """

    first_hidden_size: Annotated[int, Ge(1)] = 64
    hidden_size: Annotated[int, Ge(1)] = 256
    first_inputs: tuple[str, ...] = ()
    second_inputs: tuple[str, ...] = ()


@register_core("stacked_lstm")
class StackedLSTM(hk.Module):
    """Two LSTMs; the second takes inputs beside the first one's output.

    By default both take all inputs; the config may name those of each.

    Source: Mirowski et al. 2016, section 3 (and Wang et al. 2016, Harlow experiment).

    Attributes:
      inputs: names of all inputs; none where both LSTMs take everything.
    """

    def __init__(self, config: StackedLSTMConfig, name: str | None = None) -> None:
        super().__init__(name)
        self._stacked = Stacked(
            LSTM(LSTMConfig(config.first_hidden_size), name="first"),
            LSTM(LSTMConfig(config.hidden_size), name="second"),
            config.first_inputs,
            config.second_inputs,
        )
        self.inputs = self._stacked.inputs

    def initial_state(self, batch_size: int) -> tuple[Any, Any]:
        return self._stacked.initial_state(batch_size)

    def __call__(
        self, x: Input, reset: Array, state: tuple[Any, Any]
    ) -> tuple[Array, tuple[Any, Any]]:
        return self._stacked(x, reset, state)

    def unroll(
        self, x: Input, reset: Array, state: tuple[Any, Any]
    ) -> tuple[Array, tuple[Any, Any]]:
        return self._stacked.unroll(x, reset, state)


def _join(x: Input, names: Sequence[str]) -> Array:
    """The named inputs side by side; all of them where they come joined."""
    if isinstance(x, Mapping):
        return jnp.concatenate([x[name] for name in names], axis=-1)
    return x
