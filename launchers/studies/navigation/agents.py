"""Navigation agents as the studies build them: a core by its name and its size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tolman.agents.actor_critic import ActorCritic
from tolman.agents.auxiliary import AuxiliaryTask
from tolman.agents.navigation import NavigationConfig, make_navigation
from tolman.envs.environment import Environment
from tolman.launchers.catalog.names import CORE, find, make_core


def make_agent(
    environment: Environment,
    core: str,
    core_size: int,
    auxiliary_tasks: Sequence[AuxiliaryTask] | None = None,
    **settings: Any,
) -> ActorCritic:
    """An agent with a core of `core_size` units; `settings` as in `NavigationConfig`.

    The auxiliary tasks are in place of those that the settings name.
    """
    return make_navigation(
        NavigationConfig(**settings),
        environment.observation_spec(),
        environment.action_spec(),
        make_core(core, find(CORE, core).settings_type(hidden_size=core_size)),
        auxiliary_tasks,
    )
