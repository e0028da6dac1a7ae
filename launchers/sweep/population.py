"""The runs of a sweep as populations: each trains in one compiled program on the device.

Runs are members of one population if they differ in their seeds, and in settings that are
arrays in the program. While it trains, a population has a folder of its own in the sweep's;
in the end every member gets the folder that it would have had as a run.

Shapes: P members.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from tolman.agents.agent import Array
from tolman.launchers.device.on_device import OnDeviceRunner
from tolman.launchers.report.status import read_status
from tolman.launchers.runs.checkpoints import Checkpoints, check_finite
from tolman.launchers.runs.failures import DivergenceError
from tolman.launchers.runs.folder import RunFolder, hold
from tolman.launchers.runs.job import Job, resolve
from tolman.launchers.runs.loggers import JsonLinesLogger, Row, read_rows
from tolman.launchers.runs.loop import Progressed, TrainingLoop, pick_up
from tolman.launchers.runs.memory import check_job
from tolman.launchers.runs.protocol import MUST_BE_FINITE
from tolman.launchers.runs.sink import Sink
from tolman.launchers.runs.training import make_plan, make_sink
from tolman.launchers.settings.config import TrainConfig
from tolman.launchers.settings.files import to_mapping
from tolman.launchers.sweep.grid import Planned

ARRAYS = ("learning_rate", "entropy_cost")  # Where an agent has them as arrays.
WITHOUT = ("eval_every", "init_from", "loggers", "num_devices")  # What a lone run may have.
METRICS = "metrics.jsonl"
KEY = jax.ShapeDtypeStruct((2,), np.uint32)


class Group(NamedTuple):
    """Runs that are one population.

    Attributes:
      name: of its folder while it trains.
      runs: P of them.
      jobs: theirs.
    """

    name: str
    runs: list[Planned]
    jobs: list[Job]


def find_groups(runs: Sequence[Planned], configs: Sequence[TrainConfig]) -> list[Group]:
    """Puts runs together that one program trains.

    Args:
      runs: of the sweep.
      configs: theirs.

    Raises:
      ValueError: if one of them can be no member of a population, in one line.
    """
    found: dict[str, Group] = {}
    for run, config in zip(runs, configs, strict=True):
        job = resolve(config)
        _check_member(job)
        settings = to_mapping(job.config)
        varied = ["seed", *(f"agent.{name}" for name in _arrays(job))]
        rest = {key: value for key, value in settings.items() if key not in varied}
        key = json.dumps(rest, sort_keys=True, default=str)
        group = found.setdefault(key, Group(f"population-{len(found)}", [], []))
        group.runs.append(run)
        group.jobs.append(job)
    return [*found.values()]


def train_groups(folder: Path, groups: Sequence[Group]) -> list[Planned]:
    """Trains every population that has not been; returns the runs that failed.

    Raises:
      RunStopped: after SIGINT or SIGTERM, with a checkpoint.
    """
    failed = []
    for group in groups:
        if not all(_is_over(folder, run) for run in group.runs):
            _train(folder, group)
        # Here too where this process was killed before it came to this.
        shutil.rmtree(folder / group.name, ignore_errors=True)
        failed += [run for run in group.runs if _state(folder, run) != "finished"]
    return failed


def _check_member(job: Job) -> None:
    config = job.config
    reason = ""
    if job.runner != "on-device/acts":
        reason = f"agent {config.agent!r} on env {config.env!r} trains by {job.runner!r}"
    for name in WITHOUT:
        if getattr(config, name):
            reason = reason or f"{name}={getattr(config, name)!r} is for runs of their own"
    if reason:
        job.close()
        raise ValueError(
            f"sweep_launcher='population': {reason}. Set --sweep-launcher processes."
        )


def _arrays(job: Job) -> list[str]:
    """The settings of an agent that are arrays in its program."""
    agent = job.make_agent()
    there = getattr(jax.eval_shape(agent.init, KEY), "hyperparameters", ())
    return [name for name in ARRAYS if name in getattr(there, "_fields", ())]


def _hyperparameters(agent: Any, configs: Sequence[TrainConfig]) -> Any:
    """What `agent.init` takes, `[P]` each; None where the agent has no such arrays."""
    there = getattr(jax.eval_shape(agent.init, KEY), "hyperparameters", None)
    if there is None:
        return None

    def values(name: str) -> Array:
        return jnp.array(
            [getattr(each.agent_config, name) for each in configs], jnp.float32
        )

    return type(there)(*map(values, there._fields))


def _train(folder: Path, group: Group) -> None:
    """Trains a population to its end, from its last checkpoint if there is one."""
    job, config = group.jobs[0], group.jobs[0].config
    stage = RunFolder(folder / group.name)
    stage.path.mkdir(exist_ok=True)
    agent = job.make_agent()
    check_job(job, agent)
    runner = OnDeviceRunner(
        agent, job.source.environment(), len(group.runs), num_envs=config.num_envs
    )
    sink = Sink(
        stage,
        num_checkpoints_to_keep=1,
        make_loggers=lambda units: [JsonLinesLogger(stage.metrics)],
        how_to_go_on=f"Go on with: tolman sweep --sweep-dir {folder}",
        keeps_replay=config.save_replay,
    )
    print(f"{group.name}: {len(group.runs)} runs in one program", file=sys.stderr)
    configs = [each.config for each in group.jobs]
    keys = jnp.stack([jax.random.PRNGKey(each.seed) for each in configs])
    plan = make_plan(
        config, runner.total_updates(config.num_env_steps), runner.units_per_update
    )
    with hold(stage.path), contextlib.closing(runner):
        start = Progressed(runner.init(keys, _hyperparameters(agent, configs)))
        if stage.status():
            start = pick_up(runner, sink, start.state)
        else:
            stage.write_versions(runner.describe_devices())
        end, ended_by = None, ""
        try:
            end = TrainingLoop(runner, sink, plan, start).run()
        except DivergenceError as error:  # Of every member.
            ended_by = str(error)
        _hand_out(folder, group, runner, end, ended_by)


def _hand_out(
    folder: Path,
    group: Group,
    runner: OnDeviceRunner,
    end: Progressed | None,
    ended_by: str,
) -> None:
    """Writes the run folder of every member.

    Args:
      folder: of the sweep.
      group: the members.
      runner: that has trained them.
      end: None where all have diverged.
      ended_by: what ended the training then. The row in which the last ones diverged is
        not among those that were logged.
    """
    rows = read_rows(folder / group.name / METRICS)
    state: Any = None if end is None else jax.device_get(end.state)
    for index, (run, job) in enumerate(zip(group.runs, group.jobs, strict=True)):
        if _is_over(folder, run):  # This process was killed here before.
            continue
        own, reason = _rows_of(rows, index)
        reason = reason or ended_by
        unfinished = folder / f"{run.name}.unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir()
        config = replace(job.config, run_dir=str(folder / run.name), if_exists="resume")
        target, units = RunFolder(unfinished), 0
        sink = make_sink(config, target)
        target.write_versions(runner.describe_devices())
        for logger in sink.make_loggers(0):
            for row in own:
                logger.write(row)
            logger.close()
        if end is not None and not reason:
            member = runner.member(state, index)
            reason = _problem(runner.params(member))
        if end is not None and not reason:
            units = runner.counts(member).units
            about = {**sink.about, "seconds": end.seconds, "is_over": False}
            Checkpoints(target.checkpoints).save(units, sink.saved(runner, member), about)
        target.write_config(config)
        seconds = 0.0 if end is None else end.seconds
        target.write_status("failed" if reason else "finished", units, seconds, reason)
        unfinished.rename(folder / run.name)


def _rows_of(rows: Sequence[Row], index: int) -> tuple[list[Row], str]:
    """A member's rows, up to where it diverged, and the reason if it did."""
    own: list[Row] = []
    for row in rows:
        (unit, units), *metrics = row.items()
        values = {
            name: value[index] if isinstance(value, list) else value
            for name, value in metrics
        }
        for name, value in values.items():
            if value is None and name.startswith(MUST_BE_FINITE):
                return own, f"{name} is not finite at {unit} {units}"
        own.append({unit: units, **{n: v for n, v in values.items() if v is not None}})
    return own, ""


def _problem(params: Any) -> str:
    try:
        check_finite(params, num_members=1)
    except ValueError as error:
        return str(error)
    return ""


def _state(folder: Path, run: Planned) -> str:
    return str(read_status(folder / run.name).get("state", ""))


def _is_over(folder: Path, run: Planned) -> bool:
    return _state(folder, run) in ("finished", "failed")
