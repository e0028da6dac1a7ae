"""The Q network: the shared network with one head, the values of the actions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
from dm_env import specs

from tolman.agents.agent import Array
from tolman.agents.distributions import ILLEGAL
from tolman.agents.dqn.config import DQNConfig
from tolman.agents.recurrent import Features, Network, make_recurrent_network
from tolman.networks.core import MemoryCore
from tolman.networks.heads import ActionValueHead


class Output(NamedTuple):
    """Attributes:
    policy: `[..., A]`, the action values; `ILLEGAL` for what may not be chosen.
    """

    policy: Array


def make_network(
    config: DQNConfig,
    observation_spec: Any,
    action_spec: specs.DiscreteArray,
    make_core: Callable[[], MemoryCore],
) -> Network[Output]:
    """Builds the Q network."""

    def make_heads() -> Callable[[Features], Output]:
        action_values = ActionValueHead(
            action_spec.num_values, config.use_dueling_head, name="heads"
        )

        def heads(features: Features) -> Output:
            values = action_values(features.core)
            if features.legal is not None:
                values = jnp.where(features.legal, values, ILLEGAL)
            return Output(values)

        return heads

    return make_recurrent_network(
        config, observation_spec, action_spec, make_core, make_heads
    )
