"""Heads: from the core's output to a policy, a value, or the values of actions."""

from __future__ import annotations

from typing import NamedTuple

import haiku as hk
import jax
import jax.numpy as jnp

from tolman.networks.core import Array


class PolicyValue(NamedTuple):
    """Attributes:
    outputs: `[..., N]`, of which a policy is made.
    free: `[F]`, numbers of the policy that no observation changes.
    value: `[...]` expected discounted return.
    """

    outputs: Array
    free: Array
    value: Array


class PolicyValueHead(hk.Module):
    """The numbers of a policy and a state value, one linear layer each, from `[..., H]`.

    A policy over numbered actions starts near uniform: its weights are a hundredth of the
    usual size.
    """

    def __init__(
        self, num_outputs: int, num_free: int = 0, name: str | None = None
    ) -> None:
        super().__init__(name)
        self._num_outputs, self._num_free = num_outputs, num_free

    def __call__(self, x: Array, value_x: Array) -> PolicyValue:
        small = hk.initializers.VarianceScaling(1e-4)
        outputs = hk.Linear(self._num_outputs, w_init=small, name="policy")(x)
        value = hk.Linear(1, name="value")(value_x)[..., 0]
        free = jnp.zeros(0)
        if self._num_free:
            free = hk.get_parameter("free", (self._num_free,), init=jnp.zeros)
        return PolicyValue(outputs, free, value)


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
