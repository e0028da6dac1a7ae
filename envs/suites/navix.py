"""navix: MiniGrid in JAX."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
from dm_env import specs

from tolman.envs.suites.settings import SuiteSettings
from tolman.envs.suites.task import SuiteTask

TRUNCATION, TERMINATION = 1, 2  # Step types of navix.


class NavixTask(SuiteTask):
    """A task of navix as an on-device environment; its state is navix's time step.

    It calls `_step`: the public `step` starts episodes by itself. The picture of the empty
    grid, which navix keeps in its state to paint, is left out: what ids see is symbolic.
    """

    def __init__(self, environment: Any) -> None:
        """Makes it of navix's environment."""
        self._environment = environment
        super().__init__(
            environment.observation_space,
            specs.DiscreteArray(len(environment.action_set), name="action"),
        )

    def _begin(self, key: jax.Array) -> tuple[Any, Any]:
        start = self._environment.reset(key)
        start = start.replace(state=start.state.replace(cache=None))
        return start, start.observation

    def _move(self, state: Any, action: Any) -> tuple[Any, Any, Any, Any, Any]:
        state = self._environment._step(state, action)
        is_over = state.step_type == TERMINATION
        is_cut = state.step_type == TRUNCATION
        return state, state.observation, state.reward, is_over, is_cut


def list_ids() -> Sequence[str]:
    """Those of navix."""
    import navix

    return sorted(navix.registry())


def make(task: str, settings: SuiteSettings) -> NavixTask:
    """The task of that id."""
    import navix

    steps = settings.max_episode_steps
    return NavixTask(navix.make(task, **({} if steps is None else {"max_steps": steps})))
