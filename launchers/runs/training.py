"""Trains a run in its folder, from the start or from its last checkpoint."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax

from tolman.launchers.catalog.environments import vector_seeds
from tolman.launchers.report.changes import Change
from tolman.launchers.runs.build import build_evaluator, build_runner
from tolman.launchers.runs.changes import (
    check_data,
    check_kept,
    check_reached,
    explain_misfit,
    find_changes,
    told,
)
from tolman.launchers.runs.checkpoints import Checkpoints, MisfitError
from tolman.launchers.runs.folder import RunFolder, hold, new_run, open_run
from tolman.launchers.runs.hooks import Callbacks
from tolman.launchers.runs.job import Job, resolve
from tolman.launchers.runs.loggers import make_loggers
from tolman.launchers.runs.loop import (
    NUM_ROWS,
    Plan,
    Progressed,
    TrainingLoop,
    pick_up,
)
from tolman.launchers.runs.memory import check_job, warn_of_replay
from tolman.launchers.runs.protocol import Runner, State
from tolman.launchers.runs.rates import warn_of_minimum
from tolman.launchers.runs.sink import Sink
from tolman.launchers.runs.stopping import stop_request
from tolman.launchers.runs.transfer import take_parameters
from tolman.launchers.settings.config import TrainConfig
from tolman.launchers.settings.files import to_mapping

MAX_UPDATES_PER_ROW = 100
MAX_UPDATES = 2**31 - 1  # They are counted in 32 bits.


def train(config: TrainConfig, callbacks: Sequence[Any] = ()) -> Path:
    """Trains from the start, or resumes where `config.if_exists` says so.

    Args:
      config: of the run.
      callbacks: objects with some of the methods of `tolman.launchers.runs.hooks`.

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
        with contextlib.closing(job), new_run(config) as folder:
            if folder is None:
                assert config.run_dir is not None
                job.close()
                return resume(Path(config.run_dir).expanduser(), callbacks=callbacks)
            with contextlib.ExitStack() as stack:
                runner = stack.enter_context(contextlib.closing(build_runner(job, folder)))
                own = _Own(config, folder, Callbacks(callbacks), _evaluator(job, stack))
                own.check(runner)
                state, lines = _first_state(job, runner)
                lines = [*lines, *_warnings(job, runner.agent, folder)]
                loop = _loop(own, runner, Progressed(state))
                folder.write_versions(runner.describe_devices())
                folder.write_config(config)
                loop.run(lines)
        return folder.path


def resume(
    path: Path,
    trust: bool = False,
    with_empty_replay: bool = False,
    changes: Mapping[str, Any] | None = None,
    callbacks: Sequence[Any] = (),
) -> Path:
    """Trains on from the last sound checkpoint.

    On-device, to the bits of a run without a break; on the host with fresh environments.

    Args:
      path: the run folder.
      trust: whether its config may name any code; see `catalog.trust`.
      with_empty_replay: go on without what the replay of the checkpoint holds.
      changes: settings to go on with in place of the run's, as in a config file:
        `{"num_env_steps": 2000, "agent.learning_rate": 1e-4}`. Those that were changed in
        its `config.yaml` since are taken, too.
      callbacks: as in `train`.

    Returns:
      The run folder.

    Raises:
      FileNotFoundError: if `path` is no run folder.
      ValueError: if no checkpoint is sound, another process trains this run, it cannot go
        on with a changed setting, or is to end before where it stands.
      RunFailure: if a loss stops being finite, the disk is full, or foreign code fails.
      RunStopped: after SIGINT or SIGTERM.
    """
    with stop_request() as stop, stop.deferred(), contextlib.ExitStack() as stack:
        folder = open_run(path)
        written = folder.config(trust)
        steps, about = Checkpoints(folder.checkpoints).peek("env_steps")
        if changes:
            check_kept(find_changes(to_mapping(written), changes, 0))
        config = folder.config(trust, changes) if changes else written
        job = resolve(config, vector_seeds(config.seed, steps, 1)[0])
        stack.callback(job.close)
        config, settings = job.config, to_mapping(job.config)
        stood = {key: to_mapping(written).get(key) for key in changes or {}}
        before = {**settings, **stood, **about.get("config", {})}
        asked = find_changes(before, settings, 0)
        check_kept(asked)
        check_data(asked, before, job)
        stack.enter_context(hold(path))
        runner = stack.enter_context(contextlib.closing(build_runner(job, folder)))
        own = _Own(config, folder, Callbacks(callbacks), _evaluator(job, stack))
        own.check(runner)
        state, _ = _first_state(job, runner)
        try:
            start = pick_up(runner, make_sink(config, folder), state, with_empty_replay)
        except MisfitError as error:
            raise explain_misfit(asked, error) from error
        units = runner.counts(start.state).units
        check_reached(asked, units)
        before |= start.about.get("config", {})
        changed = find_changes(before, settings, units)
        history = [Change(**change) for change in start.about.get("changes", ())]
        history += changed
        folder.write_config(config, history)
        loop = _loop(own, runner, start, history)
        loop.run([f"from here on: {told(change)}" for change in changed])
        return folder.path


def make_plan(config: TrainConfig, total_updates: int, units_per_update: float) -> Plan:
    """Rounds the config's numbers of units up to whole updates and rows."""
    row = min(max(total_updates // NUM_ROWS, 1), MAX_UPDATES_PER_ROW)
    if config.log_interval is not None:
        row = math.ceil(config.log_interval / units_per_update)
    checkpoint = None
    if config.checkpoint_interval is not None:
        checkpoint = row * math.ceil(config.checkpoint_interval / units_per_update / row)
    evaluation = None
    if config.eval_every is not None:
        evaluation = row * math.ceil(config.eval_every / units_per_update / row)
    num_units = max(config.num_env_steps, round(total_updates * units_per_update))
    return Plan(total_updates, num_units, row, checkpoint, evaluation)


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


@dataclass(frozen=True)
class _Own:
    """What is a run's own beside its runner."""

    config: TrainConfig
    folder: RunFolder
    callbacks: Callbacks
    evaluate: Any

    def check(self, runner: Runner) -> None:
        """Raises ValueError for a callback that waits for what the runner cannot tell."""
        if self.callbacks.want_episodes() and not hasattr(runner, "episodes"):
            raise ValueError(
                f"callback on_episode: launcher {self.config.launcher!r} tells rows only, "
                "not single episodes. Use on_row, or launcher 'local'."
            )


def _warnings(job: Job, agent: Any, folder: RunFolder) -> list[str]:
    """What a user may not have meant, though it can be run."""
    lines, config = warn_of_replay(job, agent, folder.path), job.config
    if job.kind == "acts":
        steps, flag = config.num_env_steps, "--num-env-steps"
        if config.steps_per_task is not None:
            steps, flag = config.steps_per_task, "--steps-per-task"
        lines += warn_of_minimum(agent.data, steps, flag)
        if config.on_env_error == "restart" and not job.source.mends_copies:
            lines.append(
                f"warning: on_env_error='restart': copies of env {config.env!r} are "
                "stepped as one, and none can be restarted. A fault ends the run."
            )
    return lines


def _evaluator(job: Job, stack: contextlib.ExitStack) -> Any:
    """What evaluates the run while it trains, closed by the stack; None for nothing."""
    if job.config.eval_every is None:
        return None
    return stack.enter_context(contextlib.closing(build_evaluator(job)))


def _loop(
    own: _Own, runner: Runner, start: Progressed, changes: Sequence[Change] = ()
) -> TrainingLoop:
    config = own.config
    total = runner.total_updates(config.num_env_steps)
    if total > MAX_UPDATES:
        raise ValueError(
            f"num_env_steps={config.num_env_steps}: must be at most {MAX_UPDATES} updates "
            f"of {runner.units_per_update:g}. Set --num-env-steps."
        )
    plan = make_plan(config, total, runner.units_per_update)
    return TrainingLoop(
        runner,
        make_sink(config, own.folder, changes),
        plan,
        start,
        callbacks=own.callbacks,
        evaluate=own.evaluate,
    )


def make_sink(
    config: TrainConfig, folder: RunFolder, changes: Sequence[Change] = ()
) -> Sink:
    """Where a run of that config leaves what it makes.

    Args:
      config: of the run.
      folder: of the run.
      changes: of its settings, so far.
    """
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
        {"config": to_mapping(config), "changes": [vars(change) for change in changes]},
        config.save_replay,
    )
