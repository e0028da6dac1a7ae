"""The training loop: chunks of updates, and between them what the host must do.

Between two chunks the host writes a row of metrics, looks for losses that are not finite
and for a request to stop, and now and then saves a checkpoint. Chunks end at fixed counts
of updates, so that a training that was broken off, resumed, writes the rows of one that was
not. A run and a stage of a study differ in their `Sink` only.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
import numpy as np

from tolman.launchers.report.status import DEAD
from tolman.launchers.runs.changes import take_settings
from tolman.launchers.runs.checkpoints import Checkpoints, check_finite, check_space
from tolman.launchers.runs.failures import (
    DivergenceError,
    RunFailure,
    explain,
    is_environment_fault,
)
from tolman.launchers.runs.hooks import Callbacks, Moment
from tolman.launchers.runs.loggers import Logger, Row, cut_metrics, make_row
from tolman.launchers.runs.progress import Progress, log_to
from tolman.launchers.runs.protocol import MUST_BE_FINITE, Counts, Runner, State
from tolman.launchers.runs.sink import Sink
from tolman.launchers.runs.stopping import RunStopped, StopRequest, stop_request
from tolman.launchers.runs.versions import changed_versions

SECONDS_BETWEEN_CHECKPOINTS = 60.0
NUM_ROWS = 50

AfterRow = Callable[[State, Counts, float], bool]
Evaluate = Callable[[Any, int], dict[str, float]]
JUDGED_BY = "eval/episode_return"  # The best checkpoint has the largest.

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Plan:
    """How a training is cut into pieces, in updates.

    Attributes:
      total: of the training.
      num_units: the same in the runner's unit.
      row: between rows of metrics, which task ends cut; None for `NUM_ROWS` even ones.
      checkpoint: between two checkpoints, a multiple of `row`; None to go by the clock.
      evaluation: between two evaluations, a multiple of `row`; None for none.
    """

    total: int
    num_units: int
    row: int | None = None
    checkpoint: int | None = None
    evaluation: int | None = None

    def next_row(self, done: int, task_ends: Sequence[int] = ()) -> int:
        """The updates at the first row after `done`."""
        ends = [end for end in (*task_ends, self.total) if end > done]
        point = done * NUM_ROWS // self.total + 1
        even = max(-(-point * self.total // NUM_ROWS), done + 1)
        return min(done + self.row - done % self.row if self.row else even, *ends)


class Progressed(NamedTuple):
    """Where a training stands.

    Attributes:
      state: of the runner.
      seconds: of wall time spent so far, over all resumes.
      is_over: whether what watches its rows has ended it.
      about: what the sink had its checkpoint say.
    """

    state: State
    seconds: float = 0.0
    is_over: bool = False
    about: Mapping[str, Any] = MappingProxyType({})


def pick_up(
    runner: Runner, sink: Sink, state: State, with_empty_replay: bool = False
) -> Progressed:
    """Goes back to the last sound checkpoint, whole: what is later is put out of the way.

    Args:
      runner: of the training; not prepared.
      sink: of the training.
      state: a fresh one, which is returned where there is no checkpoint.
      with_empty_replay: leave out what the checkpoint's replay holds.

    Raises:
      ValueError: if there are checkpoints and none is sound.
    """
    folder, found, units = sink.folder, Progressed(state), 0
    is_emptied = with_empty_replay or not sink.keeps_replay

    def check(restored: State, path: Path) -> None:
        check_finite(runner.params(restored), runner.num_members)
        runner.load_replay(None if is_emptied else path)

    with log_to(folder.log):
        if folder.status().get("state") == DEAD:
            logger.info("the process of this run is gone: it was killed")
        for change in changed_versions(folder.path, runner.describe_devices()):
            logger.warning("%s: the bits may differ from an unbroken run's.", change)
        checkpoints = Checkpoints(folder.checkpoints)
        if checkpoints.latest() is not None:
            template = sink.saved(runner, state)
            units, restored, metadata = checkpoints.restore(template, check=check)
            is_over = metadata.get("is_over", False)
            restored = runner.place(take_settings(restored, template))
            if is_emptied:
                restored = runner.with_empty_replay(restored)
                logger.info("an empty replay: learning waits until it has its minimum.")
            found = Progressed(restored, metadata["seconds"], is_over, metadata)
        checkpoints.set_aside_after(units)
        cut_metrics(folder.metrics, units)
        logger.info("resuming at %s %d", runner.unit, units)
    return found


class TrainingLoop:
    """One process's share of a training."""

    def __init__(
        self,
        runner: Runner,
        sink: Sink,
        plan: Plan,
        start: Progressed,
        after_row: AfterRow | None = None,
        callbacks: Callbacks | None = None,
        evaluate: Evaluate | None = None,
    ) -> None:
        """Prepares the loop; writes nothing.

        Args:
          runner: what trains; not prepared.
          sink: where its results go.
          plan: of the whole training.
          start: where it stands.
          after_row: called after each row with the state, its counts and the seconds spent;
            returns whether the training is to end there.
          callbacks: of the user.
          evaluate: maps parameters and the updates behind them to metrics, where the plan
            says so.

        Raises:
          ValueError: if its checkpoints would not fit on the disk.
        """
        self._runner, self._sink, self._plan = runner, sink, plan
        self._state, seconds, self._is_over, _ = start
        self._folder, self._after_row = sink.folder, after_row
        self._callbacks, self._evaluate = callbacks or Callbacks(), evaluate
        self._row: Row = {}
        self._checkpoints = Checkpoints(
            self._folder.checkpoints, sink.num_checkpoints_to_keep
        )
        self._counts = runner.counts(self._state)
        self._saved_units: int | None = None
        self._started = time.monotonic() - seconds
        self._restarts_told: dict[str, int] = {}
        num_kept = sink.num_checkpoints_to_keep + int(evaluate is not None)
        saved = sink.saved(runner, self._state)
        check_space(self._folder.path, saved, self._checkpoints, num_kept)

    def run(self, lines: Sequence[str] = ()) -> Progressed:
        """Trains to the end; the status file tells how that went, whatever happens.

        Args:
          lines: for the log, before anything else.

        Raises:
          RunFailure: if a loss stops being finite, the disk is full, or foreign code fails.
          RunStopped: after SIGINT or SIGTERM.
        """
        runner, plan = self._runner, self._plan
        with contextlib.ExitStack() as stack:
            stop = stack.enter_context(stop_request())
            stack.enter_context(stop.deferred())
            progress = stack.enter_context(
                Progress(
                    self._counts.units,
                    plan.num_units,
                    self._folder.log,
                    runner.roles,
                    runner.unit,
                )
            )
            for line in lines:
                logger.info("%s", line)
            try:
                self._write_status("running")
                loggers = self._sink.make_loggers(self._counts.units)
                for each in loggers:
                    stack.callback(_close, each)
                stack.callback(runner.close)
                self._train(loggers, progress, stop)
            except (RunStopped, KeyboardInterrupt) as interruption:
                self._write_status(
                    "interrupted", str(interruption) or "interrupted at once"
                )
                raise
            except Exception as error:
                if is_environment_fault(error):
                    self._rescue()
                failure = explain(error, self._folder.log, self._where())
                logger.error("failed: %s", failure, exc_info=error)
                # The disk may be full.
                with contextlib.suppress(OSError):
                    self._write_status("failed", f"{type(failure).__name__}: {failure}")
                if failure is error:
                    raise
                raise failure from error
            if self._callbacks.reason:
                self._write_status("interrupted", self._callbacks.reason)
                logger.info("stopped: %s", self._callbacks.reason)
                return self._progressed()
            self._write_status("finished")
            logger.info(
                "finished at %s %d: %s", runner.unit, self._counts.units, self._folder.path
            )
        return self._progressed()

    def _progressed(self) -> Progressed:
        return Progressed(self._state, self._seconds(), self._is_over, self._sink.about)

    def _train(self, loggers: list[Logger], progress: Progress, stop: StopRequest) -> None:
        plan, began = self._plan, time.monotonic()
        ends: Sequence[int] = getattr(self._runner, "task_ends", ())
        if self._counts.updates >= plan.total or self._is_over:
            return
        self._stop_if_asked(stop)
        self._state = self._runner.prepare(self._state, plan.total)
        saved_at = time.monotonic()
        logger.info("ready in %.1f s", saved_at - began)
        while self._counts.updates < plan.total and not self._is_over:
            self._stop_if_asked(stop)
            self._row = self._chunk(plan.next_row(self._counts.updates, ends))
            is_best = self._judge()
            for each in loggers:
                each.write(self._row)
            progress.update(self._row)
            if self._restarts() != self._restarts_told:
                self._write_status("running")
            if self._after_row is not None:
                self._is_over = self._after_row(self._state, self._counts, self._seconds())
            self._tell_row()
            is_end = self._is_over or self._callbacks.reason
            if plan.checkpoint is None:
                due = time.monotonic() - saved_at >= SECONDS_BETWEEN_CHECKPOINTS
            else:
                due = self._counts.updates % plan.checkpoint == 0
            if due or is_best or is_end or self._counts.updates >= plan.total:
                self._save()
                saved_at = time.monotonic()
            if is_best:
                self._checkpoints.mark_best(self._counts.units, self._row[JUDGED_BY])
            if self._callbacks.reason:
                return

    def _judge(self) -> bool:
        """Adds an evaluation to the row, if one is due; returns whether it is the best."""
        plan, updates = self._plan, self._counts.updates
        if self._evaluate is None or plan.evaluation is None:
            return False
        if updates % plan.evaluation and updates < plan.total:
            return False
        self._row |= self._evaluate(self._runner.params(self._state), updates)
        best = self._checkpoints.best()
        return best is None or self._row.get(JUDGED_BY, -np.inf) > best.value

    def _tell_row(self) -> None:
        """Calls back with the row, and before it with its episodes."""
        moment = self._moment()
        if self._callbacks.want_episodes():
            for episode in getattr(self._runner, "episodes", ()):
                self._callbacks.call("on_episode", moment, episode)
        self._callbacks.call("on_row", moment)

    def _moment(self) -> Moment:
        def params() -> Any:
            return jax.device_get(self._runner.params(self._state))

        counts, stop = self._counts, self._callbacks.stop
        return Moment(
            self._folder.path, counts.units, counts.updates, self._row, params, stop
        )

    def _chunk(self, until: int) -> Row:
        """Takes updates up to number `until`; returns their row."""
        num_updates = until - self._counts.updates
        began, before, unit = time.perf_counter(), self._counts.units, self._runner.unit
        self._state, told = self._runner.train(self._state, num_updates)
        metrics = {name: np.asarray(v) for name, v in jax.device_get(told).items()}
        seconds = time.perf_counter() - began
        self._counts = self._runner.counts(self._state)
        losses = {
            name: values
            for name, values in metrics.items()
            if name.startswith(MUST_BE_FINITE) and not np.isfinite(values).all()
        }
        if losses and not np.isfinite(np.stack(list(losses.values()))).all(0).any():
            # The total and the gradient are not finite where any term is: name that term.
            first = min(
                losses, key=lambda name: (name == "loss/total", name.startswith("grad/"))
            )
            what = f"is {losses[first][0]}"
            if self._runner.num_members > 1:
                what = "is finite for no member any more"
            raise self._diverged(f"{first} {what}")
        row = make_row(unit, self._counts.units, metrics)
        speed = f"time/{unit}_per_second"
        return {**row, speed: (self._counts.units - before) / seconds}

    def _save(self) -> None:
        """Saves a checkpoint, unless its parameters are not finite."""
        if self._counts.units == self._saved_units:
            return
        state = jax.device_get(self._sink.saved(self._runner, self._state))
        try:
            check_finite(self._runner.params(state), self._runner.num_members)
        except ValueError as error:
            raise self._diverged(str(error)) from None
        own = {"seconds": self._seconds(), "is_over": self._is_over}
        metadata = {**self._sink.about, **own}
        add = self._runner.save_replay if self._sink.keeps_replay else None
        units = self._counts.units
        path = self._checkpoints.save(units, state, metadata, add)
        self._saved_units = units
        self._write_status("running")
        self._callbacks.call("on_checkpoint", self._moment(), path)

    def _rescue(self) -> None:
        """Saves what was learned before an environment broke down, if the runner tells."""
        rescue = getattr(self._runner, "rescue", None)
        state = rescue() if rescue is not None else None
        if state is None or self._runner.counts(state).updates == 0:
            return
        self._state, self._counts = state, self._runner.counts(state)
        with contextlib.suppress(OSError, RunFailure):
            self._save()
            unit, units = self._runner.unit, self._counts.units
            logger.info("saved at %s %d. %s", unit, units, self._sink.how_to_go_on)

    def _stop_if_asked(self, stop: StopRequest) -> None:
        if stop.signal_number is not None:
            self._save()
            raise RunStopped(
                f"stopped at {self._runner.unit} {self._counts.units}, checkpoint saved. "
                f"{self._sink.how_to_go_on}",
                stop.signal_number,
            )

    def _diverged(self, what: str) -> DivergenceError:
        return DivergenceError(f"{what} {self._where()}.{self._sink.advice}")

    def _where(self) -> str:
        """How far it is, and from where it can go on."""
        latest = self._checkpoints.latest()
        kept = "there is no checkpoint yet"
        if latest is not None:
            kept = f"the last good checkpoint is {self._folder.checkpoints / str(latest)}"
        units, updates = self._counts.units, self._counts.updates
        return f"at {self._runner.unit} {units} (update {updates}); {kept}"

    def _seconds(self) -> float:
        return time.monotonic() - self._started

    def _write_status(self, state: str, reason: str = "") -> None:
        """Writes the status; the units of one that ended early are its checkpoint's."""
        units = self._counts.units
        if state in ("failed", "interrupted"):
            units = self._checkpoints.latest() or 0
        self._restarts_told = self._restarts()
        self._folder.write_status(
            state, units, self._seconds(), reason, self._restarts_told, self._runner.unit
        )

    def _restarts(self) -> dict[str, int]:
        """Of each kind of process behind the runner."""
        return {row.kind: row.restarts for row in self._runner.roles()}


def _close(each: Logger) -> None:
    """Closes a logger; what it could not write on a full disk is told elsewhere."""
    with contextlib.suppress(OSError):
        each.close()
