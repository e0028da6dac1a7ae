"""gymnax, and POPGym Arcade, which has its interface."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from dm_env import specs

from tolman.envs.environment import TimeStep, restart, transition
from tolman.envs.suites.settings import ArcadeSettings, GymnaxSettings
from tolman.envs.suites.shapes import cast, common_types, spec_of

NEVER = np.iinfo(np.int32).max  # Steps of an episode without a clock.

Array = jax.Array


class GymnaxState(NamedTuple):
    """Attributes:
    inner: the task's own state.
    key: of the chance in the steps to come.
    """

    inner: Any
    key: Array


class GymnaxTask:
    """A task of that interface as an on-device environment.

    It calls `reset_env` and `step_env`, which do not start episodes by themselves.
    """

    def __init__(self, environment: Any, params: Any) -> None:
        """Traces the task once, outside of all programs, for its specs and types."""
        self._environment, self._params = environment, params
        key = jax.random.PRNGKey(0)
        action_space = environment.action_space(params)
        is_numbered = hasattr(action_space, "n")
        shaped: Any = jax.ShapeDtypeStruct((), jnp.int32)
        if not is_numbered:
            shaped = jax.ShapeDtypeStruct(action_space.shape, jnp.float32)
        self._action_spec = spec_of(action_space, shaped, "action")
        observation, state = jax.eval_shape(self._reset, key)
        _, after, *_ = jax.eval_shape(self._step, key, state, shaped)
        self._types = common_types(state, after)
        space = environment.observation_space(params)
        self._observation_spec = spec_of(space, observation, "observation")

    def reset(self, key: Array) -> tuple[GymnaxState, TimeStep]:
        key, reset_key = jax.random.split(key)
        observation, inner = self._reset(reset_key)
        return GymnaxState(cast(inner, self._types), key), restart(
            self._observe(observation)
        )

    def step(self, state: GymnaxState, action: Any) -> tuple[GymnaxState, TimeStep]:
        key, step_key = jax.random.split(state.key)
        observation, inner, reward, terminated, truncated = self._step(
            step_key, state.inner, action
        )
        timestep = transition(
            jnp.reshape(reward, ()), self._observe(observation), terminated, truncated
        )
        return GymnaxState(cast(inner, self._types), key), timestep

    def observation_spec(self) -> Any:
        return self._observation_spec

    def action_spec(self) -> Any:
        return self._action_spec

    def _reset(self, key: Array) -> tuple[Any, Any]:
        return self._as_arrays(self._environment.reset_env(key, self._params))

    def _step(self, key: Array, state: Any, action: Any) -> Any:
        environment, params = self._environment, self._params
        observation, state, reward, done, info = environment.step_env(
            key, state, action, params
        )
        terminated, truncated = _ends(environment, params, state, done, info)
        return self._as_arrays((observation, state, reward, terminated, truncated))

    def _as_arrays(self, tree: Any) -> Any:
        return jax.tree.map(jnp.asarray, tree)

    def _observe(self, observation: Any) -> Any:
        return jax.tree.map(
            lambda spec, leaf: jnp.asarray(leaf, spec.dtype),
            self._observation_spec,
            observation,
            is_leaf=lambda leaf: isinstance(leaf, specs.Array),
        )


def _ends(environment: Any, params: Any, state: Any, done: Any, info: Any) -> Any:
    """Whether the task is over, and whether the episode ends, be it by its clock alone."""
    done = jnp.reshape(jnp.asarray(done, bool), ())
    has_clock = hasattr(params, "max_steps_in_episode")
    if "terminated" in info and "truncated" in info:  # POPGym Arcade.
        terminated = done & jnp.asarray(info["terminated"], bool)
    elif has_clock and hasattr(environment, "is_truncated"):  # gymnax from 1.0 on.
        return done, jnp.asarray(environment.is_truncated(state, params), bool)
    elif has_clock:  # Before that the clock is hidden in what ends an episode.
        endless = params.replace(max_steps_in_episode=NEVER)
        terminated = done & jnp.asarray(environment.is_terminal(state, endless), bool)
    else:
        terminated = done
    return terminated, done


@functools.cache
def make_gymnax(package: str, task: str, settings: Any) -> GymnaxTask:
    """The task of that id; equal settings give one object, and so one program."""
    import importlib

    make: Callable[..., Any] = importlib.import_module(package).make
    if isinstance(settings, ArcadeSettings):
        made = make(
            task, obs_size=settings.image_size, partial_obs=settings.partially_observed
        )
        return GymnaxTask(*made)
    environment, params = make(task)
    if isinstance(settings, GymnaxSettings) and settings.max_episode_steps is not None:
        if not hasattr(params, "max_steps_in_episode"):
            raise ValueError(
                f"max_episode_steps={settings.max_episode_steps}: {task} has no clock. "
                "Leave it out."
            )
        params = params.replace(max_steps_in_episode=settings.max_episode_steps)
    return GymnaxTask(environment, params)
