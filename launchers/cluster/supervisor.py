"""Keeps the processes of a run alive: asks them how they are, and starts them again.

It lives in the driver, between two looks at whether the learner has finished a row. The
driver owns every process, so where it dies Ray ends them all, and nothing is left over:
`tolman resume` goes on from the last checkpoint.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

import ray
from ray.exceptions import ActorUnavailableError, RayActorError

from tolman.launchers.runs.protocol import ProcessFailure, RoleRow

SECONDS_BETWEEN_REPORTS = 0.5  # Of a process, at least, and
MAX_REPORTS_PER_SECOND = 500.0  # of all of them together at most.
MAX_DEATHS_IN_A_ROW = 5  # Without a sign of work in between.
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0  # Seconds from a death to the next life.
SECONDS_TO_CLOSE = 5.0

logger = logging.getLogger(__name__)


class Member:
    """One process: alive, starting, or waiting for its next life.

    Attributes:
      kind: what it is, "actor" and so on.
      index: which of its kind.
      life: 0, and one more at each restart.
      handle: of the Ray actor; None while there is none.
      report: the last one of this life; None before the first.
    """

    def __init__(self, kind: str, index: int, launch: Callable[[int], Any]) -> None:
        """Starts its first life.

        Args:
          kind: what it is.
          index: which of its kind.
          launch: starts a life by its number; returns the handle.
        """
        self.kind, self.index = kind, index
        self._launch = launch
        self.life = 0
        self.report: Any = None
        self.handle: Any = launch(0)
        self._request: Any = None
        self._asked_at = 0.0
        self._deaths_in_a_row = 0
        self._next_life_at = 0.0

    @property
    def name(self) -> str:
        """In words."""
        return f"{self.kind} {self.index}"

    @property
    def is_at_work(self) -> bool:
        """It answers, and if it is an actor it has taken a step."""
        return self.report is not None and getattr(self.report, "num_steps", 1) > 0

    def ask(self, now: float, interval: float) -> Any:
        """Asks for a report where it is time to; the request that waits, or None.

        Args:
          now: seconds.
          interval: seconds from one request to the next.
        """
        if self.handle is None:
            if now < self._next_life_at:
                return None
            self.life += 1
            logger.warning("%s: restart %d.", self.name, self.life)
            self.handle = self._launch(self.life)
        if self._request is None and now - self._asked_at >= interval:
            self._request, self._asked_at = self.handle.report.remote(), now
        return self._request

    def take(self) -> Any:
        """Takes the report that was asked for and has come; None if it is a death.

        Raises:
          ProcessFailure: where the process dies again and again.
          Exception: whatever `report` itself raised.
        """
        request, self._request = self._request, None
        try:
            self.report = ray.get(request)
        except ActorUnavailableError:
            return None  # Perhaps the network only: the next request tells.
        except RayActorError as error:
            self.die(error)
            return None
        except ray.exceptions.RayTaskError as error:
            raise error.cause from None
        if self.is_at_work:
            self._deaths_in_a_row = 0
        for level, text in getattr(self.report, "lines", ()):
            logger.log(level, "%s: %s", self.name, text)
        return self.report

    def die(self, error: Exception) -> None:
        """Notes a death; the next `ask` after a pause starts the next life.

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
        self._next_life_at = time.monotonic() + pause

    def restart(self) -> None:
        """Ends this life; the next one starts at the next `ask`."""
        self.end()
        self._next_life_at = 0.0

    def end(self) -> None:
        """Ends this life at once; without a report there is none after it."""
        handle, self.handle, self.report, self._request = self.handle, None, None, None
        if handle is not None:
            ray.kill(handle)


class Supervisor:
    """All processes of a run.

    Attributes:
      members: each of them.
    """

    def __init__(self, members: Sequence[Member]) -> None:
        """Takes over what was started."""
        self.members = list(members)

    def look(self, seconds: float = 0.0) -> list[tuple[Member, Any]]:
        """Takes the reports that have come, and restarts what has died.

        Args:
          seconds: to wait for a report, at most.

        Returns:
          Each report with whose it is.

        Raises:
          ProcessFailure: where a process dies again and again.
        """
        now = time.monotonic()
        interval = max(SECONDS_BETWEEN_REPORTS, len(self.members) / MAX_REPORTS_PER_SECOND)
        waiting = {}
        for member in self.members:
            request = member.ask(now, interval)
            if request is not None:
                waiting[request] = member
        if not waiting:
            time.sleep(seconds)
            return []
        ready, _ = ray.wait(list(waiting), num_returns=len(waiting), timeout=seconds)
        reports = []
        for request in ready:
            member = waiting[request]
            report = member.take()
            if report is not None:
                reports.append((member, report))
        return reports

    def of(self, kind: str) -> list[Member]:
        """The members of one kind."""
        return [member for member in self.members if member.kind == kind]

    def rows(self) -> list[RoleRow]:
        """How many of each kind live, and how often they were restarted."""
        kinds = list(dict.fromkeys(member.kind for member in self.members))
        return [
            RoleRow(
                kind,
                sum(member.is_at_work for member in self.of(kind)),
                len(self.of(kind)),
                sum(member.life for member in self.of(kind)),
            )
            for kind in kinds
        ]

    def close(self) -> None:
        """Ends all of them, those that write before those that they write to."""
        handles = [m.handle for m in self.members if m.handle is not None]
        requests = [
            member.handle.close.remote()
            for member in self.members
            if member.handle is not None and member.report is not None
        ]
        if requests:
            ray.wait(requests, num_returns=len(requests), timeout=SECONDS_TO_CLOSE)
        for handle in handles:
            ray.kill(handle)


def _reason(error: Exception) -> str:
    """The line of Ray's long story that says what happened."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if not lines:
        return type(error).__name__
    for line in reversed(lines):
        if line.startswith(("ModuleNotFoundError", "ImportError", "ValueError")):
            return line
    if "creation task" in lines[0]:
        return lines[-1]
    return next((line for line in lines if "died" in line.lower()), lines[0])
