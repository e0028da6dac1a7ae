"""One copy of a user's environment, whose every row is checked before it is handed on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import dm_env
import jax
import numpy as np
from dm_env import specs

from tolman.envs.adapters import single_precision
from tolman.envs.conformance import check_structure, check_values, fail, spec_leaves
from tolman.envs.environment import FIRST, LAST, MID

Factory = Callable[[int], dm_env.Environment]  # Takes a seed.
LARGEST = float(np.finfo(np.float32).max)


class Row(NamedTuple):
    """One time step of one copy; `leaves` are the arrays of its observation."""

    step_type: int
    reward: float
    discount: float
    leaves: list[np.ndarray]
    new_task: bool


class Leaf(NamedTuple):
    """One array of an observation: its shape, the dtype it comes in and leaves in.

    `zeros` has the array's shape; None where nothing but finite numbers can occur.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    delivered: np.dtype
    zeros: np.ndarray | None


class Contract:
    """What the time steps of an environment have to be, by its own specs.

    Attributes:
      observation_spec: the environment's.
      action_spec: the environment's.
      leaves: of the observation, in the order of `jax.tree.leaves`.
    """

    def __init__(self, environment: dm_env.Environment) -> None:
        """Reads the specs.

        Raises:
          ConformanceError: for a nest without specs, or with something else in it.
        """
        self.observation_spec = environment.observation_spec()
        self.action_spec = environment.action_spec()
        spec_leaves(self.action_spec)
        self.leaves: list[Leaf] = []
        for _, spec in spec_leaves(self.observation_spec):
            delivered = single_precision(spec.dtype)
            is_float = np.issubdtype(delivered, np.floating)
            zeros = np.zeros(spec.shape, delivered) if is_float else None
            self.leaves.append(Leaf(tuple(spec.shape), spec.dtype, delivered, zeros))
        self._is_bare = isinstance(self.observation_spec, specs.Array)
        self._structure: Any = jax.tree.structure(self.observation_spec)

    def check_specs(self, environment: dm_env.Environment) -> None:
        """Raises ConformanceError unless the environment still says what it said."""
        for what in ("observation_spec", "action_spec"):
            wanted, got = getattr(self, what), getattr(environment, what)()
            if wanted is not got and wanted != got:
                fail(f"{what}()", got, f"{wanted} as at the start", "Let it never change.")

    def checked_leaves(self, observation: Any) -> list[np.ndarray]:
        """The arrays of an observation.

        Raises:
          ConformanceError: for another structure, shape or dtype, or what is not finite.
        """
        if self._is_bare:
            leaves = [observation]
        else:
            leaves, structure = jax.tree.flatten(observation)
            if structure != self._structure:
                check_structure("observation", self.observation_spec, observation)
        checked = []
        for leaf, (shape, dtype, delivered, zeros) in zip(leaves, self.leaves, strict=True):
            if not isinstance(leaf, np.ndarray):
                leaf = np.asarray(leaf)
            if leaf.shape != shape or leaf.dtype != dtype:
                check_structure("observation", self.observation_spec, observation)
            if dtype != delivered:
                with np.errstate(over="ignore"):
                    leaf = leaf.astype(delivered)
            # 0 times what is not finite is NaN, and so is the sum: half of isfinite's time.
            if zeros is not None and np.vdot(leaf, zeros) != 0.0:
                check_values("observation", self.observation_spec, observation)
                fail("observation", "a number above 3e38", "a float32", "Scale it.")
            checked.append(leaf)
        return checked


class GuardedEnvironment:
    """One copy: builds its environment, plays it, and fails where it breaks its contract.

    Attributes:
      is_over: no episode is under way; the next turn starts one.
    """

    def __init__(
        self, factory: Factory, seed: int, contract: Contract | None = None
    ) -> None:
        """Builds nothing yet.

        Args:
          factory: makes the environment.
          seed: what the factory gets.
          contract: which the environment has to keep; None for what its specs say.
        """
        self.is_over = True
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

    def turn(self, action: Any) -> Row:
        """Starts an episode where none is under way, steps the environment otherwise.

        Raises:
          ConformanceError: for a row that breaks the contract.
          Exception: any that the environment raises.
        """
        return self._start() if self.is_over else self._advance(action)

    def close(self) -> None:
        """Closes the environment, if there is one."""
        if self._environment is not None:
            self._environment.close()

    def _start(self) -> Row:
        if self._environment is None:
            self.build()
        timestep = self._environment.reset()
        if not isinstance(timestep, dm_env.TimeStep) or timestep.step_type != FIRST:
            fail("reset", repr(timestep)[:80], "a FIRST time step", "Use dm_env.restart.")
        self._contract.check_specs(self._environment)
        leaves = self._contract.checked_leaves(timestep.observation)
        self.is_over = False
        new_task = bool(getattr(self._environment, "new_task", True))
        return Row(FIRST, 0.0, 1.0, leaves, new_task)

    def _advance(self, action: Any) -> Row:
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
        leaves = self._contract.checked_leaves(observation)
        self.is_over = step_type == LAST
        return Row(LAST if self.is_over else MID, reward, discount, leaves, False)


def _number(what: str, value: Any) -> float:
    if type(value) is not float:
        array = np.asarray(value)
        if array.shape != () or not np.issubdtype(array.dtype, np.number):
            fail(what, repr(value)[:80], "one number", "Return a float.")
        value = float(array)
    if not -LARGEST <= value <= LARGEST:
        fail(what, value, "a finite float32", "Look for a division by 0.")
    return value
