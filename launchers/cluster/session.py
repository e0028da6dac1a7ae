"""The driver's part of a run: starts, supervises and ends every process."""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import ray
from ray.exceptions import GetTimeoutError, RayActorError, RayError, RayTaskError

from tolman.agents.agent import DataSpec, LearnerState, Params
from tolman.launchers.cluster.launcher import WATCHING, ProcessLauncher
from tolman.launchers.cluster.parameter_server import Turn
from tolman.launchers.cluster.saving import save_all
from tolman.launchers.cluster.statistics import (
    EvaluationScheduler,
    StepCounter,
    Throughput,
)
from tolman.launchers.cluster.supervisor import Process, Supervisor
from tolman.launchers.cluster.work import Work
from tolman.launchers.host.recognition import Recognised
from tolman.launchers.host.state import HostState
from tolman.launchers.runs.checkpoints import finished
from tolman.launchers.runs.protocol import RoleRow

SECONDS_A_POLL = 0.2
SECONDS_BETWEEN_REPEATS = 2.0  # Of the addresses, which a restarted server lacks.
SECONDS_BETWEEN_WARNINGS = 30.0
SECONDS_TO_COUNT = 2.0

logger = logging.getLogger(__name__)


class Beginning(NamedTuple):
    """What the processes of a run go on from.

    Attributes:
      states: by label; of one environment there is one.
      turn: what is acted in first.
      total_updates: of the whole run; of tasks in turn, under that label.
      labels: under which tasks in turn are played; of one environment there are none.
      recognised: what the actor that watches its screens goes on from; None where nobody
        does.
    """

    states: Sequence[HostState]
    turn: Turn
    total_updates: int
    labels: Sequence[int] = ()
    recognised: Recognised | None = None


class Session:
    """Every process of a prepared run, supervised.

    Attributes:
      labels: see `Beginning`.
    """

    def __init__(
        self,
        data: DataSpec,
        work: Work,
        processes: ProcessLauncher,
        first_actor: Process | None,
        replay_before: Path | None,
        beginning: Beginning,
    ) -> None:
        """Starts every process, and waits for the learner and the replays.

        Args:
          data: what the agent asks for.
          work: what every process gets.
          processes: starts them; open.
          first_actor: one that waits to be started; None for none yet.
          replay_before: the checkpoint whose replays are taken up; None to start empty.
          beginning: what it goes on from.
        """
        states, self._turn, self._total_updates, self.labels, recognised = beginning
        roles, state = processes.roles, states[self._turn.label]
        self._data, processes.recognised = data, recognised
        self._num_shards = roles.shards
        self._env_steps = [StepCounter(data, work.num_envs, each) for each in states]
        self._evaluations = EvaluationScheduler(work.config.eval_episodes)
        self._throughput = Throughput()
        self._statistics = work.run_statistics()
        limiter = self._rate_limiter = work.rate_limiter(state)
        self._max_updates = limiter and limiter.max_updates(int(state.env_steps))
        self._is_ahead = False
        self._addresses: tuple[str, ...] = ("",) * roles.shards
        self._sent_at = 0.0
        self._rows: list[RoleRow] = []
        self._started: Any = None  # The learner that has a state.

        self._replay_before = replay_before
        self._launcher, self._server = processes, processes.server
        updates = sum(int(each.updates) for each in states)
        processes.set_work(work, state._replace(updates=np.int64(updates)))
        self._learner = Process("learner", 0, self._launcher.learner)
        self._replays = [
            Process("replay", index, functools.partial(self._launch_replay, index))
            for index in range(roles.shards)
        ]
        self._evaluators = [
            Process("evaluator", index, self._launcher.evaluator)
            for index in range(roles.evaluators)
        ]
        self._supervisor = Supervisor([*self._replays, self._learner, *self._evaluators])
        self._actors: list[Process] = []
        if first_actor is not None:
            self._take_actors([first_actor])
            if first_actor.handle is not None:  # Else it starts when it is restarted.
                processes.start_actor(first_actor.handle, 0, first_actor.incarnation)
        self.add_actors(roles.actors - len(self._actors))
        try:
            self._with_learner(state, lambda learner: None)
        except BaseException:
            self.close()
            raise

    def train(self, state: HostState, num_updates: int) -> tuple[HostState, dict[str, Any]]:
        """Takes updates; metrics are means over them, as arrays of one member, `[1]`.

        They are fewer where the actor that watches its screens recognises another label.
        """
        result = self._with_learner(
            state, lambda learner: learner.train.remote(num_updates)
        )
        metrics = dict(result.metrics)
        self._count_inserts()
        self._poll()
        self._ask_what_is_recognised()
        metrics.update(self._statistics.metrics())
        metrics.update(self._evaluations.take())
        self._throughput.lag = metrics.get("time/param_lag", np.nan)
        state = HostState(
            result.learner,
            state.key,
            np.int64(result.updates),
            np.int64(self._env_steps[self._turn.label].total(result.updates)),
            result.priorities,
        )
        return state, {name: np.asarray(value)[None] for name, value in metrics.items()}

    @property
    def recognised(self) -> Recognised | None:
        """What the actor that watches its screens goes on from if it is restarted.

        As of the last `train`; None where nobody watches.
        """
        return self._launcher.recognised

    def switch(self, state: HostState, key: Any, ended: int, begun: int) -> LearnerState:
        """The learner after one task follows another; see `LearnerRole.switch`.

        Args:
          state: of the label that ends.
          key: `[2]`.
          ended: that label.
          begun: the next one.
        """
        return self._with_learner(
            state, lambda learner: learner.switch.remote(np.asarray(key), ended, begun)
        )

    def move(self, turn: Turn, state: HostState, total_updates: int) -> None:
        """Has the learner go on with another turn, and the actors follow it.

        Args:
          turn: what is acted in from now on.
          state: of its label.
          total_updates: under that label.
        """
        self._turn, self._total_updates, self._started = turn, total_updates, None
        self._statistics.metrics()  # Of episodes before.
        self._with_learner(state, lambda learner: None)

    def evaluate(self, params: Params) -> dict[str, float]:
        """Has the evaluator play with these parameters; nothing where there is none."""
        for process in self._evaluators:
            while True:
                handle = process.handle
                if process.report is None:
                    self._poll(SECONDS_A_POLL)
                    continue
                try:
                    request = self._evaluations.request(handle, params, self.labels)
                    return self._finish(request)
                except RayActorError as error:
                    if process.handle is handle:
                        process.die(error)
                except RayTaskError as error:
                    raise error.cause from None
        return {}

    def add_actors(self, count: int) -> None:
        """Starts so many more actors."""
        first = len(self._actors)
        self._take_actors(
            [
                Process("actor", index, functools.partial(self._launcher.actor, index))
                for index in range(first, first + count)
            ]
        )

    def save_replays(self, folder: Path) -> None:
        """Has every replay save what it holds, see `save_all`; a queue has nothing."""
        if self._data.replay != "queue":
            save_all(self._replays, folder, self._wait_for_processes, self._finish)
            self._replay_before = finished(folder)

    def rows(self) -> list[RoleRow]:
        """The processes as of the last poll; for any thread."""
        return self._rows

    def close(self) -> None:
        """Ends every process but the parameter server."""
        self._supervisor.close()

    def _take_actors(self, actors: list[Process]) -> None:
        self._actors += actors
        self._supervisor.processes += actors

    def _with_learner(self, state: HostState, call: Callable[[Any], Any]) -> Any:
        """Calls the learner and returns the result; where it dies, calls the next one.

        Args:
          state: that a new learner continues from.
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
        warned_at = time.monotonic()
        while missing := [
            process.name
            for process in [*self._replays, self._learner]
            if process.report is None
        ]:
            self._poll(SECONDS_A_POLL)
            if time.monotonic() - warned_at >= SECONDS_BETWEEN_WARNINGS:
                warned_at = time.monotonic()
                logger.warning("waiting for %s to start", ", ".join(missing))

    def _start_learner(self, handle: Any, state: HostState) -> None:
        """Has a new learner continue from a state."""
        self._finish(
            handle.start.remote(
                state,
                self._total_updates,
                self._addresses,
                self._max_updates,
                self._turn,
            )
        )
        self._started = handle

    def _finish(self, request: Any) -> Any:
        """Supervises until a request is done; returns its result."""
        while not ray.wait([request], timeout=SECONDS_A_POLL)[0]:
            self._poll()
        return ray.get(request)

    def _poll(self, seconds: float = 0.0) -> None:
        """Takes all reports, and repeats what a restarted server lacks."""
        self._rows = [
            row._replace(note=self._throughput.note(row.kind))
            for row in self._supervisor.rows()
        ]
        for process, report in self._supervisor.poll(seconds):
            self._throughput.take(process, report)
            if process.kind == "actor":
                if report.failure is not None:
                    raise report.failure
                if report.turn == self._turn:
                    self._statistics.take_actor(report)
                self._follow(report.label)
            elif process.kind == "replay":
                self._take_counts(process, report)
                self._note_address(process, report.address)
        self._limit_rates()
        now = time.monotonic()
        if now - self._sent_at >= SECONDS_BETWEEN_REPEATS:
            self._send_addresses()
        for process in self._evaluators:
            if process.report is not None:
                self._evaluations.poll(process.handle, now, self.labels)

    def _follow(self, label: int | None) -> None:
        """Ends the updates under way where an actor recognises another label than theirs.

        It is asked again at each report: one that comes between two `train` is lost.
        """
        is_other = label is not None and label != self._turn.label
        if is_other and self._learner.handle is not None:
            self._learner.handle.stop.remote()

    def _ask_what_is_recognised(self) -> None:
        """Takes what the actor that watches knows; where it is gone, what it knew stays."""
        actor = self._actors[WATCHING]
        if self._launcher.recognised is None or actor.report is None:
            return
        try:
            found = self._finish(actor.handle.recognised.remote())
        except RayActorError:
            return  # The next poll handles it.
        if found is not None:
            self._launcher.recognised = found

    def _send_addresses(self) -> None:
        """Sends the parameter server the addresses, once all are known."""
        self._sent_at = time.monotonic()
        if all(self._addresses):
            self._server.set_addresses.remote(self._addresses, self._is_ahead)

    def _note_address(self, replay: Process, address: str) -> None:
        """Takes a replay's address; where it changed, restarts the actors that used it."""
        before = self._addresses[replay.index]
        if address == before:
            return
        addresses = list(self._addresses)
        addresses[replay.index] = address
        self._addresses = tuple(addresses)
        self._send_addresses()
        if not before:
            return
        logger.warning("%s is at %s now, and was at %s.", replay.name, address, before)
        if self._learner.handle is not None:
            self._learner.handle.set_addresses.remote(self._addresses)
        for actor in self._actors:
            if actor.index % self._num_shards == replay.index:
                actor.restart()

    def _count_inserts(self) -> None:
        """Counts what is in the replays at this moment."""
        if self._data.replay == "queue":
            return
        for process in self._replays:
            if process.handle is None:
                continue
            try:
                report = ray.get(process.handle.report.remote(), timeout=SECONDS_TO_COUNT)
            except (RayError, GetTimeoutError):
                continue  # The next poll handles it.
            self._take_counts(process, report)

    def _take_counts(self, replay: Process, report: Any) -> None:
        for counter, inserted in zip(self._env_steps, report.inserted, strict=True):
            counter.take(replay.index, replay.incarnation, inserted)
        self._statistics.take_replay(replay.index, replay.incarnation, report)

    def _limit_rates(self) -> None:
        """Bounds the learner's updates, or has the actors wait for the learner."""
        if self._rate_limiter is None:
            return
        num_steps = self._env_steps[self._turn.label].total(0)
        allowed = self._rate_limiter.max_updates(num_steps)
        if allowed != self._max_updates:
            self._max_updates = allowed
            if self._learner.handle is not None:
                self._learner.handle.set_max_updates.remote(allowed)
        if self._learner.report is None:
            return
        is_ahead = self._rate_limiter.is_ahead(num_steps, self._learner.report.updates)
        if is_ahead != self._is_ahead:
            self._is_ahead = is_ahead
            self._send_addresses()

    def _launch_replay(self, index: int, incarnation: int) -> Any:
        del incarnation
        return self._launcher.replay(index, self._replay_before, self._addresses[index])
