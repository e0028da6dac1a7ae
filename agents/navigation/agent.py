"""The navigation agent: the actor-critic with a wiring of its own and three predictions.

Source: Mirowski et al. 2016, section 3.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from dm_env import specs

from tolman.agents.actor_critic.agent import ActorCritic
from tolman.agents.agent import register_agent
from tolman.agents.auxiliary import AuxiliaryTask
from tolman.agents.navigation.config import NavigationConfig
from tolman.agents.navigation.tasks import make_tasks, needed
from tolman.networks.core import MemoryCore
from tolman.networks.cores import LSTM, LSTMConfig, Stacked

LOWER_INPUTS = ("features", "previous_reward")
UPPER_INPUTS = ("features", "previous_action", "velocity")


@register_agent("navigation")
def make_navigation(
    config: NavigationConfig,
    observation_spec: Any,
    action_spec: specs.DiscreteArray,
    make_core: Callable[[], MemoryCore],
    auxiliary_tasks: Sequence[AuxiliaryTask] | None = None,
) -> ActorCritic:
    """Navigation: the actor-critic that also predicts depth and closed loops.

    The arguments are those of `ActorCritic`; the auxiliary tasks are in place of those that
    the settings name.

    Raises:
      ValueError: if the environment does not deliver what the settings need.
    """
    is_nav, image = config.wiring == "nav", "rgbd" if config.is_depth_input else "rgb"
    needed(observation_spec, image, "--agent.no-is-depth-input" if image == "rgbd" else "")
    if is_nav:
        needed(observation_spec, "velocity", "--agent.wiring plain")
    settings = dataclasses.replace(
        config,
        reads=(image, "velocity") if is_nav else (image,),
        use_previous_action=is_nav,
        use_previous_reward=is_nav,
    )

    if auxiliary_tasks is None:
        auxiliary_tasks = make_tasks(config, observation_spec)

    def make_stacked() -> Any:
        lower = LSTM(LSTMConfig(config.first_hidden_size), name="lower")
        return Stacked(lower, make_core(), LOWER_INPUTS, UPPER_INPUTS)

    return ActorCritic(
        settings,
        observation_spec,
        action_spec,
        make_stacked if is_nav else make_core,
        auxiliary_tasks,
    )
