"""Trains a run: chunks of updates on the device, and between them what the host must do.

Between two chunks the host writes a row of metrics, looks for losses that are not finite
and for a request to stop, and now and then saves a checkpoint. Chunks end at fixed counts
of updates, so that an interrupted run, resumed, writes the rows of one that was not.
"""

from __future__ import annotations

import contextlib
import logging
import math
import time
from dataclasses import dataclass
from pathlib import Path

import jax
import numpy as np

from tolman.launchers.catalog.environments import vector_seeds
from tolman.launchers.runs import folder as run_folder
from tolman.launchers.runs.build import build_runner
from tolman.launchers.runs.checkpoints import Checkpoints
from tolman.launchers.runs.folder import RunFolder
from tolman.launchers.runs.job import resolve
from tolman.launchers.runs.loggers import Logger, cut_metrics, make_loggers
from tolman.launchers.runs.progress import Progress, log_to
from tolman.launchers.runs.protocol import Counts, Runner, State
from tolman.launchers.runs.stopping import RunStopped, StopRequest
from tolman.launchers.settings.config import TrainConfig

SECONDS_BETWEEN_CHECKPOINTS = 60.0
NUM_ROWS, MAX_UPDATES_PER_ROW = 50, 100
OF_SOME = ("train/", "accuracy/")  # Metrics of what may not have happened.

logger = logging.getLogger(__name__)


class DivergenceError(RuntimeError):
    """A loss or parameter is not finite; the message names it and the last checkpoint."""


@dataclass(frozen=True)
class Plan:
    """How a run is cut into pieces, in updates.

    Attributes:
      total: of the run.
      row: between two rows of metrics.
      checkpoint: between two checkpoints, a multiple of `row`; None to go by the clock.
    """

    total: int
    row: int
    checkpoint: int | None


def train(config: TrainConfig) -> Path:
    """Trains from the start, or resumes where `config.if_exists` says so.

    Returns:
      The run folder.

    Raises:
      ValueError: for a config that cannot be run; nothing has been written then.
      DivergenceError: if a loss stops being finite.
      RunStopped: after SIGINT or SIGTERM.
    """
    job = resolve(config)
    config = job.config
    folder, is_there = run_folder.choose(config)
    if is_there:
        job.source.close()
        return resume(folder.path)
    with contextlib.closing(build_runner(job, folder)) as runner:
        state = runner.init(jax.random.PRNGKey(config.seed))
        run_folder.create(folder, config, runner.describe_devices())
        with folder.lock():
            _Run(config, runner, folder, seconds=0.0).loop(state)
    return folder.path


def resume(path: Path, trust: bool = False) -> Path:
    """Trains on from the last sound checkpoint.

    On-device, to the bits of a run without a break; on the host with fresh environments.

    Args:
      path: the run folder.
      trust: whether its config may name any code; see `catalog.trust`.

    Returns:
      The run folder.

    Raises:
      FileNotFoundError: if `path` is no run folder.
      ValueError: if no checkpoint is sound, or another process trains this run.
      DivergenceError: if a loss stops being finite.
      RunStopped: after SIGINT or SIGTERM.
    """
    folder = run_folder.open_run(path)
    config = folder.config(trust)
    updates = Checkpoints(folder.checkpoints).latest_updates()
    job = resolve(config, vector_seeds(config.seed, updates, 1)[0])
    config = job.config
    with folder.lock(), contextlib.closing(build_runner(job, folder)) as runner:
        state, seconds, env_steps = runner.init(jax.random.PRNGKey(config.seed)), 0.0, 0
        with log_to(folder.log):
            devices = runner.describe_devices()
            for change in run_folder.changed_versions(folder, devices):
                logger.warning("%s: the bits may differ from an unbroken run's.", change)
            checkpoints = Checkpoints(folder.checkpoints)
            if checkpoints.latest() is not None:
                env_steps, restored, metadata = checkpoints.restore(state)
                checkpoints.set_aside_after(env_steps)
                state, seconds = runner.place(restored), metadata["seconds"]
            cut_metrics(folder.metrics, env_steps)
            logger.info("resuming at env_steps %d", env_steps)
        _Run(config, runner, folder, seconds).loop(state)
    return folder.path


def make_plan(config: TrainConfig, total_updates: int, env_steps_per_update: float) -> Plan:
    """Rounds the config's env steps up to whole updates and rows."""
    row = min(max(total_updates // NUM_ROWS, 1), MAX_UPDATES_PER_ROW)
    if config.log_interval is not None:
        row = math.ceil(config.log_interval / env_steps_per_update)
    checkpoint = None
    if config.checkpoint_interval is not None:
        checkpoint = row * math.ceil(
            config.checkpoint_interval / env_steps_per_update / row
        )
    return Plan(total_updates, row, checkpoint)


class _Run:
    """One process's share of a run."""

    def __init__(
        self, config: TrainConfig, runner: Runner, folder: RunFolder, seconds: float
    ) -> None:
        self._config = config
        self._runner = runner
        self._folder = folder
        self._plan = make_plan(
            config,
            runner.total_updates(config.num_env_steps),
            runner.env_steps_per_update,
        )
        self._checkpoints = Checkpoints(folder.checkpoints, config.num_checkpoints_to_keep)
        self._started = time.monotonic() - seconds
        self._restarts_told: dict[str, int] = {}

    def loop(self, state: State) -> None:
        """Trains to the end; the status file tells how that went, whatever happens."""
        env_steps = self._runner.counts(state).env_steps
        self._write_status("running", env_steps)
        with contextlib.ExitStack() as stack:
            per_update = self._runner.env_steps_per_update
            total = max(self._config.num_env_steps, round(self._plan.total * per_update))
            progress = stack.enter_context(
                Progress(env_steps, total, self._folder.log, self._runner.roles)
            )
            try:
                loggers = make_loggers(self._config, self._folder, env_steps)
                for each in loggers:
                    stack.callback(each.close)
                with StopRequest() as stop:
                    stack.callback(self._runner.close)
                    state = self._train(state, loggers, progress, stop)
                env_steps = self._runner.counts(state).env_steps
            except (RunStopped, KeyboardInterrupt) as interruption:
                reason = str(interruption) or "interrupted at once"
                self._write_status("interrupted", None, reason)
                raise
            except Exception as error:
                logger.error("failed: %s", error)
                self._write_status("failed", None, f"{type(error).__name__}: {error}")
                raise
            self._write_status("finished", env_steps)
            logger.info("finished at env_steps %d: %s", env_steps, self._folder.path)

    def _train(
        self,
        state: State,
        loggers: list[Logger],
        progress: Progress,
        stop: StopRequest,
    ) -> State:
        plan, updates = self._plan, self._runner.counts(state).updates
        began = time.monotonic()
        state = self._runner.prepare(state, plan.total)
        saved_at = time.monotonic()
        logger.info("ready in %.1f s", saved_at - began)
        while updates < plan.total:
            num_updates = min(plan.row - updates % plan.row, plan.total - updates)
            state, row = self._chunk(state, num_updates)
            updates += num_updates
            for each in loggers:
                each.write(row)
            progress.update(row)
            if self._restarts() != self._restarts_told:
                self._write_status("running", int(row["env_steps"]))

            if plan.checkpoint is None:
                due = time.monotonic() - saved_at >= SECONDS_BETWEEN_CHECKPOINTS
            else:
                due = updates % plan.checkpoint == 0
            if due or updates == plan.total or stop.signal_number is not None:
                self._save(state)
                saved_at = time.monotonic()
            if updates < plan.total and stop.signal_number is not None:
                env_steps = self._runner.counts(state).env_steps
                raise RunStopped(
                    f"stopped at env_steps {env_steps}, checkpoint saved. "
                    f"Go on with: tolman resume {self._folder.path}",
                    stop.signal_number,
                )
        return state

    def _chunk(self, state: State, num_updates: int) -> tuple[State, dict[str, float]]:
        """Takes `num_updates` updates; returns the state and a row of finite metrics."""
        began, before = time.perf_counter(), self._runner.counts(state)
        state, metrics = self._runner.train(state, num_updates)
        values = {name: float(value[0]) for name, value in jax.device_get(metrics).items()}
        seconds = time.perf_counter() - began
        counts = self._runner.counts(state)
        row = {name: value for name, value in values.items() if math.isfinite(value)}
        # No episode may have ended in these updates, nor a kind of question been asked: a
        # mean of none is not a divergence.
        bad = [name for name in values if name not in row and not name.startswith(OF_SOME)]
        if bad:
            # The total and the gradient are not finite where any term is: name that term.
            first = min(
                bad, key=lambda name: (name == "loss/total", not name.startswith("loss/"))
            )
            raise self._diverged(f"{first} is {values[first]}", counts)
        return state, {
            "env_steps": counts.env_steps,
            **row,
            "time/env_steps_per_second": (counts.env_steps - before.env_steps) / seconds,
        }

    def _save(self, state: State) -> None:
        """Saves a checkpoint, unless its parameters are not finite."""
        counts, state = self._runner.counts(state), jax.device_get(state)
        params = self._runner.params(state)
        for path, leaf in jax.tree_util.tree_flatten_with_path(params)[0]:
            if not np.isfinite(leaf).all():
                name = f"parameter {jax.tree_util.keystr(path)}"
                raise self._diverged(f"{name} is not finite", counts)
        seconds = time.monotonic() - self._started
        self._runner.save_replay()
        self._checkpoints.save(counts.env_steps, state, {"seconds": seconds})
        self._write_status("running", counts.env_steps)

    def _diverged(self, what: str, counts: Counts) -> DivergenceError:
        latest = self._checkpoints.latest()
        kept = "there is no checkpoint yet"
        if latest is not None:
            kept = f"the last good checkpoint is {self._folder.checkpoints / str(latest)}"
        learning_rate = getattr(self._config.agent_config, "learning_rate", None)
        hint = (
            ""
            if learning_rate is None
            else f" Try a lower --agent.learning-rate (it is {learning_rate:g})."
        )
        return DivergenceError(
            f"{what} at env_steps {counts.env_steps} (update {counts.updates}); "
            f"{kept}.{hint}"
        )

    def _write_status(self, state: str, env_steps: int | None, reason: str = "") -> None:
        """Writes the status; `env_steps` None keeps those of the last one."""
        if env_steps is None:
            env_steps = self._folder.status().get("env_steps", 0)
        seconds = time.monotonic() - self._started
        self._restarts_told = self._restarts()
        self._folder.write_status(state, env_steps, seconds, reason, self._restarts_told)

    def _restarts(self) -> dict[str, int]:
        """Of each kind of process behind the runner."""
        return {row.kind: row.restarts for row in self._runner.roles()}
