"""The process of one actor."""

from __future__ import annotations

import threading
from typing import Any, NamedTuple

from tolman.launchers.catalog.environments import Specs
from tolman.launchers.cluster.parameter_server import ONLY_TURN, Turn
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
from tolman.launchers.host.recognition import Recognised
from tolman.launchers.runs.job import Job, resolve
from tolman.launchers.runs.turns import check_tasks
from tolman.launchers.settings.config import TrainConfig

SECONDS_TO_CLOSE = 2.0


class ActorReport(NamedTuple):
    """What an actor did, in this incarnation.

    Attributes:
      num_steps: environment steps.
      seconds: spent in them.
      version: of its parameters.
      turn: that it acts in.
      label: of the task that it recognises; None where it watches nothing.
      episodes: that ended since the report before, of that turn.
      log: records since then, level and text.
      failure: what ended it; None while it acts.
    """

    num_steps: int
    seconds: float
    version: int
    turn: Turn
    label: int | None
    episodes: list[Episode]
    log: list[tuple[int, str]]
    failure: Exception | None


class ActorRole:
    """Acts in a thread and writes to its replay's server; run as a Ray actor."""

    def __init__(self) -> None:
        """Does nothing before `start`."""
        self._log = LogBuffer()
        self._job: Job | None = None
        self._parameters: ParameterClient | None = None
        self._thread: threading.Thread | None = None
        self._loop: ActingLoop | None = None
        self._failure: Exception | None = None

    def specs(self, config: TrainConfig, env_seed: int) -> Specs:
        """The specs of the environment, of which it builds the first copy if it must.

        Of tasks in turn it looks at them all, and whether one agent can learn them.

        Args:
          config: resolved.
          env_seed: of the environments that `start` is to make; they include that copy.
        """
        job = self._job = resolve(config, env_seed)
        try:
            specs = job.source.specs()
            if job.tasks:
                check_tasks(job.make_agent(specs), job.tasks)
            return specs
        except Exception as error:
            raise portable(error) from None

    def start(
        self,
        work: Work,
        identity: ActorIdentity,
        server: Any,
        recognised: Recognised | None = None,
    ) -> None:
        """Starts to act, as soon as there are parameters and the address of a replay.

        Args:
          work: the run's.
          identity: which actor this is.
          server: handle of the `ParameterServer`.
          recognised: of the tasks so far, by the actor that watches its screens; None for
            the others.
        """
        self._parameters = ParameterClient(server)
        self._thread = threading.Thread(
            target=self._act,
            args=(work, identity, self._parameters, recognised),
            name="actor",
            daemon=True,
        )
        self._thread.start()

    def report(self) -> ActorReport:
        """What happened so far."""
        loop = self._loop
        watch = loop.watch if loop else None
        return ActorReport(
            loop.num_steps if loop else 0,
            loop.seconds if loop else 0.0,
            loop.version if loop else -1,
            loop.turn if loop else ONLY_TURN,  # Read first: episodes may be the next's.
            watch.label if watch else None,
            loop.take_episodes() if loop else [],
            self._log.take(),
            self._failure,
        )

    def recognised(self) -> Recognised | None:
        """What it has recognised so far; None where it does not watch, or not yet."""
        watch = self._loop.watch if self._loop else None
        return watch.recognised if watch else None

    def close(self) -> None:
        """Ends acting, and closes the environments."""
        if self._thread is not None and self._parameters is not None:
            self._parameters.close()
            self._thread.join(SECONDS_TO_CLOSE)
        elif self._job is not None:
            self._job.close()
        self._log.close()

    def _act(
        self,
        work: Work,
        identity: ActorIdentity,
        parameters: ParameterClient,
        recognised: Recognised | None,
    ) -> None:
        try:
            self._loop = work.acting_loop(identity, parameters, self._job, recognised)
            while not parameters.is_closed.is_set():
                self._loop.unroll()
        except Closed:
            pass
        except Exception as error:
            if not parameters.is_closed.is_set():
                self._failure = portable(error)
        finally:
            if self._loop is not None:
                self._loop.close()
