"""Trains a run in its folder, from the start or from its last checkpoint."""

from __future__ import annotations

import contextlib
import math
from functools import partial
from pathlib import Path

import jax

from tolman.launchers.catalog.environments import vector_seeds
from tolman.launchers.runs.build import build_runner
from tolman.launchers.runs.checkpoints import Checkpoints
from tolman.launchers.runs.folder import RunFolder, hold, new_run, open_run
from tolman.launchers.runs.job import Job, resolve
from tolman.launchers.runs.loggers import make_loggers
from tolman.launchers.runs.loop import (
    NUM_ROWS,
    Plan,
    Progressed,
    Sink,
    TrainingLoop,
    pick_up,
)
from tolman.launchers.runs.memory import check_job, warn_of_replay
from tolman.launchers.runs.protocol import Runner, State
from tolman.launchers.runs.stopping import stop_request
from tolman.launchers.runs.transfer import take_parameters
from tolman.launchers.settings.config import TrainConfig

MAX_UPDATES_PER_ROW = 100
MAX_UPDATES = 2**31 - 1  # They are counted in 32 bits.


def train(config: TrainConfig) -> Path:
    """Trains from the start, or resumes where `config.if_exists` says so.

    Returns:
      The run folder.

    Raises:
      ValueError: for a config that cannot be run; nothing has been written then.
      RunFailure: if a loss stops being finite, the disk is full, or foreign code fails.
      RunStopped: after SIGINT or SIGTERM.
    """
    with stop_request() as stop, stop.deferred():
        job = resolve(config)
        config = job.config
        with new_run(config) as folder:
            if folder is None:
                assert config.run_dir is not None
                job.source.close()
                return resume(Path(config.run_dir).expanduser())
            with contextlib.closing(build_runner(job, folder)) as runner:
                state, lines = _first_state(job, runner)
                lines = [*lines, *warn_of_replay(job, runner.agent, folder.path)]
                loop = _loop(config, runner, folder, Progressed(state))
                folder.write_versions(runner.describe_devices())
                folder.write_config(config)
                loop.run(lines)
        return folder.path


def resume(path: Path, trust: bool = False, with_empty_replay: bool = False) -> Path:
    """Trains on from the last sound checkpoint.

    On-device, to the bits of a run without a break; on the host with fresh environments.

    Args:
      path: the run folder.
      trust: whether its config may name any code; see `catalog.trust`.
      with_empty_replay: go on without what the replay of the checkpoint holds.

    Returns:
      The run folder.

    Raises:
      FileNotFoundError: if `path` is no run folder.
      ValueError: if no checkpoint is sound, or another process trains this run.
      RunFailure: if a loss stops being finite, the disk is full, or foreign code fails.
      RunStopped: after SIGINT or SIGTERM.
    """
    with stop_request() as stop, stop.deferred():
        folder = open_run(path)
        config = folder.config(trust)
        updates = Checkpoints(folder.checkpoints).latest_updates()
        job = resolve(config, vector_seeds(config.seed, updates, 1)[0])
        config = job.config
        with hold(path), contextlib.closing(build_runner(job, folder)) as runner:
            state, _ = _first_state(job, runner)
            start = pick_up(runner, _sink(config, folder), state, with_empty_replay)
            _loop(config, runner, folder, start).run()
        return folder.path


def make_plan(config: TrainConfig, total_updates: int, units_per_update: float) -> Plan:
    """Rounds the config's numbers of units up to whole updates and rows."""
    row = min(max(total_updates // NUM_ROWS, 1), MAX_UPDATES_PER_ROW)
    if config.log_interval is not None:
        row = math.ceil(config.log_interval / units_per_update)
    checkpoint = None
    if config.checkpoint_interval is not None:
        checkpoint = row * math.ceil(config.checkpoint_interval / units_per_update / row)
    num_units = max(config.num_env_steps, round(total_updates * units_per_update))
    return Plan(total_updates, num_units, row, checkpoint)


def _first_state(job: Job, runner: Runner) -> tuple[State, list[str]]:
    """A fresh state, and lines on where its parameters are from."""
    check_job(job, runner.agent)
    config = job.config
    state = runner.init(jax.random.PRNGKey(config.seed)[None])
    if config.init_from is not None:
        return take_parameters(state, config.init_from, config.fresh)
    if config.fresh:
        raise ValueError("fresh: says what not to take. Set --init-from RUN, too.")
    return state, []


def _loop(
    config: TrainConfig, runner: Runner, folder: RunFolder, start: Progressed
) -> TrainingLoop:
    total = runner.total_updates(config.num_env_steps)
    if total > MAX_UPDATES:
        raise ValueError(
            f"num_env_steps={config.num_env_steps}: must be at most {MAX_UPDATES} updates "
            f"of {runner.units_per_update:g}. Set --num-env-steps."
        )
    plan = make_plan(config, total, runner.units_per_update)
    return TrainingLoop(runner, _sink(config, folder), plan, start)


def _sink(config: TrainConfig, folder: RunFolder) -> Sink:
    rate = getattr(config.agent_config, "learning_rate", None)
    advice = ""
    if rate is not None:
        advice = f" Try a lower --agent.learning-rate (it is {rate:g})."
    return Sink(
        folder,
        config.num_checkpoints_to_keep,
        partial(make_loggers, config, folder),
        f"Go on with: tolman resume {folder.path}",
        advice,
    )
