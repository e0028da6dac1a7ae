"""Heads: from the core's output to a policy, a value, or the values of actions."""

from __future__ import annotations

from typing import NamedTuple

import haiku as hk
import jax

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


class ActionValueHead(hk.Module):
    """The value of every action: `[..., H]` to `[..., A]`.

    One linear layer; the dueling head has two streams of one hidden layer each, for the
    value of the state and for what each action adds to the mean over actions.

    Source: Wang et al. 2016 (dueling networks), equation 9.
      Departure: a hidden layer is as wide as the input, and the gradient that enters the
      input is not scaled by the root of a half.
    """

    def __init__(self, num_actions: int, is_dueling: bool, name: str | None = None) -> None:
        super().__init__(name)
        self._num_actions = num_actions
        self._is_dueling = is_dueling

    def __call__(self, x: Array) -> Array:
        if not self._is_dueling:
            return hk.Linear(self._num_actions, name="action_value")(x)
        hidden_size = x.shape[-1]
        value = jax.nn.relu(hk.Linear(hidden_size, name="value_hidden")(x))
        value = hk.Linear(1, name="value")(value)
        advantage = jax.nn.relu(hk.Linear(hidden_size, name="advantage_hidden")(x))
        advantage = hk.Linear(self._num_actions, name="advantage")(advantage)
        return value + advantage - advantage.mean(-1, keepdims=True)
