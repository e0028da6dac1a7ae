"""Jumanji: combinatorial problems, games and many agents at once, in JAX."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from dm_env import specs

from tolman.envs.actions import bounds
from tolman.envs.suites.gymnax import NEVER, no_clock
from tolman.envs.suites.settings import SuiteSettings
from tolman.envs.suites.shapes import spec_of
from tolman.envs.suites.task import SuiteTask

Array = jax.Array


class JumanjiTask(SuiteTask):
    """A task of Jumanji as an on-device environment.

    Its observation is a dictionary of arrays by their paths in Jumanji's. Of several agents
    one policy chooses the actions; their rewards are added up, and the task is over where
    it is over for all, as by Jumanji's `MultiToSingleWrapper`. Where the mask tells what is
    legal of all numbers of an action together, the action here is one number, of their
    combinations. Where it tells that of each number, one without a legal value may have
    any, as such an agent does not move.
    """

    def __init__(self, environment: Any) -> None:
        """Makes it of Jumanji's environment."""
        self._environment = environment
        self._without_clock = None
        if hasattr(environment, "time_limit"):
            # Most tasks tell a clock that ran out as an end of the task.
            self._without_clock = copy.copy(environment)
            self._without_clock.time_limit = NEVER
        observation_spec = _parts_of_spec(environment.observation_spec)
        action_spec, self._counts = _numbers(
            environment.action_spec, observation_spec.get("action_mask")
        )
        self._is_mask_filled = "action_mask" in observation_spec and action_spec.shape != ()
        super().__init__(observation_spec, action_spec)

    def _begin(self, key: Array) -> tuple[Any, Any]:
        state, timestep = self._environment.reset(key)
        return state, self._parts(timestep.observation)

    def _move(self, state: Any, action: Any) -> tuple[Any, Any, Any, Any, Any]:
        theirs = self._environment.action_spec
        if self._counts is not None:
            action = jnp.stack(jnp.unravel_index(action, self._counts))
        action = jnp.asarray(action, theirs.dtype)
        after, timestep = self._environment.step(state, action)
        judged = timestep
        if self._without_clock is not None:
            _, judged = self._without_clock.step(state, action)
        terminated = judged.last() & jnp.all(judged.discount == 0.0)
        seen, reward = self._parts(timestep.observation), jnp.sum(timestep.reward)
        return after, seen, reward, terminated, timestep.last()

    def _parts(self, observation: Any) -> dict[str, Array]:
        """The arrays by their paths, such as "ems.x1"."""
        leaves, _ = jax.tree_util.tree_flatten_with_path(observation)
        parts = {
            jax.tree_util.keystr(path, simple=True, separator="."): leaf
            for path, leaf in leaves
        }
        if self._is_mask_filled:
            mask = parts["action_mask"]
            parts["action_mask"] = mask | ~mask.any(-1, keepdims=True)
        return parts


def _parts_of_spec(spec: Any, start: str = "") -> dict[str, Any]:
    """The specs of these arrays."""
    if hasattr(spec, "shape"):
        return {start: spec}
    nested = {
        name: part for name, part in vars(spec).items() if hasattr(part, "generate_value")
    }
    parts: dict[str, Any] = {}
    for name, part in nested.items():
        parts |= _parts_of_spec(part, f"{start}.{name}" if start else name)
    return parts


def _numbers(theirs: Any, mask: Any) -> tuple[specs.Array, tuple[int, ...] | None]:
    """The spec of an action, and of how many values each number of theirs is, if joined.

    Args:
      theirs: Jumanji's spec of it, of K numbers or of one.
      mask: the spec of what is legal; None if there is none.
    """
    shaped = jax.ShapeDtypeStruct(theirs.shape, theirs.dtype)
    spec = spec_of(theirs, shaped, "action")
    if mask is None or len(spec.shape) != 1:
        return spec, None
    low, high = bounds(spec)
    counts = tuple(int(count) for count in high - low + 1)
    if tuple(mask.shape) == counts != (len(counts), counts[0]):
        return specs.DiscreteArray(math.prod(counts), name="action"), counts
    # MultiCVRP's spec has one value more than its mask.
    most = np.minimum(high, mask.shape[-1] - 1).astype(spec.dtype)
    return specs.BoundedArray(spec.shape, spec.dtype, 0, most, "action"), None


def list_ids() -> Sequence[str]:
    """Those of Jumanji."""
    import jumanji

    return sorted(jumanji.registered_environments())


def make(task: str, settings: SuiteSettings) -> JumanjiTask:
    """The task of that id.

    Raises:
      ValueError: for a limit of a task that has no clock.
    """
    import jumanji

    environment = jumanji.make(task)
    if settings.max_episode_steps is not None:
        if not hasattr(environment, "time_limit"):
            raise no_clock(task, settings.max_episode_steps)
        environment = jumanji.make(task, time_limit=settings.max_episode_steps)
    return JumanjiTask(environment)
