"""The actor-critic's heads on the shared network: policy, value, auxiliary predictions.

Shapes: `...` is `[B]` for one step and `[T, B]` for an unroll; A actions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from dm_env import specs

from tolman.agents.actor_critic.config import ActorCriticConfig
from tolman.agents.agent import Array
from tolman.agents.auxiliary import AuxiliaryTask
from tolman.agents.recurrent import Features, Network, make_recurrent_network
from tolman.networks.core import MemoryCore
from tolman.networks.heads import PolicyValueHead


class Output(NamedTuple):
    """Attributes:
    logits: `[..., A]`.
    value: `[...]`.
    auxiliary: name of an auxiliary task to its head's prediction.
    """

    logits: Array
    value: Array
    auxiliary: dict[str, Any]


def make_network(
    config: ActorCriticConfig,
    observation_spec: Any,
    action_spec: specs.DiscreteArray,
    make_core: Callable[[], MemoryCore],
    auxiliary_tasks: Sequence[AuxiliaryTask] = (),
) -> Network[Output]:
    """Builds the network with a head for each auxiliary task."""

    def make_heads() -> Callable[[Features], Output]:
        policy_value = PolicyValueHead(action_spec.num_values, name="heads")

        def heads(features: Features) -> Output:
            predictions = {task.name: task.predict(features) for task in auxiliary_tasks}
            return Output(*policy_value(features.core), predictions)

        return heads

    return make_recurrent_network(
        config,
        observation_spec,
        action_spec.num_values,
        make_core,
        make_heads,
        targets=[name for task in auxiliary_tasks for name in task.targets],
    )
