"""Adapters between the kinds of environment: on-device, dm_env and Gymnasium."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import dm_env
import jax
import numpy as np
from dm_env import specs

from tolman.envs.actions import cast_action
from tolman.envs.environment import (
    Environment,
    TimeStep,
    next_episode,
    once_for_equals,
)

LOGGED_INFO = ("is_success", "episode")  # Of Gymnasium's info; the first is Baselines'.


class Compiled(NamedTuple):
    """The functions of one on-device environment, each in a `jit` of its own."""

    reset: Callable[..., Any]
    next_episode: Callable[..., Any]
    step: Callable[..., Any]


@once_for_equals
def compile_environment(environment: Environment) -> Compiled:
    """Compiles an environment's functions; equal environments share the result."""
    reset, step = jax.jit(environment.reset), jax.jit(environment.step)
    if not hasattr(environment, "next_episode"):
        return Compiled(reset, lambda _, key: reset(key), step)
    return Compiled(reset, jax.jit(functools.partial(next_episode, environment)), step)


class SinglePrecision(dm_env.Environment):
    """Base of environments whose rewards and discounts are float32."""

    def reward_spec(self) -> specs.Array:
        """One float32."""
        return specs.Array((), np.float32, "reward")

    def discount_spec(self) -> specs.BoundedArray:
        """One float32 in [0, 1]."""
        return specs.BoundedArray((), np.float32, 0.0, 1.0, "discount")


class DmEnvAdapter(SinglePrecision):
    """An on-device environment as a `dm_env.Environment`.

    Its trajectory is that of the copy which `vector.reset` starts from
    `jax.random.PRNGKey(seed)`: same keys, same rewards, same observations.

    Attributes:
      environment: what is adapted.
      new_task: the latest time step opened a new task, so a memory must be wiped.
    """

    def __init__(self, environment: Environment, seed: int) -> None:
        """Starts nothing yet; the first `reset` does, with chance from `seed`."""
        self.environment = environment
        self.new_task = False
        self._compiled = compile_environment(environment)
        self._action_spec = environment.action_spec()
        self.reseed(seed)

    def reseed(self, seed: int) -> None:
        """Makes the next time step open a fresh task, with all chance from `seed`."""
        self._key = jax.random.PRNGKey(seed)
        self._state: Any = None
        self._is_over = True

    def reset(self) -> dm_env.TimeStep:
        """Starts an episode; in the same task where the environment says so."""
        self._key, key = jax.random.split(self._key)
        if self._state is None:
            self._state, timestep = self._compiled.reset(key)
        else:
            self._state, timestep = self._compiled.next_episode(self._state, key)
        return self._deliver(timestep)

    def step(self, action: Any) -> dm_env.TimeStep:
        """Takes `action`; starts an episode instead where none is under way."""
        if self._is_over:
            return self.reset()
        action = cast_action(self._action_spec, action)
        self._state, timestep = self._compiled.step(self._state, action)
        return self._deliver(timestep)

    def observation_spec(self) -> Any:
        """The environment's own."""
        return self.environment.observation_spec()

    def action_spec(self) -> Any:
        """The environment's own."""
        return self._action_spec

    def _deliver(self, timestep: TimeStep) -> dm_env.TimeStep:
        timestep = jax.device_get(timestep)
        self.new_task = bool(timestep.new_task)
        step_type = dm_env.StepType(int(timestep.step_type))
        self._is_over = step_type == dm_env.StepType.LAST
        if step_type == dm_env.StepType.FIRST:
            return dm_env.restart(timestep.observation)
        return dm_env.TimeStep(
            step_type,
            np.float32(timestep.reward),
            np.float32(timestep.discount),
            timestep.observation,
        )


class GymnasiumAdapter(SinglePrecision):
    """A Gymnasium environment as a `dm_env.Environment`.

    `terminated` becomes LAST with discount 0, `truncated` LAST with discount 1. Numbers
    of 64 bits become 32, as in JAX. Discrete actions count from 0, whatever the
    space's start. Every episode is a new task.

    Attributes:
      environment: what is adapted.
      new_task: the latest time step was FIRST.
      episode_info: numbers in the `info` of the latest time step where that was LAST, else
        empty: `is_success`, those of `episode` (as `episode/r`), and those that the
        environment or a wrapper names in an attribute `log_info`.
    """

    def __init__(self, environment: Any, seed: int = 0) -> None:
        """Seeds the first episode; the following ones draw on from there.

        Raises:
          ValueError: for a space without fixed shapes, such as text or a graph.
        """
        self.environment = environment
        self.new_task = False
        self.episode_info: dict[str, float] = {}
        self._log_info = {*LOGGED_INFO, *_find_attribute(environment, "log_info", ())}
        self._observation_spec = space_to_spec(environment.observation_space, "observation")
        self._action_spec = space_to_spec(environment.action_space, "action")
        self._to_observation = read_space(environment.observation_space)
        self._from_action = to_space(environment.action_space)
        self.reseed(seed)

    def reseed(self, seed: int) -> None:
        """Makes the next time step open an episode with all chance from `seed`."""
        self._seed: int | None = seed
        self._is_over = True

    def reset(self) -> dm_env.TimeStep:
        """Starts an episode."""
        observation, _ = self.environment.reset(seed=self._seed)
        self._seed, self._is_over, self.new_task = None, False, True
        self.episode_info = {}
        return dm_env.restart(self._to_observation(observation))

    def step(self, action: Any) -> dm_env.TimeStep:
        """Takes `action`; starts an episode instead where none is under way."""
        if self._is_over:
            return self.reset()
        observation, reward, terminated, truncated, info = self.environment.step(
            self._from_action(action)
        )
        self.new_task, self._is_over = False, bool(terminated or truncated)
        self.episode_info = {}
        if self._is_over:
            told = {key: info[key] for key in self._log_info & info.keys()}
            self.episode_info = numbers_in(told)
        return dm_env.TimeStep(
            dm_env.StepType.LAST if self._is_over else dm_env.StepType.MID,
            np.float32(reward),
            np.float32(0.0 if terminated else 1.0),
            self._to_observation(observation),
        )

    def observation_spec(self) -> Any:
        """From the observation space; dict and tuple spaces give nests."""
        return self._observation_spec

    def action_spec(self) -> Any:
        """From the action space."""
        return self._action_spec

    def close(self) -> None:
        """Closes the Gymnasium environment."""
        self.environment.close()


def to_gymnasium(environment: Environment | dm_env.Environment, seed: int = 0) -> Any:
    """An on-device or dm_env environment as a `gymnasium.Env`.

    LAST with discount 0 is `terminated`, with any other `truncated`; `info["new_task"]`
    tells whether the observation opens a new task. `reset(seed=...)` reseeds where the
    environment has `reseed(seed)`, as both adapters here have.

    Args:
      environment: on-device, or dm_env.
      seed: of an on-device environment until `reset(seed=...)` gives another.
    """
    from tolman.envs.gymnasium_env import ExportedEnv

    if not isinstance(environment, dm_env.Environment):
        environment = DmEnvAdapter(environment, seed)
    return ExportedEnv(environment)


def _find_attribute(environment: Any, name: str, default: Any) -> Any:
    """An attribute of a Gymnasium environment or of a wrapper around it."""
    try:
        return environment.get_wrapper_attr(name)
    except AttributeError:
        return default


def numbers_in(info: dict[str, Any], prefix: str = "") -> dict[str, float]:
    """The single numbers of a nest of dictionaries, booleans as 0 and 1.

    Args:
      info: of Gymnasium, with keys that are words.
      prefix: of the names; what is in a dictionary `episode` is named `episode/KEY`.
    """
    numbers: dict[str, float] = {}
    for key, value in info.items():
        if isinstance(value, dict):
            numbers |= numbers_in(value, f"{prefix}{key}/")
        elif isinstance(value, bool | int | float | np.bool_ | np.number) or (
            isinstance(value, np.ndarray) and value.size == 1 and value.dtype.kind in "biuf"
        ):
            numbers[f"{prefix}{key}"] = float(np.asarray(value).item())
    return numbers


def space_to_spec(space: Any, name: str) -> Any:
    """The dm_env spec (or nest of them) of a Gymnasium space; 64 bits become 32.

    Raises:
      ValueError: for a space without fixed shapes.
    """
    from gymnasium import spaces

    if isinstance(space, spaces.Dict):
        return {key: space_to_spec(inner, key) for key, inner in space.spaces.items()}
    if isinstance(space, spaces.Tuple):
        return tuple(
            space_to_spec(inner, f"{name}_{index}")
            for index, inner in enumerate(space.spaces)
        )
    if isinstance(space, spaces.Discrete):
        return specs.DiscreteArray(int(space.n), dtype=np.int32, name=name)
    if isinstance(space, spaces.MultiDiscrete):
        highest = np.asarray(space.nvec) - 1
        return specs.BoundedArray(space.shape, np.int32, 0, highest, name)
    if isinstance(space, spaces.MultiBinary):
        return specs.BoundedArray(space.shape, np.int8, 0, 1, name)
    if isinstance(space, spaces.Box):
        dtype = single_precision(space.dtype)
        return specs.BoundedArray(
            space.shape, dtype, _bound(space.low, dtype), _bound(space.high, dtype), name
        )
    raise ValueError(
        f"{name} space {space}: must be Box, Discrete, MultiDiscrete, MultiBinary, or a "
        "Dict or Tuple of these. Wrap the environment in gymnasium.wrappers."
    )


def single_precision(dtype: Any) -> np.dtype:
    """The dtype that JAX holds for `dtype`: 64-bit numbers become 32-bit."""
    shorter = {"float64": "float32", "int64": "int32", "uint64": "uint32"}
    return np.dtype(shorter.get(np.dtype(dtype).name, dtype))


def single_precision_spec(spec: Any) -> Any:
    """A nest of specs, with `single_precision` applied to each."""

    def convert(leaf: specs.Array) -> specs.Array:
        dtype = single_precision(leaf.dtype)
        if dtype == leaf.dtype:
            return leaf
        if isinstance(leaf, specs.BoundedArray) and not isinstance(
            leaf, specs.DiscreteArray
        ):
            low, high = _bound(leaf.minimum, dtype), _bound(leaf.maximum, dtype)
            return specs.BoundedArray(leaf.shape, dtype, low, high, leaf.name)
        return leaf.replace(dtype=dtype)

    return jax.tree.map(convert, spec)


def _bound(bound: np.ndarray, dtype: np.dtype) -> np.ndarray:
    if np.issubdtype(dtype, np.integer):
        limits = np.iinfo(dtype)
        bound = np.clip(bound, limits.min, limits.max)
    with np.errstate(over="ignore"):
        return np.asarray(bound, dtype)


def read_space(space: Any) -> Callable[[Any], Any]:
    """Turns values of a space, or batches, into what `space_to_spec` describes; copies."""
    return _part_by_part(space, _from_part)


def to_space(space: Any) -> Callable[[Any], Any]:
    """Turns what `space_to_spec` describes, or batches of it, into values of the space."""
    return _part_by_part(space, _to_part)


def _part_by_part(
    space: Any, convert: Callable[[Any], Callable[[Any], Any]]
) -> Callable[[Any], Any]:
    """Converts each part of a value as `convert` says for the part's space."""
    from gymnasium import spaces

    if isinstance(space, spaces.Dict):
        parts = {key: _part_by_part(one, convert) for key, one in space.spaces.items()}
        return lambda value: {key: part(value[key]) for key, part in parts.items()}
    if isinstance(space, spaces.Tuple):
        items = [_part_by_part(one, convert) for one in space.spaces]
        return lambda value: tuple(
            item(one) for item, one in zip(items, value, strict=True)
        )
    return convert(space)


def _from_part(space: Any) -> Callable[[Any], Any]:
    from gymnasium import spaces

    dtype = single_precision(space.dtype)
    start = space.start if isinstance(space, spaces.Discrete | spaces.MultiDiscrete) else 0
    if np.any(start):
        return lambda value: (np.asarray(value) - start).astype(dtype)
    # A copy: many environments write the next observation into the same buffer.
    return lambda value: np.array(value, dtype)


def _to_part(space: Any) -> Callable[[Any], Any]:
    from gymnasium import spaces

    dtype = space.dtype
    if isinstance(space, spaces.Discrete | spaces.MultiDiscrete):
        # In the space's dtype first: the sum may be too large for that of the value.
        return lambda value: np.asarray(value).astype(dtype)[()] + dtype.type(space.start)
    return lambda value: np.asarray(value, dtype)
