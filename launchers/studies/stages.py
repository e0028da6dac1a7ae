"""One training stage of a study: a population, taken up where an interruption left it.

Shapes: P members, C points of the curves.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from tolman.launchers.runs.checkpoints import Checkpoints
from tolman.launchers.runs.progress import SHOWN, Progress

NUM_CURVE_POINTS = 50
CHECKPOINT_SECONDS = 30.0


class Population(Protocol):
    """What trains members: the on-device runner or the supervised one."""

    num_members: int

    def place(self, state: Any) -> Any: ...

    def train(
        self, state: Any, num_updates: int, total_updates: int
    ) -> tuple[Any, dict[str, Any]]: ...


class Stage(NamedTuple):
    """A stage that is done.

    Attributes:
      state: the population's, with fields `learner` and `updates`.
      updates: `[C]`, of one member, at each point of the curves.
      curves: metric to `[C, P]`, means since the point before.
    """

    state: Any
    updates: np.ndarray
    curves: dict[str, np.ndarray]


def run_stage(
    folder: Path,
    label: str,
    population: Population,
    state: Any,
    total: int,
    unit: str = "updates",
    per_update: int = 1,
) -> Stage:
    """Trains a population to the end of its stage.

    Args:
      folder: of the study; checkpoints go to `training/<label>`.
      label: names the stage.
      population: what trains.
      state: a fresh one; the last checkpoint stands in for it where there is one.
      total: updates of each member.
      unit: what progress is shown in.
      per_update: units in one update of a member.

    Raises:
      ValueError: if a loss is finite for no member any more.
    """
    checkpoints = Checkpoints(folder / "training" / label, keep=1)
    curve: list[dict[str, Any]] = []
    if checkpoints.latest() is not None:
        checkpoint = checkpoints.restore(state)
        state, curve = population.place(checkpoint.state), checkpoint.metadata["curve"]
    done = _updates(state)
    print(f"Training {label}: {population.num_members} members", flush=True)
    size = done * per_update, total * per_update
    with Progress(*size, folder / "log.txt", unit=unit) as progress:
        if done < total:
            state, _ = population.train(state, 0, total)  # Compiles; trains nothing.
        saved_at = time.monotonic()
        while done < total:
            began, before = time.monotonic(), done
            state, metrics = population.train(state, next_point(done, total) - done, total)
            done = _updates(state)
            _require_finite(label, metrics)
            values = {name: np.asarray(value) for name, value in metrics.items()}
            rows = {name: [float(x) for x in value] for name, value in values.items()}
            curve.append({"updates": done, "metrics": rows})
            speed = (done - before) * per_update / (time.monotonic() - began)
            progress.update(_progress_row(unit, done * per_update, speed, values))
            if done == total or time.monotonic() - saved_at > CHECKPOINT_SECONDS:
                checkpoints.save(done * per_update, state, {"curve": curve})
                saved_at = time.monotonic()
    names = curve[0]["metrics"]
    curves = {name: np.array([point["metrics"][name] for point in curve]) for name in names}
    return Stage(state, np.array([point["updates"] for point in curve]), curves)


def next_point(done: int, total: int) -> int:
    """The first of `NUM_CURVE_POINTS` even points of the curve that lies after `done`."""
    point = done * NUM_CURVE_POINTS // total + 1
    return min(max(-(-point * total // NUM_CURVE_POINTS), done + 1), total)


def _updates(state: Any) -> int:
    """Of the member that is furthest: one that diverged may have stopped earlier."""
    return int(np.max(np.asarray(state.updates)))


def _require_finite(label: str, metrics: Mapping[str, Any]) -> None:
    losses = {name: np.asarray(value) for name, value in metrics.items() if "loss/" in name}
    for name, value in losses.items():
        if not np.isfinite(value).any():
            raise ValueError(
                f"training {label!r}: {name} is finite for no member any more. Lower the "
                "learning rates of the sample."
            )


def _progress_row(
    unit: str, done: int, speed: float, metrics: Mapping[str, np.ndarray]
) -> dict[str, float]:
    row = {unit: float(done), f"time/{unit}_per_second": speed}
    for name, values in metrics.items():
        if name in SHOWN and np.isfinite(values).any():
            row[name] = float(np.nanmedian(values))
    return row
