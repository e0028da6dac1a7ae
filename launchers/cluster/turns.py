"""Acting over Ray where tasks come in turn: an actor is where the parameters say."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from tolman.launchers.cluster.parameter_server import Turn
from tolman.launchers.cluster.parameters import SECONDS_BETWEEN_REQUESTS, ParameterClient
from tolman.launchers.host.actor import EnvironmentLoop
from tolman.launchers.host.episodes import Episode
from tolman.launchers.host.recognition import Watch


class Over(NamedTuple):
    """An event for who writes to a turn's tables: nobody draws from them any more.

    Attributes:
      parameters: that tell.
      turn: whose tables they are.
    """

    parameters: ParameterClient
    turn: Turn

    def is_set(self) -> bool:
        """Whether the run is over, or is elsewhere."""
        return self.parameters.is_over(self.turn)


class TurnsLoop:
    """Acts in one task after another, each with environments of its own; see `ActingLoop`.

    A turn's environments are stepped with parameters that are for that turn only. With one
    task it is the loop of its environments. Where it recognises another label than that of
    the turn, it waits for parameters of another turn.

    Attributes:
      turn: that is acted in.
      watch: what recognises tasks by its screens; None where it is not to.
    """

    def __init__(
        self,
        make_loop: Callable[[Turn], EnvironmentLoop],
        parameters: ParameterClient,
        watch: Watch | None = None,
    ) -> None:
        """Waits for the first parameters, and opens the first episodes.

        Args:
          make_loop: makes the loop of a turn.
          parameters: of all turns.
          watch: that the loops show their rows to.
        """
        self.watch = watch
        self._make_loop, self._parameters = make_loop, parameters
        self._num_steps, self._seconds = 0, 0.0  # Of the turns before.
        parameters.get()
        self.turn = parameters.turn
        self._loop: EnvironmentLoop | None = make_loop(self.turn)

    @property
    def num_steps(self) -> int:
        loop = self._loop
        return self._num_steps + (loop.num_steps if loop is not None else 0)

    @property
    def seconds(self) -> float:
        loop = self._loop
        return self._seconds + (loop.seconds if loop is not None else 0.0)

    @property
    def version(self) -> int:
        loop = self._loop
        return loop.version if loop is not None else -1

    def unroll(self) -> None:
        while self._loop is None or self.turn != self._parameters.turn:
            self._begin()
        if self.watch is not None and self.watch.label != self.turn.label:
            self._parameters.is_closed.wait(SECONDS_BETWEEN_REQUESTS)
            self._parameters.get()
        else:
            self._loop.unroll()

    def take_episodes(self) -> list[Episode]:
        """Those of this turn that ended since the last call."""
        loop = self._loop
        return loop.take_episodes() if loop is not None else []

    def close(self) -> None:
        loop, self._loop = self._loop, None
        if loop is not None:
            self._num_steps += loop.num_steps
            self._seconds += loop.seconds
            loop.close()

    def _begin(self) -> None:
        """Leaves one turn for the one that the newest parameters are for."""
        self.close()
        self.turn = self._parameters.turn
        self._loop = self._make_loop(self.turn)
