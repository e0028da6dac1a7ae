"""One copy of a user's environment, whose every row is checked before it is handed on."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import dm_env
import jax
import numpy as np
from dm_env import specs

from tolman.envs.actions import Legal
from tolman.envs.adapters import single_precision
from tolman.envs.checks import check_structure, check_values, fail, spec_leaves
from tolman.envs.environment import FIRST, LAST, MID

Factory = Callable[[int], dm_env.Environment]  # Takes a seed.
LARGEST = float(np.finfo(np.float32).max)


class Row(NamedTuple):
    """One time step of one copy.

    Attributes:
      step_type: as everywhere.
      reward: of the step to it.
      discount: of the step to it.
      leaves: the arrays of its observation.
      new_task: it opens a new task.
      info: on LAST, the environment's `episode_info` where it has one.
    """

    step_type: int
    reward: float
    discount: float
    leaves: list[np.ndarray]
    new_task: bool
    info: Mapping[str, float] = MappingProxyType({})


class Nest:
    """A nest of specs: takes apart what is nested alike, and puts it together.

    Attributes:
      spec: the nest.
      leaves: its specs, in the order of `jax.tree.leaves`.
      structure: the rest of it, a `jax.tree.structure`.
    """

    def __init__(self, spec: Any) -> None:
        """Raises ConformanceError for a nest without specs, or with something else."""
        self.spec = spec
        self.leaves = [leaf for _, leaf in spec_leaves(spec)]
        self.structure: Any = jax.tree.structure(spec)
        self._is_bare = isinstance(spec, specs.Array)

    def flatten(self, what: str, value: Any) -> list[Any]:
        """The leaves; raises ConformanceError where `value`, called `what`, has others."""
        if self._is_bare:
            return [value]
        leaves, structure = jax.tree.flatten(value)
        if structure != self.structure:
            check_structure(what, self.spec, value)
        return leaves

    def unflatten(self, leaves: Sequence[Any]) -> Any:
        """What has these leaves."""
        return leaves[0] if self._is_bare else self.structure.unflatten(leaves)


class Contract:
    """What the time steps of an environment have to be, by its own specs.

    Attributes:
      observation: the specs of one.
      action: the specs of one.
      delivered: the dtype in which each leaf of an observation leaves.
    """

    def __init__(self, environment: dm_env.Environment) -> None:
        """Reads the specs.

        Raises:
          ConformanceError: if they are no specs.
        """
        self.observation = Nest(environment.observation_spec())
        self.action = Nest(environment.action_spec())
        self._legal = Legal(self.observation.spec, self.action.spec)
        self.delivered = [single_precision(leaf.dtype) for leaf in self.observation.leaves]
        self._checks = [  # A spec computes its shape and dtype on every access.
            (tuple(leaf.shape), leaf.dtype, dtype if dtype != leaf.dtype else None)
            for leaf, dtype in zip(self.observation.leaves, self.delivered, strict=True)
        ]
        self._zeros = [
            np.zeros(math.prod(leaf.shape), dtype) if dtype.kind == "f" else None
            for leaf, dtype in zip(self.observation.leaves, self.delivered, strict=True)
        ]

    def check_specs(self, environment: dm_env.Environment) -> None:
        """Raises ConformanceError unless the environment still says what it said."""
        for what, wanted, got in (
            ("observation_spec()", self.observation.spec, environment.observation_spec()),
            ("action_spec()", self.action.spec, environment.action_spec()),
        ):
            if wanted is not got and wanted != got:
                fail(what, got, f"{wanted} as at the start", "Let it never change.")

    def checked(self, observation: Any, is_last: bool = False) -> list[np.ndarray]:
        """The leaves of an observation.

        Args:
          observation: of one row.
          is_last: it closes an episode, so that no action needs to be legal.

        Raises:
          ConformanceError: for another structure, shape or dtype, what is not finite, or
            where nothing can be done.
        """
        leaves = self.observation.flatten("observation", observation)
        for index, (shape, dtype, shorter) in enumerate(self._checks):
            leaf = leaves[index]
            if not isinstance(leaf, np.ndarray):
                leaf = np.asarray(leaf)
            if leaf.shape != shape or leaf.dtype != dtype:
                check_structure("observation", self.observation.spec, observation)
            if shorter is not None:
                with np.errstate(over="ignore"):
                    leaf = leaf.astype(shorter)
            # 0 times what is not finite is NaN, which is true: faster than isfinite.
            zeros = self._zeros[index]
            if zeros is not None and leaf.ravel().dot(zeros):
                check_values("observation", self.observation.spec, observation)
                fail("observation", "a number above 3e38", "a float32", "Scale it.")
            leaves[index] = leaf
        if not is_last:
            self._legal.check(leaves)
        return leaves


class GuardedEnvironment:
    """One copy: builds its environment, plays it, and fails where a row is not right."""

    def __init__(
        self, factory: Factory, seed: int, contract: Contract | None = None
    ) -> None:
        """Builds nothing yet.

        Args:
          factory: makes the environment.
          seed: what the factory gets.
          contract: which the environment has to keep; None for what its specs say.
        """
        self._factory, self._seed = factory, seed
        self._contract: Any = contract
        self._environment: Any = None

    def build(self) -> Contract:
        """Builds the environment; returns the contract that it has to keep.

        Raises:
          ConformanceError: if its specs are no specs, or others than the contract's.
          Exception: any that the factory raises.
        """
        self._environment = self._factory(self._seed)
        if self._contract is None:
            self._contract = Contract(self._environment)
        self._contract.check_specs(self._environment)
        return self._contract

    def start(self) -> Row:
        """Starts an episode, and builds the environment first if need be.

        Raises:
          ConformanceError: for a row that breaks the contract.
          Exception: any that the environment raises.
        """
        if self._environment is None:
            self.build()
        timestep = self._environment.reset()
        if not isinstance(timestep, dm_env.TimeStep) or timestep.step_type != FIRST:
            fail("reset", repr(timestep)[:80], "a FIRST time step", "Use dm_env.restart.")
        self._contract.check_specs(self._environment)
        leaves = self._contract.checked(timestep.observation)
        new_task = bool(getattr(self._environment, "new_task", True))
        return Row(FIRST, 0.0, 1.0, leaves, new_task)

    def advance(self, action: Any) -> Row:
        """Takes one step; raises as `start` does."""
        timestep = self._environment.step(action)
        if not isinstance(timestep, dm_env.TimeStep):
            got = type(timestep).__name__
            fail("step", got, "a dm_env.TimeStep", "Use dm_env.transition and so on.")
        step_type, reward, discount, observation = timestep
        if step_type != MID and step_type != LAST:
            fail("step_type", step_type, "MID or LAST", "Return LAST before a new episode.")
        reward, discount = _number("reward", reward), _number("discount", discount)
        if not 0.0 <= discount <= 1.0:
            fail("discount", discount, "in [0, 1]", "Use dm_env.termination and so on.")
        leaves = self._contract.checked(observation, step_type == LAST)
        if step_type == MID:
            return Row(MID, reward, discount, leaves, False)
        info = getattr(self._environment, "episode_info", {})
        return Row(LAST, reward, discount, leaves, False, dict(info))

    def close(self) -> None:
        """Closes the environment, if there is one."""
        if self._environment is not None:
            self._environment.close()


def _number(what: str, value: Any) -> float:
    if isinstance(value, np.floating):
        value = float(value)
    elif type(value) is not float:
        array = np.asarray(value)
        if array.shape != () or not np.issubdtype(array.dtype, np.number):
            fail(what, repr(value)[:80], "one number", "Return a float.")
        value = float(array)
    if not -LARGEST <= value <= LARGEST:
        fail(what, value, "a finite float32", "Look for a division by 0.")
    return value
