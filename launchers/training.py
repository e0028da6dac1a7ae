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

from tolman.launchers import names, run_folder
from tolman.launchers.checkpoints import Checkpoints
from tolman.launchers.config import TrainConfig, resolve
from tolman.launchers.loggers import Logger, cut_metrics, make_loggers
from tolman.launchers.on_device import OnDeviceRunner, TrainState
from tolman.launchers.progress import Progress, log_to
from tolman.launchers.run_folder import RunFolder
from tolman.launchers.stopping import RunStopped, StopRequest

SECONDS_BETWEEN_CHECKPOINTS = 60.0
NUM_ROWS, MAX_UPDATES_PER_ROW = 50, 100

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
    config = resolve(config)
    folder, is_there = run_folder.choose(config)
    if is_there:
        return resume(folder.path)
    runner = build_runner(config)
    state = runner.init(member_key(config))
    run_folder.create(folder, config, describe_devices(runner))
    with folder.lock():
        _Run(config, runner, folder, seconds=0.0).loop(state)
    return folder.path


def resume(path: Path) -> Path:
    """Trains on from the last sound checkpoint, to the bits of a run without a break.

    Returns:
      The run folder.

    Raises:
      FileNotFoundError: if `path` is no run folder.
      ValueError: if no checkpoint is sound, or another process trains this run.
      DivergenceError: if a loss stops being finite.
      RunStopped: after SIGINT or SIGTERM.
    """
    folder = run_folder.open_run(path)
    config = resolve(folder.config())
    runner = build_runner(config)
    state, seconds, env_steps = runner.init(member_key(config)), 0.0, 0
    with folder.lock():
        with log_to(folder.log):
            for change in run_folder.changed_versions(folder, describe_devices(runner)):
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


def build_runner(config: TrainConfig) -> OnDeviceRunner:
    """Builds the environment, agent and runner of a resolved config."""
    environment = names.make_environment(config.env, config.env_config)
    agent = names.resolve(names.AGENT, config.agent)(
        config.agent_config,
        environment.observation_spec(),
        environment.action_spec(),
        names.make_core(config.core, config.core_config),
    )
    devices = jax.devices()
    if config.num_devices > len(devices):
        raise ValueError(
            f"num_devices={config.num_devices}: there are {len(devices)}. "
            "Set --num-devices."
        )
    chosen = devices[: config.num_devices] if config.num_devices else None
    return OnDeviceRunner(agent, environment, devices=chosen)


def member_key(config: TrainConfig) -> jax.Array:
    """`[1, 2]`, the key of a run's only member."""
    return jax.random.PRNGKey(config.seed)[None]


def describe_devices(runner: OnDeviceRunner) -> str:
    """What the runner trains on, in words."""
    devices = runner.mesh.devices.ravel()
    return f"{len(devices)} x {devices[0].device_kind}"


def make_plan(config: TrainConfig, decisions_per_update: int) -> Plan:
    """Rounds the config's env steps up to whole updates and rows."""
    total = math.ceil(config.num_env_steps / decisions_per_update)
    row = min(max(total // NUM_ROWS, 1), MAX_UPDATES_PER_ROW)
    if config.log_interval is not None:
        row = math.ceil(config.log_interval / decisions_per_update)
    checkpoint = None
    if config.checkpoint_interval is not None:
        checkpoint = row * math.ceil(
            config.checkpoint_interval / decisions_per_update / row
        )
    return Plan(total, row, checkpoint)


class _Run:
    """One process's share of a run."""

    def __init__(
        self, config: TrainConfig, runner: OnDeviceRunner, folder: RunFolder, seconds: float
    ) -> None:
        self._config = config
        self._runner = runner
        self._folder = folder
        self._plan = make_plan(config, runner.decisions_per_update)
        self._checkpoints = Checkpoints(folder.checkpoints, config.num_checkpoints_to_keep)
        self._started = time.monotonic() - seconds

    def loop(self, state: TrainState) -> None:
        """Trains to the end; the status file tells how that went, whatever happens."""
        updates = int(state.updates[0])
        env_steps, total = self._env_steps(updates), self._env_steps(self._plan.total)
        self._write_status("running", updates)
        with contextlib.ExitStack() as stack:
            progress = stack.enter_context(Progress(env_steps, total, self._folder.log))
            try:
                loggers = make_loggers(self._config, self._folder, env_steps)
                for each in loggers:
                    stack.callback(each.close)
                with StopRequest() as stop:
                    self._train(state, updates, loggers, progress, stop)
            except (RunStopped, KeyboardInterrupt) as interruption:
                reason = str(interruption) or "interrupted at once"
                self._write_status("interrupted", None, reason)
                raise
            except Exception as error:
                logger.error("failed: %s", error)
                self._write_status("failed", None, f"{type(error).__name__}: {error}")
                raise
            self._write_status("finished", self._plan.total)
            logger.info("finished at env_steps %d: %s", total, self._folder.path)

    def _train(
        self,
        state: TrainState,
        updates: int,
        loggers: list[Logger],
        progress: Progress,
        stop: StopRequest,
    ) -> None:
        plan = self._plan
        began = time.monotonic()
        state, _ = self._runner.train(state, 0, plan.total)  # Compiles; trains nothing.
        saved_at = time.monotonic()
        logger.info("compiled in %.1f s", saved_at - began)
        while updates < plan.total:
            num_updates = min(plan.row - updates % plan.row, plan.total - updates)
            state, row = self._chunk(state, num_updates)
            updates += num_updates
            for each in loggers:
                each.write(row)
            progress.update(row)

            if plan.checkpoint is None:
                due = time.monotonic() - saved_at >= SECONDS_BETWEEN_CHECKPOINTS
            else:
                due = updates % plan.checkpoint == 0
            if due or updates == plan.total or stop.signal_number is not None:
                self._save(state, updates)
                saved_at = time.monotonic()
            if updates < plan.total and stop.signal_number is not None:
                raise RunStopped(
                    f"stopped at env_steps {self._env_steps(updates)}, checkpoint saved. "
                    f"Go on with: tolman resume {self._folder.path}",
                    stop.signal_number,
                )

    def _chunk(
        self, state: TrainState, num_updates: int
    ) -> tuple[TrainState, dict[str, float]]:
        """Takes `num_updates` updates; returns the state and a row of finite metrics."""
        began = time.perf_counter()
        state, metrics = self._runner.train(state, num_updates, self._plan.total)
        values = {name: float(value[0]) for name, value in jax.device_get(metrics).items()}
        seconds = time.perf_counter() - began
        updates = int(state.updates[0])
        row = {name: value for name, value in values.items() if math.isfinite(value)}
        # No episode may have ended in these updates: a mean of none is not a divergence.
        bad = [name for name in values if name not in row and not name.startswith("train/")]
        if bad:
            # The total and the gradient are not finite where any term is: name that term.
            first = min(
                bad, key=lambda name: (name == "loss/total", not name.startswith("loss/"))
            )
            raise self._diverged(f"{first} is {values[first]}", updates)
        speed = num_updates * self._runner.decisions_per_update / seconds
        return state, {
            "env_steps": self._env_steps(updates),
            **row,
            "time/env_steps_per_second": speed,
        }

    def _save(self, state: TrainState, updates: int) -> None:
        """Saves a checkpoint, unless its parameters are not finite."""
        state = jax.device_get(state)
        for path, leaf in jax.tree_util.tree_flatten_with_path(state.learner.params)[0]:
            if not np.isfinite(leaf).all():
                name = f"parameter {jax.tree_util.keystr(path)}"
                raise self._diverged(f"{name} is not finite", updates)
        env_steps, seconds = self._env_steps(updates), time.monotonic() - self._started
        self._checkpoints.save(env_steps, state, {"seconds": seconds})
        self._write_status("running", updates)

    def _diverged(self, what: str, updates: int) -> DivergenceError:
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
            f"{what} at env_steps {self._env_steps(updates)} (update {updates}); "
            f"{kept}.{hint}"
        )

    def _write_status(self, state: str, updates: int | None, reason: str = "") -> None:
        """Writes the status; `updates` None keeps the env steps of the last one."""
        if updates is None:
            env_steps = self._folder.status().get("env_steps", 0)
        else:
            env_steps = self._env_steps(updates)
        seconds = time.monotonic() - self._started
        self._folder.write_status(state, env_steps, seconds, reason)

    def _env_steps(self, updates: int) -> int:
        return updates * self._runner.decisions_per_update
