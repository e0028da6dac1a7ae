"""Vectors of Gymnasium's interface that other packages step as one, such as EnvPool's.

Shapes: E copies.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import dm_env
import jax
import numpy as np
from dm_env import specs

from tolman.envs.actions import within_bounds
from tolman.envs.adapters import (
    LOGGED_INFO,
    SinglePrecision,
    numbers_in,
    read_space,
    space_to_spec,
    to_space,
)
from tolman.envs.checks import raised, spec_leaves
from tolman.envs.environment import FIRST, LAST, MID, TimeStep
from tolman.envs.host import EnvironmentFault


class NativeVector:
    """A vector of Gymnasium's interface that resets a copy in the step after its last row.

    See `HostVector` for the rows, `GymnasiumAdapter` for what becomes of each.

    Attributes:
      num_envs: E.
      releases_gil: it steps outside Python.
      episode_info: see `HostVector`.
    """

    def __init__(
        self,
        name: str,
        environments: Any,
        spaces: tuple[Any, Any],
        num_envs: int,
        seed: int | None,
        releases_gil: bool = False,
        options: Mapping[str, Any] | None = None,
        log_info: Sequence[str] = (),
    ) -> None:
        """Takes a vector that has not been reset yet.

        Args:
          name: of the environment, in errors.
          environments: the vector.
          spaces: of one observation, and of one action.
          num_envs: E.
          seed: of the first `reset`; None where the vector has its seed already.
          releases_gil: as said.
          options: of the first `reset` and of every other; None or empty for none.
          log_info: names of further numbers of the `info` that `episode_info` has.

        Raises:
          ValueError: for a space without fixed shapes.
        """
        self.num_envs, self.releases_gil = num_envs, releases_gil
        self._name, self._environments = name, environments
        self._reset_with: dict[str, Any] = {"options": dict(options)} if options else {}
        self._seed = {} if seed is None else {"seed": seed}
        self._log_info = dict.fromkeys((*LOGGED_INFO, *log_info))
        self._observation_spec, self._action_spec = native_specs(spaces)
        self._to_observation, self._from_action = read_space(spaces[0]), to_space(spaces[1])
        self._shapes = [
            tuple(leaf.shape) for _, leaf in spec_leaves(self._observation_spec)
        ]
        self._is_over = np.zeros(num_envs, bool)  # [E], the last row was LAST.
        self._step_number = 0
        self.episode_info: list[dict[str, float]] = [{}] * num_envs

    def observation_spec(self) -> Any:
        return self._observation_spec

    def action_spec(self) -> Any:
        return self._action_spec

    def reset(self) -> TimeStep:
        keywords = {**self._reset_with, **self._seed}
        self._seed = {}  # The copies draw on from where they are.
        observation, _ = self._call(self._environments.reset, **keywords)
        self._is_over = np.ones(self.num_envs, bool)
        none = np.zeros(self.num_envs)
        return self._row(observation, none, none, none, {})

    def step(self, action: Any) -> TimeStep:
        """See `HostVector`.

        Raises:
          ValueError: for actions of another shape, or that are not finite.
        """
        self._step_number += 1
        taken = self._from_action(jax.tree.map(self._checked, self._action_spec, action))
        return self._row(*self._call(self._environments.step, taken))

    def close(self) -> None:
        """Closes the copies."""
        self._environments.close()

    def _checked(self, spec: specs.Array, part: Any) -> np.ndarray:
        part, wanted = np.asarray(part, spec.dtype), (self.num_envs, *spec.shape)
        if part.shape != wanted:
            raise ValueError(f"action of shape {part.shape}: must be {wanted}.")
        return within_bounds(spec, part) if part.dtype.kind == "f" else part

    def _call(self, method: Any, *arguments: Any, **keywords: Any) -> Any:
        try:
            return method(*arguments, **keywords)
        except Exception as error:
            raise self._fault(raised(error)) from error

    def _row(
        self, observation: Any, reward: Any, terminated: Any, truncated: Any, info: Any
    ) -> TimeStep:
        """One row of what the vector gave; all `[E, ...]`."""
        starts = self._is_over
        told = [np.asarray(each) for each in (reward, terminated, truncated)]
        self._check("reward", told[0], ())
        ended = [np.logical_and(each, ~starts) for each in told[1:]]
        ends = ended[0] | ended[1]
        observation = self._to_observation(observation)
        for leaf, shape in zip(jax.tree.leaves(observation), self._shapes, strict=True):
            self._check("observation", leaf, shape)
        self._is_over = ends
        self.episode_info = [
            self._told(info, index) if is_last else {} for index, is_last in enumerate(ends)
        ]
        arrays: Any = (
            np.where(starts, FIRST, np.where(ends, LAST, MID)).astype(np.int32),
            np.where(starts, 0.0, told[0]).astype(np.float32),
            np.where(ended[0], 0.0, 1.0).astype(np.float32),
            observation,
            starts,
        )
        return TimeStep(*arrays)

    def _check(self, what: str, got: np.ndarray, shape: tuple[int, ...]) -> None:
        """Raises EnvironmentFault unless `got` is `[E, *shape]` and finite."""
        wanted = (self.num_envs, *shape)
        if got.shape != wanted:
            raise self._fault(f"{what}: got shape {got.shape}; must be {wanted}.")
        if got.dtype.kind == "f" and not np.isfinite(got).all():
            copy = int(np.argwhere(~np.isfinite(got))[0][0])
            first = got[copy][~np.isfinite(got[copy])].flat[0]
            raise self._fault(f"{what}: got {first}; must be finite.", copy)

    def _told(self, info: Any, index: int) -> dict[str, float]:
        """The numbers that one copy tells at an episode's end; see `GymnasiumAdapter`."""
        told = {}
        for key in self._log_info:
            is_told = info.get(f"_{key}")  # [E], where Gymnasium says whose numbers it has.
            if key in info and (is_told is None or is_told[index]):
                told[key] = jax.tree.map(lambda leaf: np.asarray(leaf)[index], info[key])
        return numbers_in(told)

    def _fault(self, what: str, copy: int | None = None) -> EnvironmentFault:
        which = "all copies" if copy is None else f"copy {copy}"
        return EnvironmentFault(
            f"env {self._name!r}, {which}, step {self._step_number}: {what}"
        )


def native_specs(spaces: tuple[Any, Any]) -> tuple[Any, Any]:
    """The specs of the spaces of one observation and one action.

    Raises:
      ValueError: for a space without fixed shapes.
    """
    return space_to_spec(spaces[0], "observation"), space_to_spec(spaces[1], "action")


class FirstCopy(SinglePrecision):
    """The only copy of a vector, as an environment.

    Attributes:
      new_task: the latest time step was FIRST.
      episode_info: see `GymnasiumAdapter`.
    """

    def __init__(self, vector: Any) -> None:
        """Takes a vector of one that has not been reset yet, with `episode_info`."""
        self._vector = vector
        self._has_begun = False
        self.new_task = False
        self.episode_info: Mapping[str, float] = {}

    def reset(self) -> dm_env.TimeStep:
        """Starts an episode."""
        return self._deliver(self._vector.reset())

    def step(self, action: Any) -> dm_env.TimeStep:
        """Takes `action`; starts an episode instead where none is under way."""
        if not self._has_begun:
            return self.reset()
        batch = jax.tree.map(lambda part: np.asarray(part)[None], action)
        return self._deliver(self._vector.step(batch))

    def observation_spec(self) -> Any:
        """The vector's."""
        return self._vector.observation_spec()

    def action_spec(self) -> Any:
        """The vector's."""
        return self._vector.action_spec()

    def close(self) -> None:
        """Closes the vector."""
        self._vector.close()

    def _deliver(self, row: TimeStep) -> dm_env.TimeStep:
        self._has_begun = True
        one = jax.tree.map(lambda leaf: leaf[0], row)
        self.new_task, self.episode_info = bool(one.new_task), self._vector.episode_info[0]
        if one.step_type == FIRST:
            return dm_env.restart(one.observation)
        step_type = dm_env.StepType(int(one.step_type))
        return dm_env.TimeStep(step_type, one.reward, one.discount, one.observation)
