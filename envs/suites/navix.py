"""navix: MiniGrid in JAX."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
from dm_env import specs

from tolman.envs.environment import TimeStep, restart, transition
from tolman.envs.suites.settings import NavixSettings
from tolman.envs.suites.shapes import cast, common_types, spec_of

TRUNCATION, TERMINATION = 1, 2  # Step types of navix.

Array = jax.Array


class NavixTask:
    """A task of navix as an on-device environment; its state is navix's time step.

    It calls `_step`: the public `step` starts episodes by itself.
    """

    def __init__(self, environment: Any) -> None:
        """Traces the task once, outside of all programs, for its specs and types."""
        self._environment = environment
        start = jax.eval_shape(environment.reset, jax.random.PRNGKey(0))
        action = jax.ShapeDtypeStruct((), jnp.int32)
        after = jax.eval_shape(environment._step, start, action)
        self._types = common_types(start, after)
        self._observation_spec = spec_of(
            environment.observation_space, start.observation, "observation"
        )
        self._action_spec = specs.DiscreteArray(len(environment.action_set), name="action")

    def reset(self, key: Array) -> tuple[Any, TimeStep]:
        state = cast(self._environment.reset(key), self._types)
        return state, restart(state.observation)

    def step(self, state: Any, action: Any) -> tuple[Any, TimeStep]:
        state = cast(self._environment._step(state, action), self._types)
        is_over = state.step_type == TERMINATION
        is_cut = state.step_type == TRUNCATION
        return state, transition(state.reward, state.observation, is_over, is_cut)

    def observation_spec(self) -> Any:
        return self._observation_spec

    def action_spec(self) -> Any:
        return self._action_spec


@functools.cache
def make_navix(task: str, settings: NavixSettings) -> NavixTask:
    """The task of that id; equal settings give one object, and so one program."""
    import navix

    steps = settings.max_episode_steps
    return NavixTask(navix.make(task, **({} if steps is None else {"max_steps": steps})))
