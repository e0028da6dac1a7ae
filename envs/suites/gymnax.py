"""gymnax, and what has its interface."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from tolman.envs.suites.settings import SuiteSettings
from tolman.envs.suites.shapes import spec_of
from tolman.envs.suites.task import SuiteTask

NEVER = np.iinfo(np.int32).max  # Steps of an episode without a clock.

Array = jax.Array


class GymnaxState(NamedTuple):
    """Attributes:
    inner: the task's own state.
    key: of the chance in the steps to come.
    """

    inner: Any
    key: Array


class GymnaxTask(SuiteTask):
    """A task of that interface as an on-device environment.

    It calls `reset_env` and `step_env`, which do not start episodes by themselves.
    """

    def __init__(
        self, environment: Any, params: Any, clock: str = "max_steps_in_episode"
    ) -> None:
        """Makes it.

        Args:
          environment: the suite's.
          params: of it.
          clock: the parameter that says how long an episode may take, if it has one.
        """
        self._environment, self._params, self._clock = environment, params, clock
        action_space = environment.action_space(params)
        is_numbered = hasattr(action_space, "n")
        shaped: Any = jax.ShapeDtypeStruct((), jnp.int32)
        if not is_numbered:
            shaped = jax.ShapeDtypeStruct(action_space.shape, jnp.float32)
        super().__init__(
            environment.observation_space(params), spec_of(action_space, shaped, "action")
        )

    def _begin(self, key: Array) -> tuple[Any, Any]:
        key, reset_key = jax.random.split(key)
        observation, inner = self._environment.reset_env(reset_key, self._params)
        return GymnaxState(inner, key), observation

    def _move(self, state: GymnaxState, action: Any) -> tuple[Any, Any, Any, Any, Any]:
        key, step_key = jax.random.split(state.key)
        observation, inner, reward, done, info = self._environment.step_env(
            step_key, state.inner, action, self._params
        )
        ends = self._ends(inner, done, info)
        return GymnaxState(inner, key), observation, reward, *ends

    def _ends(self, state: Any, done: Any, info: Any) -> tuple[Any, Any]:
        """Whether the task is over, and whether the episode ends, be it by the clock."""
        environment, params = self._environment, self._params
        done = jnp.reshape(jnp.asarray(done, bool), ())
        has_clock = hasattr(params, self._clock)
        if "terminated" in info and "truncated" in info:  # POPGym Arcade.
            terminated = done & jnp.asarray(info["terminated"], bool)
        elif has_clock and hasattr(environment, "is_truncated"):  # gymnax from 1.0 on.
            return done, jnp.asarray(environment.is_truncated(state, params), bool)
        elif has_clock:  # Elsewhere the clock is hidden in what ends an episode.
            endless = params.replace(**{self._clock: NEVER})
            terminated = done & jnp.asarray(environment.is_terminal(state, endless), bool)
        else:
            terminated = done
        return terminated, done


def list_ids() -> Sequence[str]:
    """Those of gymnax."""
    import gymnax

    return gymnax.registered_envs


def make(task: str, settings: SuiteSettings) -> GymnaxTask:
    """The task of gymnax of that id."""
    import gymnax

    environment, params = gymnax.make(task)
    if settings.max_episode_steps is not None:
        if not hasattr(params, "max_steps_in_episode"):
            raise no_clock(task, settings.max_episode_steps)
        params = params.replace(max_steps_in_episode=settings.max_episode_steps)
    return GymnaxTask(environment, params)


def no_clock(task: str, steps: int) -> ValueError:
    """The error of a task whose episodes have no limit that could be set."""
    return ValueError(f"max_episode_steps={steps}: {task} has no clock. Leave it out.")
