"""One training stage of a study: a population, taken up where an interruption left it.

Shapes: P members, C points of the curves.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tolman.agents.agent import Array, Params
from tolman.launchers.runs.folder import RunFolder, hold
from tolman.launchers.runs.loggers import JsonLinesLogger, Row, read_curves, read_rows
from tolman.launchers.runs.loop import (
    AfterRow,
    Plan,
    Progressed,
    TrainingLoop,
    pick_up,
)
from tolman.launchers.runs.protocol import Runner
from tolman.launchers.runs.sink import Sink


class Stage(NamedTuple):
    """A stage that is done.

    Attributes:
      params: `[P, ...]`, host arrays.
      units: `[C]`, of one member, at each point of the curves.
      curves: metric to `[C, P]`, means since the point before; NaN of none.
      rows: the same as they stand in `metrics.jsonl`.
      seconds: of training, compilation included.
    """

    params: Params
    units: np.ndarray
    curves: dict[str, np.ndarray]
    rows: list[Row]
    seconds: float


def run_stage(
    folder: Path,
    runner: Runner,
    keys: Array,
    num_units: int,
    hyperparameters: Any = None,
    after_row: AfterRow | None = None,
    num_rows: int | None = None,
) -> Stage:
    """Trains a population to the end of its stage.

    Args:
      folder: of the stage; holds what a run folder holds but for the config.
      runner: what trains.
      keys: `[P, 2]`, one a member.
      num_units: of each member, rounded up to whole updates.
      hyperparameters: pytree of `[P]` that `agent.init` takes, or None.
      after_row: see `TrainingLoop`.
      num_rows: about so many points of the curves, each after equally many updates; None
        for 50 that end the last one at the end of the stage.

    Raises:
      ValueError: if the folder holds a stage of an earlier version.
      RunFailure: if a loss is finite for no member any more, or the disk is full.
      RunStopped: after SIGINT or SIGTERM.
    """
    import jax

    folder.mkdir(parents=True, exist_ok=True)
    if any(path.name.isdigit() for path in folder.iterdir()):
        raise ValueError(
            f"{folder}: holds checkpoints of an earlier version of Tolman. Choose another "
            "folder."
        )
    stage = RunFolder(folder)
    print(f"Training {folder.name}: {runner.num_members} members", flush=True)
    total = runner.total_updates(num_units)
    row = None if num_rows is None else max(total // num_rows, 1)
    plan = Plan(total, max(num_units, round(total * runner.units_per_update)), row)
    sink = Sink(
        stage,
        num_checkpoints_to_keep=1,
        make_loggers=lambda units: [JsonLinesLogger(stage.metrics)],
        how_to_go_on="Start the study again in its folder to go on.",
        advice=f" Lower the learning rates of the training {folder.name!r}.",
    )
    with hold(folder), contextlib.closing(runner):
        start = Progressed(runner.init(keys, hyperparameters))
        if stage.status():
            start = pick_up(runner, sink, start.state)
        else:
            stage.write_versions(runner.describe_devices())
        end = TrainingLoop(runner, sink, plan, start, after_row).run()
        # A copy: the runner gives away the memory of its state.
        params = jax.tree.map(np.array, jax.device_get(runner.params(end.state)))
    rows = read_rows(stage.metrics)
    return Stage(params, *read_curves(rows, runner.num_members), rows, end.seconds)
