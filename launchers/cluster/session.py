"""The processes of a run, from the first start to the last end, as the driver sees them."""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import ray
from ray.exceptions import GetTimeoutError, RayActorError, RayError, RayTaskError

from tolman.agents.agent import DataSpec
from tolman.launchers.cluster.connection import Roles
from tolman.launchers.cluster.launches import Launches
from tolman.launchers.cluster.supervisor import Member, Supervisor
from tolman.launchers.cluster.tallies import EvaluationDesk, Speeds, StepCount
from tolman.launchers.cluster.work import Work
from tolman.launchers.host.state import HostState
from tolman.launchers.runs.protocol import RoleRow

SECONDS_A_LOOK = 0.2
SECONDS_BETWEEN_ANNOUNCEMENTS = 2.0
SECONDS_BETWEEN_COMPLAINTS = 30.0
SECONDS_TO_COUNT = 2.0

logger = logging.getLogger(__name__)


class Session:
    """One driver's share of a run: every process of it, supervised."""

    def __init__(
        self,
        data: DataSpec,
        work: Work,
        roles: Roles,
        replay_folder: Path,
        state: HostState,
        total_updates: int,
    ) -> None:
        """Starts every process, and waits for the learner and the replays.

        Args:
          data: what the agent asks for.
          work: what every process is told.
          roles: how many there are.
          replay_folder: for the checkpoints of replays.
          state: to go on from.
          total_updates: of the whole run.
        """
        self._data, self._total_updates = data, total_updates
        self._num_shards = roles.shards
        self._env_steps = StepCount(data, work.num_envs, state)
        self._evaluations = EvaluationDesk(work.config.eval_episodes)
        self._speeds = Speeds()
        self._journal = work.journal()
        self._pace = work.pace(state)
        self._max_updates = (
            self._pace.max_updates(int(state.env_steps)) if self._pace else None
        )
        self._is_ahead = False
        self._addresses: tuple[str, ...] = ("",) * roles.shards
        self._announced_at = 0.0
        self._rows: list[RoleRow] = []
        self._started: Any = None  # The learner that has a state.

        self._launches = Launches(work, roles, state, replay_folder.absolute())
        self._board = self._launches.board
        self._learner = Member("learner", 0, self._launches.learner)
        self._replays = [
            Member("replay", index, functools.partial(self._launch_replay, index))
            for index in range(roles.shards)
        ]
        self._evaluators = [
            Member("evaluator", index, self._launches.evaluator)
            for index in range(roles.evaluators)
        ]
        self._supervisor = Supervisor([*self._replays, self._learner, *self._evaluators])
        self._actors: list[Member] = []
        self.add_actors(roles.actors)
        try:
            self._with_learner(state, lambda learner: None)
        except BaseException:
            self.close()
            raise

    def train(self, state: HostState, num_updates: int) -> tuple[HostState, dict[str, Any]]:
        """Takes updates; metrics are means over them, as arrays of one member, `[1]`."""
        learned = self._with_learner(
            state, lambda learner: learner.train.remote(num_updates)
        )
        metrics = dict(learned.metrics)
        self._count_inserts()
        self._look()
        metrics.update(self._journal.metrics())
        metrics.update(self._evaluations.take())
        self._speeds.lag = metrics.get("time/param_lag", np.nan)
        updates = int(state.updates) + num_updates
        state = HostState(
            learned.learner,
            state.key,
            np.int64(updates),
            np.int64(self._env_steps.total(updates)),
        )
        return state, {name: np.asarray(value)[None] for name, value in metrics.items()}

    def add_actors(self, count: int) -> None:
        """Starts so many more actors."""
        first = len(self._actors)
        added = [
            Member("actor", index, functools.partial(self._launches.actor, index))
            for index in range(first, first + count)
        ]
        self._actors += added
        self._supervisor.members += added

    def save_replays(self) -> None:
        """Has every replay save what it holds; one that dies keeps what it saved before."""
        requests = [
            member.handle.checkpoint.remote()
            for member in self._replays
            if member.handle is not None
        ]
        for request in requests:
            try:
                self._finish(request)
            except RayActorError as error:
                logger.warning("a replay was not saved: %s", str(error).splitlines()[0])

    def rows(self) -> list[RoleRow]:
        """How the processes were at the last look; for any thread."""
        return self._rows

    def close(self) -> None:
        """Ends every process."""
        self._supervisor.close()
        self._launches.close()

    def _with_learner(self, state: HostState, call: Callable[[Any], Any]) -> Any:
        """What a call of the learner returns; a learner that dies makes way for the next.

        Args:
          state: that a new learner goes on from.
          call: of a handle; returns a reference, or None for nothing to wait for.
        """
        while True:
            handle = None
            try:
                self._wait_for_processes()
                handle = self._learner.handle
                if self._started is not handle:
                    self._start_learner(handle, state)
                request = call(handle)
                return None if request is None else self._finish(request)
            except RayActorError as error:
                if self._learner.handle is handle:
                    self._learner.die(error)
            except RayTaskError as error:
                raise error.cause from None

    def _wait_for_processes(self) -> None:
        """Supervises until the learner and all replays answer."""
        complained_at = time.monotonic()
        while missing := [
            member.name
            for member in [*self._replays, self._learner]
            if member.report is None
        ]:
            self._look(SECONDS_A_LOOK)
            if time.monotonic() - complained_at >= SECONDS_BETWEEN_COMPLAINTS:
                complained_at = time.monotonic()
                logger.warning("waiting for %s to start", ", ".join(missing))

    def _start_learner(self, handle: Any, state: HostState) -> None:
        """Has a new learner go on from a state."""
        self._finish(
            handle.start.remote(
                state.learner,
                int(state.updates),
                self._total_updates,
                self._addresses,
                self._max_updates,
            )
        )
        self._started = handle

    def _finish(self, request: Any) -> Any:
        """Supervises until a request is done; returns its result."""
        while not ray.wait([request], timeout=SECONDS_A_LOOK)[0]:
            self._look()
        return ray.get(request)

    def _look(self, seconds: float = 0.0) -> None:
        """Takes all reports, and says again what may have been forgotten."""
        self._rows = [
            row._replace(note=self._speeds.note(row.kind))
            for row in self._supervisor.rows()
        ]
        for member, report in self._supervisor.look(seconds):
            self._speeds.take(member, report)
            if member.kind == "actor":
                if report.failure is not None:
                    raise report.failure
                self._journal.take_actor(report)
            elif member.kind == "replay":
                self._take_counts(member, report)
                self._note_address(member, report.address)
        self._keep_pace()
        now = time.monotonic()
        if now - self._announced_at >= SECONDS_BETWEEN_ANNOUNCEMENTS:
            self._announce()
        for member in self._evaluators:
            if member.report is not None:
                self._evaluations.look(member.handle, now)

    def _announce(self) -> None:
        """Tells the board the addresses, once all are known."""
        self._announced_at = time.monotonic()
        if all(self._addresses):
            self._board.announce.remote(self._addresses, self._is_ahead)

    def _note_address(self, replay: Member, address: str) -> None:
        """Takes a replay's address; where it is another one, all who used it start anew."""
        before = self._addresses[replay.index]
        if address == before:
            return
        addresses = list(self._addresses)
        addresses[replay.index] = address
        self._addresses = tuple(addresses)
        self._announce()
        if not before:
            return
        logger.warning("%s is at %s now, and was at %s.", replay.name, address, before)
        if self._learner.handle is not None:
            self._learner.handle.relocate.remote(self._addresses)
        for actor in self._actors:
            if actor.index % self._num_shards == replay.index:
                actor.restart()

    def _count_inserts(self) -> None:
        """Counts what is in the replays at this moment."""
        if self._data.replay == "queue":
            return
        for member in self._replays:
            if member.handle is None:
                continue
            try:
                report = ray.get(member.handle.report.remote(), timeout=SECONDS_TO_COUNT)
            except (RayError, GetTimeoutError):
                continue  # The next look finds out.
            self._take_counts(member, report)

    def _take_counts(self, replay: Member, report: Any) -> None:
        self._env_steps.take(replay.index, replay.life, report.num_inserted)
        self._journal.take_replay(replay.index, replay.life, report)

    def _keep_pace(self) -> None:
        """Has the learner wait for data, or the actors for the learner."""
        if self._pace is None:
            return
        num_steps = self._env_steps.total(0)
        allowed = self._pace.max_updates(num_steps)
        if allowed != self._max_updates:
            self._max_updates = allowed
            if self._learner.handle is not None:
                self._learner.handle.allow.remote(allowed)
        if self._learner.report is None:
            return
        is_ahead = self._pace.is_ahead(num_steps, self._learner.report.updates)
        if is_ahead != self._is_ahead:
            self._is_ahead = is_ahead
            self._announce()

    def _launch_replay(self, index: int, life: int) -> Any:
        return self._launches.replay(index, self._addresses[index], life)
