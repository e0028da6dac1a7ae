"""Engines of ViZDoom side by side, each in a thread; a fault in one is named or mended.

Shapes: E copies.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from tolman.envs.doom.engine import Engine
from tolman.envs.host import EnvironmentFault
from tolman.envs.places import summary
from tolman.envs.serial_vector import MAX_RESTARTS

logger = logging.getLogger(__name__)


class Engines:
    """E engines in mazes.

    Attributes:
      num_restarts: that were replaced after a fault, so far.
    """

    def __init__(
        self, start: Callable[[], Engine], number: int, name: str, on_error: str
    ) -> None:
        """Starts them.

        Args:
          start: starts one.
          number: E.
          name: of the environment, in errors.
          on_error: "fail" or "restart"; see `DoomVector`.

        Raises:
          EnvironmentFault: if one does not start.
        """
        self._start_one, self._name, self._on_error = start, name, on_error
        self._pool = ThreadPoolExecutor(number, "doom")
        self._failures = [0] * number  # Of each since it last completed an episode.
        self.num_restarts = 0
        self._all: list[Engine] = []
        try:
            for copy in range(number):
                self._all.append(self._start(copy, 0))
        except BaseException:
            with contextlib.suppress(Exception):  # What did not start is told.
                self.close()
            raise

    def __getitem__(self, copy: int) -> Engine:
        return self._all[copy]

    def each(
        self, chosen: np.ndarray, turn: Callable[[Engine, int], None], step: int
    ) -> np.ndarray:
        """Takes the turns of the chosen copies, `[E]` bool, side by side.

        Args:
          chosen: `[E]` bool.
          turn: takes an engine and its number.
          step: of the vector, in errors.

        Returns:
          `[E]` bool, whose engine failed, and is a fresh one now.

        Raises:
          EnvironmentFault: where faults are not mended, or not any more.
        """
        copies = np.flatnonzero(chosen).tolist()
        if len(copies) == 1:
            errors = [_error(turn, self._all[copies[0]], copies[0])]
        else:
            turns = [
                self._pool.submit(_error, turn, self._all[copy], copy) for copy in copies
            ]
            errors = [one.result() for one in turns]
        failed = np.zeros(len(self._all), bool)
        for copy, error in zip(copies, errors, strict=True):
            if error is not None:
                self._replace(copy, step, error)
                failed[copy] = True
        return failed

    def note_episodes(self, is_over: np.ndarray) -> None:
        """Notes who completed an episode, `[E]` bool."""
        for copy in np.flatnonzero(is_over):
            self._failures[copy] = 0

    def close(self) -> None:
        """Ends them, and the threads; each of them, also where one does not end."""
        self._pool.shutdown()
        with contextlib.ExitStack() as stack:
            for engine in self._all:
                stack.callback(engine.close)

    def _start(self, copy: int, step: int) -> Engine:
        try:
            return self._start_one()
        except Exception as error:
            raise self._fault(copy, step, error) from error

    def _replace(self, copy: int, step: int, error: Exception) -> None:
        fault = self._fault(copy, step, error)
        if self._on_error == "fail":
            raise fault from error
        if self._failures[copy] == MAX_RESTARTS:
            raise EnvironmentFault(
                f"{fault} It was restarted {MAX_RESTARTS} times and completed no episode."
            ) from error
        self._failures[copy] += 1
        self.num_restarts += 1
        logger.warning("%s Restart %d.", fault, self.num_restarts)
        with contextlib.suppress(Exception):  # It has failed already.
            self._all[copy].close()
        self._all[copy] = self._start(copy, step)

    def _fault(self, copy: int, step: int, error: Exception) -> EnvironmentFault:
        return EnvironmentFault(
            f"env {self._name!r}, copy {copy}, step {step}: ViZDoom raised "
            f"{summary(error)}; must be free of errors."
        )


def _error(
    turn: Callable[[Engine, int], None], engine: Engine, copy: int
) -> Exception | None:
    """Takes a turn; what was raised, None for nothing."""
    try:
        turn(engine, copy)
    except Exception as error:
        return error
    return None
