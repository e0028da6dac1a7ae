"""The actor-critic's heads on the shared network: policy, value, auxiliary predictions.

Shapes: `...` is `[B]` for one step and `[T, B]` for an unroll.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from tolman.agents.agent import Array
from tolman.agents.auxiliary import AuxiliaryTask
from tolman.agents.policies import Policy
from tolman.agents.recurrent import Features, Network, make_recurrent_network
from tolman.agents.settings import InputSettings
from tolman.networks.core import MemoryCore
from tolman.networks.heads import PolicyValueHead


class Output(NamedTuple):
    """Attributes:
    policy: `[..., ...]`, a pytree; see `tolman.agents.policies`.
    value: `[...]`.
    auxiliary: name of an auxiliary task to its head's prediction.
    """

    policy: Any
    value: Array
    auxiliary: dict[str, Any]


def make_network(
    settings: InputSettings,
    observation_spec: Any,
    action_spec: Any,
    policy: Policy,
    make_core: Callable[[], MemoryCore],
    auxiliary_tasks: Sequence[AuxiliaryTask] = (),
    has_value_trunk: bool = False,
) -> Network[Output]:
    """Builds the network with a head for each auxiliary task."""

    def make_heads() -> Callable[[Features], Output]:
        head = PolicyValueHead(policy.num_outputs, policy.num_free, name="heads")

        def heads(features: Features) -> Output:
            predictions = {task.name: task.predict(features) for task in auxiliary_tasks}
            outputs, free, value = head(features.core, features.value_core)
            parameters = policy.parameters(outputs, free, features.legal)
            return Output(parameters, value, predictions)

        return heads

    return make_recurrent_network(
        settings,
        observation_spec,
        action_spec,
        make_core,
        make_heads,
        targets=[name for task in auxiliary_tasks for name in task.targets],
        has_value_trunk=has_value_trunk,
    )
