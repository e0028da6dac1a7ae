"""The control: a core of the usual shape that remembers nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import haiku as hk
from annotated_types import Ge

from tolman.networks.activations import Activation, activation
from tolman.networks.core import Array, register_core


@dataclass(frozen=True)
class FeedforwardConfig:
    """Settings of the feedforward core.

    Attributes:
      hidden_size: units of the one hidden layer, which is also the output.
      activation: after it.
    """

    hidden_size: Annotated[int, Ge(1)] = 48
    activation: Activation = "relu"


@register_core("feedforward")
class Feedforward(hk.Module):
    """One layer: every output depends on the present input alone."""

    def __init__(self, config: FeedforwardConfig, name: str | None = None) -> None:
        super().__init__(name)
        self._linear = hk.Linear(config.hidden_size)
        self._activation = activation(config.activation)

    def initial_state(self, batch_size: int) -> tuple[()]:
        return ()

    def __call__(self, x: Array, reset: Array, state: tuple[()]) -> tuple[Array, tuple[()]]:
        return self._activation(self._linear(x)), state

    def unroll(self, x: Array, reset: Array, state: tuple[()]) -> tuple[Array, tuple[()]]:
        return self(x, reset, state)
