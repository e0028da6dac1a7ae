"""Environments as a runner on the host acts on them: many copies, stepped together.

Shapes: E copies. Every leaf of a time step here is a NumPy array `[E, ...]`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Protocol

import jax

from tolman.envs import vector
from tolman.envs.actions import cast_action
from tolman.envs.environment import Array, Environment, TimeStep, once_for_equals


class EnvironmentFault(RuntimeError):
    """What an environment did wrong while it was played, on one line.

    The line names the environment, the copy, the step, what was got and what is allowed.
    """


class HostVector(Protocol):
    """E copies of one environment, in the row convention of `envs/vector.py`.

    n decisions give n + 1 rows: every final observation is delivered, and the step after
    a LAST gives FIRST. A FIRST row has reward 0 and discount 1. `step_type` is int32,
    `reward` and `discount` are float32, `new_task` is bool. What was handed out is never
    written to again.

    One that steps outside Python, so that other threads can work meanwhile, says so by an
    attribute `releases_gil` that is true. One whose environments tell numbers of an
    episode at its end has an attribute `episode_info`: a mapping of names to numbers for
    each copy, empty but where its latest row is LAST.

    Attributes:
      num_envs: E.
    """

    num_envs: int

    def observation_spec(self) -> Any:
        """A `dm_env.specs.Array` or a nest of them, of one copy."""
        ...

    def action_spec(self) -> Any:
        """Of one copy; a `DiscreteArray` where actions are numbered."""
        ...

    def reset(self) -> TimeStep:
        """Starts an episode in every copy: FIRST rows."""
        ...

    def step(self, action: Any) -> TimeStep:
        """Steps every copy; one whose last row was LAST starts anew (FIRST) instead.

        Args:
          action: `[E, ...]`, or a nest of such as the spec is one. Ignored where a copy
            starts anew.

        Raises:
          EnvironmentFault: if a copy breaks the contract.
        """
        ...

    def close(self) -> None:
        """Frees what the copies hold."""
        ...


class OnDeviceVector:
    """Copies of an on-device environment, stepped from the host.

    The trajectory is, bit for bit, the one that `vector.reset(environment, keys)` and
    `vector.step` give. A second `reset` draws on from where the first trajectory was.
    """

    def __init__(self, environment: Environment, keys: Array) -> None:
        """Starts nothing yet.

        Args:
          environment: shared by all copies.
          keys: `[E, 2]`, one a copy.
        """
        self.environment = environment
        self.num_envs = len(keys)
        self._action_spec = environment.action_spec()
        self._keys = keys
        self._state: vector.VectorState | None = None
        self._reset, self._step = _compile(environment)

    def observation_spec(self) -> Any:
        return self.environment.observation_spec()

    def action_spec(self) -> Any:
        return self._action_spec

    def reset(self) -> TimeStep:
        keys = self._keys if self._state is None else self._state.keys
        self._state, timestep = self._reset(keys)
        return jax.device_get(timestep)

    def step(self, action: Any) -> TimeStep:
        """See `HostVector`.

        Raises:
          ValueError: before the first `reset`.
        """
        if self._state is None:
            raise ValueError("step before reset: call reset() once first.")
        self._state, timestep = self._step(
            self._state, cast_action(self._action_spec, action)
        )
        return jax.device_get(timestep)

    def close(self) -> None:
        """Nothing is held."""


@once_for_equals
def _compile(environment: Environment) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """`vector.reset` and `vector.step`; equal environments share the programs."""
    return (
        jax.jit(functools.partial(vector.reset, environment)),
        jax.jit(functools.partial(vector.step, environment)),
    )
