"""What all suites need: one on-device environment whose types stay as they are."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from dm_env import specs

from tolman.envs.environment import TimeStep, restart, transition
from tolman.envs.suites.shapes import cast, common_types, spec_of

Array = jax.Array


class SuiteTask:
    """A task of another suite as an on-device environment.

    A subclass says by `_begin` and `_move` how its suite starts an episode and takes a
    step, without the suite's own automatic resets.
    """

    def __init__(self, observation_space: Any, action_spec: Any) -> None:
        """Traces the task once, outside of all programs, for its specs and types.

        Args:
          observation_space: the suite's, in the nest that `_begin` gives; see `spec_of`.
          action_spec: of the actions that `_move` takes.
        """
        self._action_spec = action_spec
        key, action = jax.random.PRNGKey(0), _shapes(action_spec)
        state, observation = jax.eval_shape(self._begin, key)
        after, *_ = jax.eval_shape(self._move, state, action)
        self._types = common_types(state, after)
        self._observation_spec = spec_of(observation_space, observation, "observation")

    def _begin(self, key: Array) -> tuple[Any, Any]:
        """The state that an episode starts in, and its observation."""
        raise NotImplementedError

    def _move(self, state: Any, action: Any) -> tuple[Any, Any, Any, Any, Any]:
        """The next state, observation, reward, whether the task is over, whether it is cut.

        Both may be true; the task is over then.
        """
        raise NotImplementedError

    def reset(self, key: Array) -> tuple[Any, TimeStep]:
        state, observation = self._begin(key)
        return cast(state, self._types), restart(self._observe(observation))

    def step(self, state: Any, action: Any) -> tuple[Any, TimeStep]:
        state, observation, reward, terminated, truncated = self._move(state, action)
        timestep = transition(
            jnp.reshape(reward, ()), self._observe(observation), terminated, truncated
        )
        return cast(state, self._types), timestep

    def observation_spec(self) -> Any:
        return self._observation_spec

    def action_spec(self) -> Any:
        return self._action_spec

    def _observe(self, observation: Any) -> Any:
        """The observation in the dtypes of its spec."""
        types = jax.tree.map(lambda spec: jnp.dtype(spec.dtype), self._observation_spec)
        return cast(observation, types)


def _shapes(spec: Any) -> Any:
    """What has the shapes and dtypes of an array of this spec, or of a nest of them."""

    def shape(leaf: specs.Array) -> jax.ShapeDtypeStruct:
        dtype = jax.dtypes.canonicalize_dtype(leaf.dtype)
        return jax.ShapeDtypeStruct(leaf.shape, dtype)

    return jax.tree.map(shape, spec)
