"""Environments of the host kind, stepped in turn; a fault in one is named or mended.

Shapes: E copies. Every leaf of a time step here is a NumPy array `[E, ...]`.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from tolman.envs.actions import within_bounds
from tolman.envs.adapters import single_precision_spec
from tolman.envs.checks import ConformanceError, raised
from tolman.envs.environment import LAST, TimeStep
from tolman.envs.guarded import Contract, Factory, GuardedEnvironment, Row
from tolman.envs.host import EnvironmentFault
from tolman.envs.turns import OverdueError, TurnThread, WatchedTurns

ERROR_POLICIES = ("fail", "restart")
MAX_RESTARTS = 10  # Of one copy without an episode that it completed in between.
CLOSE_SECONDS = 5.0

logger = logging.getLogger(__name__)


class SerialVector:
    """E copies of a `dm_env.Environment`, stepped in turn.

    See `HostVector` for the rows. Numbers of 64 bits leave as 32, as in JAX. The
    attribute `new_task` of an environment, where it has one, says which FIRST rows open a
    new task; otherwise all do.

    Attributes:
      num_envs: E.
      num_restarts: copies that were replaced after a fault, so far.
      episode_info: see `HostVector`; the attribute of that name of the environments.
    """

    def __init__(
        self,
        factory: Factory,
        num_envs: int,
        seed: int = 0,
        name: str = "environment",
        on_error: str = "fail",
        timeout_seconds: float = 60.0,
        first_copy: int = 0,
        restarts: int = 0,
        on_overdue: Callable[[EnvironmentFault], None] | None = None,
    ) -> None:
        """Builds every copy, in the thread that will step it.

        Args:
          factory: makes one environment from a seed below 2**31.
          num_envs: E, at least 1.
          seed: all seeds of the copies, and of those that replace them, come from it.
          name: of the environment, in errors.
          on_error: "fail" raises the fault. "restart" replaces the faulty copy: the
            episode that it interrupts ends by truncation, with its last observation
            again and a reward of 0, and a fresh copy starts the next one. The faulty
            copy is closed with the vector, as closing it may close what the others share.
          timeout_seconds: that one `reset` or `step` of one copy may take.
          first_copy: the number of the first copy, where others step those before it.
          restarts: of each copy, ever, before this vector.
          on_overdue: takes the fault of a copy that hangs, and ends the process; copies
            are then stepped in the caller's thread. None leaves a thread that hangs
            behind.

        Raises:
          ValueError: for a setting outside its range, or any that `factory` raises.
          EnvironmentFault: if a copy cannot be built.
        """
        check_vector_settings(num_envs, on_error, timeout_seconds)
        self.num_envs, self.num_restarts = 1, 0
        self._factory, self._seed, self._name = factory, seed, name
        self._on_error, self._timeout_seconds = on_error, timeout_seconds
        self._turns: TurnThread | WatchedTurns = TurnThread()
        if on_overdue is not None:
            tell = on_overdue
            self._turns = WatchedTurns(
                lambda index: tell(self._fault(index, OverdueError()))
            )
        self._step_number = 0
        self._first_copy, self._restarts_before = first_copy, restarts
        self._restarts = [restarts]  # Of each copy, ever.
        self._failures = [0]  # Of each since it last completed an episode.
        self._leaves: list[np.ndarray] = []  # The latest observations, [E, ...] each.
        self._is_over = [True]  # The latest row of a copy was LAST, or none.
        self.episode_info: Sequence[Mapping[str, float]] = [{}] * num_envs
        self._replaced: list[GuardedEnvironment] = []
        self._copies = [GuardedEnvironment(factory, self._seed_of(0))]
        self._contract = self._build(0)
        self.extend(num_envs)

    def extend(self, num_envs: int) -> None:
        """Builds further copies, up to E; only before the first `reset`.

        Raises:
          ValueError: as the constructor does.
          EnvironmentFault: if a copy cannot be built.
        """
        for index in range(self.num_envs, num_envs):
            self.num_envs += 1
            self._restarts.append(self._restarts_before)
            self._failures.append(0)
            self._is_over.append(True)
            self._copies.append(self._fresh_copy(index))
            self._build(index)

    def observation_spec(self) -> Any:
        return single_precision_spec(self._contract.observation.spec)

    def action_spec(self) -> Any:
        return single_precision_spec(self._contract.action.spec)

    def reset(self) -> TimeStep:
        self._is_over = [True] * self.num_envs
        return self._play(lambda index: self._copies[index].start())

    def step(self, action: Any) -> TimeStep:
        self._step_number += 1
        actions = self._split(action)

        def turn(index: int) -> Row:
            copy = self._copies[index]
            return copy.start() if self._is_over[index] else copy.advance(actions[index])

        return self._play(turn)

    def take_over(self, row: TimeStep, step_number: int) -> TimeStep:
        """Goes on for copies that are gone: those in an episode end it by truncation.

        Args:
          row: the latest of theirs.
          step_number: of the row that is to follow.
        """
        self._step_number = step_number
        leaves = self._contract.observation.flatten("observation", row.observation)
        self._leaves = [np.array(leaf) for leaf in leaves]
        self._is_over = np.equal(row.step_type, LAST).tolist()

        def turn(index: int) -> Row:
            return self._copies[index].start() if self._is_over[index] else self._cut(index)

        return self._play(turn)

    def close(self) -> None:
        """Closes every copy, as far as none of them hangs, and ends their thread."""
        copies = [*self._copies, *self._replaced]
        first = 0
        while first < len(copies):  # One that hangs is passed over.
            indices = range(first, len(copies))
            closed, _ = self._turns.play(
                lambda index: _close(copies[index]), indices, CLOSE_SECONDS
            )
            first += len(closed) + 1
        self._turns.close()

    def _build(self, index: int) -> Contract:
        copy = self._copies[index]
        built, error = self._turns.play(
            lambda _: copy.build(), [index], self._timeout_seconds
        )
        if error is None:
            return built[0]
        self.close()
        if isinstance(error, ValueError) and not isinstance(error, ConformanceError):
            raise error  # A mistake in the settings, which the factory has explained.
        raise self._fault(index, error) from error

    def _fresh_copy(self, index: int) -> GuardedEnvironment:
        return GuardedEnvironment(self._factory, self._seed_of(index), self._contract)

    def _seed_of(self, index: int) -> int:
        """Of a copy that was replaced as often as this one was."""
        words = [self._seed, self._first_copy + index, self._restarts[index]]
        return int(np.random.SeedSequence(words).generate_state(1)[0]) >> 1

    def _split(self, action: Any) -> Sequence[Any]:
        """One action a copy, in the dtypes and the bounds of the action spec."""
        leaves = []
        nest = self._contract.action
        for part, spec in zip(nest.flatten("action", action), nest.leaves, strict=True):
            leaf, wanted = np.asarray(part, spec.dtype), (self.num_envs, *spec.shape)
            if leaf.shape != wanted:
                raise ValueError(f"action of shape {leaf.shape}: must be {wanted}.")
            leaves.append(within_bounds(spec, leaf) if leaf.dtype.kind == "f" else leaf)
        return [nest.unflatten(parts) for parts in zip(*leaves, strict=True)]

    def _play(self, turn: Callable[[int], Row]) -> TimeStep:
        """One row of every copy."""
        rows: list[Row] = []
        while len(rows) < self.num_envs:
            indices = range(len(rows), self.num_envs)
            done, error = self._turns.play(turn, indices, self._timeout_seconds)
            for index, row in enumerate(done, start=len(rows)):
                if row.step_type == LAST:
                    self._failures[index] = 0
            rows += done
            if error is not None:
                rows += self._mend(len(rows), error)
        self._is_over = [row.step_type == LAST for row in rows]
        return self._stack(rows)

    def _mend(self, index: int, error: BaseException) -> list[Row]:
        """Replaces a faulty copy.

        Returns:
          The row that ends its episode; none if it was starting one, so that the fresh copy
          tries again.

        Raises:
          EnvironmentFault: where faults are not mended, or not any more.
        """
        fault = self._fault(index, error)
        if self._on_error == "fail":
            raise fault from error
        if self._failures[index] == MAX_RESTARTS:
            raise EnvironmentFault(
                f"{fault} It was restarted {MAX_RESTARTS} times and completed no episode."
            ) from error
        self._failures[index] += 1
        self._restarts[index] += 1
        self.num_restarts += 1
        logger.warning("%s Restart %d.", fault, self.num_restarts)

        self._replaced.append(self._copies[index])
        self._copies[index] = self._fresh_copy(index)
        if self._is_over[index]:
            return []
        return [self._cut(index)]

    def _cut(self, index: int) -> Row:
        """The row that truncates a copy's episode: its latest observation again."""
        return Row(LAST, 0.0, 1.0, [leaf[index] for leaf in self._leaves], False)

    def _fault(self, index: int, error: BaseException) -> EnvironmentFault:
        if isinstance(error, OverdueError):
            limit = f"{self._timeout_seconds:g} s (timeout_seconds)"
            what = f"got no answer; must come within {limit}."
        elif isinstance(error, ConformanceError):
            what = str(error)
        else:
            what = raised(error)
        copy = self._first_copy + index
        where = f"env {self._name!r}, copy {copy}, step {self._step_number}"
        return EnvironmentFault(f"{where}: {what}")

    def _stack(self, rows: list[Row]) -> TimeStep:
        step_type, reward, discount, observations, new_task, self.episode_info = zip(
            *rows, strict=True
        )
        self._leaves = []
        for parts, dtype in zip(
            zip(*observations, strict=True), self._contract.delivered, strict=True
        ):
            stacked = np.empty((self.num_envs, *parts[0].shape), dtype)
            for index, part in enumerate(parts):
                stacked[index] = part
            self._leaves.append(stacked)
        arrays: Any = (
            np.array(step_type, np.int32),
            np.array(reward, np.float32),
            np.array(discount, np.float32),
            self._contract.observation.unflatten(self._leaves),
            np.array(new_task, bool),
        )
        return TimeStep(*arrays)


def check_vector_settings(num_envs: int, on_error: str, timeout_seconds: float) -> None:
    """Raises ValueError for what no vector takes."""
    if on_error not in ERROR_POLICIES:
        raise ValueError(
            f"on_error={on_error!r}: must be one of {', '.join(ERROR_POLICIES)}."
        )
    if num_envs < 1:
        raise ValueError(f"num_envs={num_envs}: must be at least 1.")
    if not timeout_seconds > 0.0:
        raise ValueError(f"timeout_seconds={timeout_seconds}: must be above 0.")


def _close(copy: GuardedEnvironment) -> None:
    """Closes a copy that has failed already; that it fails again says nothing new."""
    with contextlib.suppress(Exception):
        copy.close()
