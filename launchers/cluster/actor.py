"""The process of one actor."""

from __future__ import annotations

import threading
from typing import Any, NamedTuple

from tolman.launchers.cluster.parameters import ParameterClient
from tolman.launchers.cluster.work import (
    ActingLoop,
    ActorIdentity,
    LogBuffer,
    Work,
    portable,
)
from tolman.launchers.host.episodes import Episode
from tolman.launchers.host.parameters import Closed

SECONDS_TO_CLOSE = 2.0


class ActorReport(NamedTuple):
    """What an actor did, in this incarnation.

    Attributes:
      num_steps: environment steps.
      seconds: spent in them.
      version: of its parameters.
      episodes: that ended since the report before.
      log: records since then, level and text.
      failure: what ended it; None while it acts.
    """

    num_steps: int
    seconds: float
    version: int
    episodes: list[Episode]
    log: list[tuple[int, str]]
    failure: Exception | None


class ActorRole:
    """Acts in a thread and writes to its replay's server; run as a Ray actor."""

    def __init__(self, work: Work, identity: ActorIdentity, server: Any) -> None:
        """Starts to act, as soon as there are parameters and the address of a replay.

        Args:
          work: the run's.
          identity: which actor this is.
          server: handle of the `ParameterServer`.
        """
        self._work, self._identity = work, identity
        self._log = LogBuffer()
        self._parameters = ParameterClient(server)
        self._loop: ActingLoop | None = None
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._act, name="actor", daemon=True)
        self._thread.start()

    def report(self) -> ActorReport:
        """What happened so far."""
        loop = self._loop
        return ActorReport(
            loop.num_steps if loop else 0,
            loop.seconds if loop else 0.0,
            loop.version if loop else -1,
            loop.take_episodes() if loop else [],
            self._log.take(),
            self._failure,
        )

    def close(self) -> None:
        """Ends acting, and closes the environments."""
        self._parameters.close()
        self._thread.join(SECONDS_TO_CLOSE)

    def _act(self) -> None:
        try:
            self._loop = self._work.acting_loop(self._identity, self._parameters)
            while not self._parameters.is_closed.is_set():
                self._loop.unroll()
        except Closed:
            pass
        except Exception as error:
            if not self._parameters.is_closed.is_set():
                self._failure = portable(error)
        finally:
            if self._loop is not None:
                self._loop.close()
