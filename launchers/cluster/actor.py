"""The process of one actor."""

from __future__ import annotations

import threading
from typing import Any, NamedTuple

import numpy as np

from tolman.launchers.cluster.parameters import BoardReader, Closed
from tolman.launchers.cluster.work import Acting, Birth, Lines, Work, portable

SECONDS_TO_CLOSE = 2.0


class ActorReport(NamedTuple):
    """What an actor did, in this life.

    Attributes:
      num_steps: environment steps.
      seconds: in which it took them.
      version: of its parameters.
      episodes: return and length of those that ended since the report before.
      lines: logged since then, level and text.
      failure: what ended it; None while it acts.
    """

    num_steps: int
    seconds: float
    version: int
    episodes: list[tuple[float, int]]
    lines: list[tuple[int, str]]
    failure: Exception | None


class ActorRole:
    """Acts in a thread and writes to its replay's server; run as a Ray actor."""

    def __init__(self, work: Work, birth: Birth, key: np.ndarray, board: Any) -> None:
        """Starts to act, as soon as the board has an address and parameters.

        Args:
          work: the run's.
          birth: whose life this is.
          key: `[2]`, of the run.
          board: handle of the `Board`.
        """
        self._work, self._birth, self._key = work, birth, key
        self._lines = Lines()
        self._reader = BoardReader(board)
        self._acting: Acting | None = None
        self._failure: Exception | None = None
        self._is_closed = threading.Event()
        self._thread = threading.Thread(target=self._act, name="actor", daemon=True)
        self._thread.start()

    def report(self) -> ActorReport:
        """What happened so far."""
        acting = self._acting
        return ActorReport(
            acting.num_steps if acting else 0,
            acting.seconds if acting else 0.0,
            acting.version if acting else -1,
            acting.take_episodes() if acting else [],
            self._lines.take(),
            self._failure,
        )

    def close(self) -> None:
        """Ends acting, and closes the environments."""
        self._is_closed.set()
        self._reader.close()
        self._thread.join(SECONDS_TO_CLOSE)

    def _act(self) -> None:
        try:
            self._acting = self._work.acting(
                self._birth, self._key, self._reader, self._is_closed
            )
            while not self._is_closed.is_set():
                self._acting.unroll()
        except Closed:
            pass
        except Exception as error:
            if not self._is_closed.is_set():
                self._failure = portable(error)
        finally:
            if self._acting is not None:
                self._acting.close()
