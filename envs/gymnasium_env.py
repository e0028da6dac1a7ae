"""A dm_env environment as a Gymnasium one; imported only where Gymnasium is asked for."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import dm_env
import gymnasium
import numpy as np
from dm_env import specs
from gymnasium import spaces


class ExportedEnv(gymnasium.Env):
    """A `dm_env.Environment` seen through the Gymnasium interface."""

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012, as Gymnasium has it.

    def __init__(self, environment: dm_env.Environment) -> None:
        """Takes the spaces from the specs.

        Raises:
          ValueError: for a spec that no space describes, such as one of strings.
        """
        self.environment = environment
        self.observation_space = spec_to_space(environment.observation_spec())
        self.action_space = spec_to_space(environment.action_spec())

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Starts an episode, with all chance from `seed` if one is given."""
        super().reset(seed=seed, options=options)
        if seed is not None:
            reseed = getattr(self.environment, "reseed", None)
            if reseed is None:
                name = type(self.environment).__name__
                logging.getLogger(__name__).warning("%s has no reseed: seed ignored", name)
            else:
                reseed(seed)
        timestep = self.environment.reset()
        return self._observation(timestep), self._info()

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Takes `action`."""
        action = _from_space(self.environment.action_spec(), action)
        timestep = self.environment.step(action)
        is_over = timestep.last()
        terminated = is_over and float(timestep.discount) == 0.0
        return (
            self._observation(timestep),
            float(timestep.reward or 0.0),
            terminated,
            is_over and not terminated,
            self._info(),
        )

    def close(self) -> None:
        """Closes the dm_env environment."""
        self.environment.close()

    def _observation(self, timestep: dm_env.TimeStep) -> Any:
        return _to_space(self.observation_space, timestep.observation)

    def _info(self) -> dict[str, Any]:
        return {"new_task": bool(getattr(self.environment, "new_task", False))}


class Configured(gymnasium.Wrapper):
    """Passes the same `options` to every `reset`; those of the caller win.

    Attributes:
      log_info: names of further numbers in `info` that become metrics.
    """

    def __init__(
        self, environment: gymnasium.Env, options: dict[str, Any], log_info: Sequence[str]
    ) -> None:
        super().__init__(environment)
        self._options = options
        self.log_info = log_info

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        return self.env.reset(seed=seed, options={**self._options, **(options or {})})


class MaskedObservation(gymnasium.Wrapper):
    """Puts the legal actions of `info["action_mask"]` into the observation.

    A part `action_mask` joins those of a dictionary; any other observation becomes the part
    `observation` of one.
    """

    def __init__(self, environment: gymnasium.Env) -> None:
        """Raises ValueError where the actions are not numbered."""
        super().__init__(environment)
        actions = environment.action_space
        if isinstance(actions, spaces.Discrete):
            size = int(actions.n)
        elif isinstance(actions, spaces.MultiDiscrete):
            size = int(np.sum(actions.nvec))
        else:
            raise ValueError(
                f"action space {actions}: must be Discrete or MultiDiscrete to be masked. "
                "Leave --env.use-action-mask away."
            )
        self._is_dict = isinstance(environment.observation_space, spaces.Dict)
        seen: Any = environment.observation_space
        parts = dict(seen.spaces) if self._is_dict else {"observation": seen}
        mask = spaces.MultiBinary(size)
        self.observation_space = spaces.Dict({**parts, "action_mask": mask})

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        observation, info = self.env.reset(seed=seed, options=options)
        return self._with_mask(observation, info), info

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        observation, reward, terminated, truncated, info = self.env.step(action)
        observation = self._with_mask(observation, info)
        return observation, reward, terminated, truncated, info

    def _with_mask(self, observation: Any, info: dict[str, Any]) -> dict[str, Any]:
        if "action_mask" not in info:
            raise ValueError(
                'info: has no "action_mask". Have the environment tell the legal actions '
                "at every step, or leave --env.use-action-mask away."
            )
        told = info["action_mask"]
        parts = told if isinstance(told, tuple | list) else [told]
        mask = np.concatenate([np.asarray(part, np.int8).reshape(-1) for part in parts])
        seen = dict(observation) if self._is_dict else {"observation": observation}
        return {**seen, "action_mask": mask}


def spec_to_space(spec: Any) -> spaces.Space:
    """The Gymnasium space of a dm_env spec, or of a nest of them.

    Raises:
      ValueError: for strings and other things that are no numbers.
    """
    if isinstance(spec, dict):
        return spaces.Dict({key: spec_to_space(inner) for key, inner in spec.items()})
    if isinstance(spec, tuple | list):
        return spaces.Tuple([spec_to_space(inner) for inner in spec])
    if isinstance(spec, specs.DiscreteArray):
        return spaces.Discrete(int(spec.num_values))
    if spec.dtype == np.bool_:
        return spaces.MultiBinary(spec.shape)
    if not np.issubdtype(spec.dtype, np.number):
        raise ValueError(
            f"spec {spec!r}: must hold numbers or booleans. Drop it from the observation."
        )
    if isinstance(spec, specs.BoundedArray):
        low, high = spec.minimum, spec.maximum
    elif np.issubdtype(spec.dtype, np.integer):
        low, high = np.iinfo(spec.dtype).min, np.iinfo(spec.dtype).max
    else:
        low, high = -np.inf, np.inf
    return spaces.Box(
        np.broadcast_to(low, spec.shape).astype(spec.dtype),
        np.broadcast_to(high, spec.shape).astype(spec.dtype),
        dtype=spec.dtype.type,
    )


def _to_space(space: spaces.Space, value: Any) -> Any:
    if isinstance(space, spaces.Dict):
        return {key: _to_space(inner, value[key]) for key, inner in space.spaces.items()}
    if isinstance(space, spaces.Tuple):
        pairs = zip(space.spaces, value, strict=True)
        return tuple(_to_space(inner, part) for inner, part in pairs)
    if isinstance(space, spaces.Discrete):
        return np.int64(value)
    return np.asarray(value).astype(space.dtype)


def _from_space(spec: Any, value: Any) -> Any:
    if isinstance(spec, dict):
        return {key: _from_space(inner, value[key]) for key, inner in spec.items()}
    if isinstance(spec, tuple | list):
        return [_from_space(inner, part) for inner, part in zip(spec, value, strict=True)]
    return np.asarray(value).astype(spec.dtype)
