"""Heads: from the core's output to a policy and a value."""

from __future__ import annotations

from typing import NamedTuple

import haiku as hk

from tolman.networks.core import Array


class PolicyValue(NamedTuple):
    """Attributes:
    logits: `[..., A]` unnormalised log probabilities of the actions.
    value: `[...]` expected discounted return.
    """

    logits: Array
    value: Array


class PolicyValueHead(hk.Module):
    """A categorical policy and a state value, one linear layer each.

    The policy starts near uniform: its weights are a hundredth of the usual size.
    """

    def __init__(self, num_actions: int, name: str | None = None) -> None:
        super().__init__(name)
        self._num_actions = num_actions

    def __call__(self, x: Array) -> PolicyValue:
        small = hk.initializers.VarianceScaling(1e-4)
        logits = hk.Linear(self._num_actions, w_init=small, name="policy")(x)
        value = hk.Linear(1, name="value")(x)[..., 0]
        return PolicyValue(logits, value)
