"""Keeps the processes of a run alive: polls their reports, and restarts those that died.

The driver calls it while it waits for the learner. The driver owns every process, so where
it dies Ray ends them all: `tolman resume` continues from the last checkpoint.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

import ray
from ray.exceptions import ActorUnavailableError, RayActorError

from tolman.launchers.runs.failures import ProcessFailure
from tolman.launchers.runs.protocol import RoleRow

SECONDS_BETWEEN_REPORTS = 0.5  # Of a process, at least, and
MAX_REPORTS_PER_SECOND = 500.0  # of all of them together at most.
MAX_DEATHS_IN_A_ROW = 5  # Without a report of work in between.
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0  # Seconds from a death to the restart.
SECONDS_TO_CLOSE = 5.0

logger = logging.getLogger(__name__)


class Process:
    """One process of a run: running, starting, or waiting for its restart.

    Attributes:
      kind: its role, "actor" and so on.
      index: which of its kind.
      incarnation: 0, and one more at each restart.
      handle: of the Ray actor; None while there is none.
      report: the last one of this incarnation; None before the first.
    """

    def __init__(self, kind: str, index: int, launch: Callable[[int], Any]) -> None:
        """Starts it.

        Args:
          kind: its role.
          index: which of its kind.
          launch: starts an incarnation by its number; returns the handle.
        """
        self.kind, self.index = kind, index
        self._launch = launch
        self.incarnation = 0
        self.report: Any = None
        self.handle: Any = launch(0)
        self._request: Any = None
        self._asked_at = 0.0
        self._deaths_in_a_row = 0
        self._restart_at = 0.0

    @property
    def name(self) -> str:
        """In words."""
        return f"{self.kind} {self.index}"

    @property
    def is_at_work(self) -> bool:
        """It answers, and if it is an actor it has taken a step."""
        return self.report is not None and getattr(self.report, "num_steps", 1) > 0

    def ask(self, now: float, interval: float) -> Any:
        """Requests a report when it is due; returns the open request, or None.

        Args:
          now: seconds.
          interval: seconds from one request to the next.
        """
        if self.handle is None:
            if now < self._restart_at:
                return None
            self.incarnation += 1
            logger.warning("%s: restart %d.", self.name, self.incarnation)
            self.handle = self._launch(self.incarnation)
        if self._request is None and now - self._asked_at >= interval:
            self._request, self._asked_at = self.handle.report.remote(), now
        return self._request

    def take(self) -> Any:
        """Takes the report that has arrived; None if the process died.

        Raises:
          ProcessFailure: where the process dies again and again.
          Exception: whatever `report` itself raised.
        """
        request, self._request = self._request, None
        try:
            self.report = ray.get(request)
        except ActorUnavailableError:
            return None  # Perhaps the network only: the next request shows it.
        except RayActorError as error:
            self.die(error)
            return None
        except ray.exceptions.RayTaskError as error:
            raise error.cause from None
        if self.is_at_work:
            self._deaths_in_a_row = 0
        for level, text in getattr(self.report, "log", ()):
            logger.log(level, "%s: %s", self.name, text)
        return self.report

    def die(self, error: Exception) -> None:
        """Handles a death; the first `ask` after a pause restarts the process.

        Raises:
          ProcessFailure: where it dies again and again.
        """
        self.end()
        self._deaths_in_a_row += 1
        reason = _reason(error)
        logger.warning("%s died: %s", self.name, reason)
        if self._deaths_in_a_row >= MAX_DEATHS_IN_A_ROW:
            raise ProcessFailure(
                f"{self.name} died {self._deaths_in_a_row} times in a row: {reason}"
            ) from error
        pause = min(FIRST_PAUSE * 2 ** (self._deaths_in_a_row - 1), LONGEST_PAUSE)
        self._restart_at = time.monotonic() + pause

    def restart(self) -> None:
        """Ends this incarnation; the next `ask` starts the next one."""
        self.end()
        self._restart_at = 0.0

    def end(self) -> None:
        """Ends this incarnation at once."""
        handle, self.handle, self.report, self._request = self.handle, None, None, None
        if handle is not None:
            ray.kill(handle)


class Supervisor:
    """All processes of a run.

    Attributes:
      processes: each of them.
    """

    def __init__(self, processes: Sequence[Process]) -> None:
        """Supervises processes that were started."""
        self.processes = list(processes)

    def poll(self, seconds: float = 0.0) -> list[tuple[Process, Any]]:
        """Takes the reports that have arrived, and restarts what has died.

        Args:
          seconds: to wait for a report, at most.

        Returns:
          The processes and their reports.

        Raises:
          ProcessFailure: where a process dies again and again.
        """
        now = time.monotonic()
        interval = max(
            SECONDS_BETWEEN_REPORTS, len(self.processes) / MAX_REPORTS_PER_SECOND
        )
        waiting = {}
        for process in self.processes:
            request = process.ask(now, interval)
            if request is not None:
                waiting[request] = process
        if not waiting:
            time.sleep(seconds)
            return []
        ready, _ = ray.wait(list(waiting), num_returns=len(waiting), timeout=seconds)
        reports = []
        for request in ready:
            process = waiting[request]
            report = process.take()
            if report is not None:
                reports.append((process, report))
        return reports

    def of(self, kind: str) -> list[Process]:
        """The processes of one kind."""
        return [process for process in self.processes if process.kind == kind]

    def rows(self) -> list[RoleRow]:
        """How many of each kind are at work, and how often they were restarted."""
        kinds = list(dict.fromkeys(process.kind for process in self.processes))
        return [
            RoleRow(
                kind,
                sum(process.is_at_work for process in self.of(kind)),
                len(self.of(kind)),
                sum(process.incarnation for process in self.of(kind)),
            )
            for kind in kinds
        ]

    def close(self) -> None:
        """Ends all of them."""
        running = [each for each in self.processes if each.handle is not None]
        requests = [
            process.handle.close.remote()
            for process in running
            if process.report is not None
        ]
        if requests:
            ray.wait(requests, num_returns=len(requests), timeout=SECONDS_TO_CLOSE)
        for process in running:
            ray.kill(process.handle)


def _reason(error: Exception) -> str:
    """The line of Ray's message that names the cause."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if not lines:
        return type(error).__name__
    for line in reversed(lines):
        if line.startswith(("ModuleNotFoundError", "ImportError", "ValueError")):
            return line
    if "creation task" in lines[0]:
        return lines[-1]
    return next((line for line in lines if "died" in line.lower()), lines[0])
