"""Where metrics go: JSON lines, TensorBoard, W&B, or an object of the user's."""

from __future__ import annotations

import contextlib
import json
import math
import os
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from tolman.launchers.catalog.names import import_attribute
from tolman.launchers.report.whole import replace_text
from tolman.launchers.runs.folder import RunFolder
from tolman.launchers.settings.config import TrainConfig
from tolman.launchers.settings.files import to_mapping

Row = dict[str, Any]  # Its first key is the x axis: {"env_steps": 40, "loss/policy": 0.5}.


class Logger(Protocol):
    """Takes rows of metrics, all values finite numbers."""

    def write(self, row: Row) -> None:
        """Takes one row; the value of its first key, the run's unit, says when."""
        ...

    def close(self) -> None:
        """Takes no more."""
        ...


class JsonLinesLogger:
    """One JSON object a line, on disk as soon as `write` returns."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("a")

    def write(self, row: Row) -> None:
        """Appends the row."""
        self._file.write(json.dumps(row) + "\n")
        self._file.flush()

    def close(self) -> None:
        """Closes the file."""
        self._file.close()


class TensorBoardLogger:
    """Scalars for TensorBoard."""

    def __init__(self, folder: Path, first_step: int) -> None:
        """Opens an event file, which voids what older ones hold from `first_step` on."""
        from tensorboardX import SummaryWriter

        purge = first_step if first_step > 0 else None
        # The file's own name tells seconds only: resumed within one, it was overwritten.
        suffix = f".{time.time_ns()}"
        self._writer = SummaryWriter(str(folder), purge_step=purge, filename_suffix=suffix)

    def write(self, row: Row) -> None:
        """Adds every value but the x axis."""
        (_, step), *metrics = row.items()
        for name, value in metrics:
            self._writer.add_scalar(name, value, int(step))

    def close(self) -> None:
        """Flushes and closes the file."""
        self._writer.close()


class WandbLogger:
    """Weights & Biases; a resumed run goes on in the same chart."""

    def __init__(self, folder: Path, config: Mapping[str, Any]) -> None:
        import wandb

        known = folder / "wandb_id.txt"
        if not known.exists():
            known.write_text(uuid.uuid4().hex)
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", "tolman"),
            name=folder.name,
            id=known.read_text(),
            resume="allow",
            dir=str(folder),
            config=dict(config),
        )

    def write(self, row: Row) -> None:
        """Logs the row at its place on the x axis."""
        self._run.log(row, step=int(next(iter(row.values()))))

    def close(self) -> None:
        """Ends the run."""
        self._run.finish()


def make_loggers(config: TrainConfig, folder: RunFolder, units: int) -> list[Logger]:
    """Opens the loggers of a run that stands at `units`."""
    loggers: list[Logger] = []
    for name in config.loggers:
        if name == "wandb":
            loggers.append(WandbLogger(folder.path, to_mapping(config)))
        else:
            target = import_attribute(name, "logger")
            loggers.append(target() if isinstance(target, type) else target)
    loggers.append(JsonLinesLogger(folder.metrics))
    loggers.append(TensorBoardLogger(folder.path, units + 1 if units else 0))
    return loggers


def read_rows(path: Path, last: float = math.inf) -> list[Row]:
    """The rows up to `last` units; none of a line that was never finished."""
    rows = []
    for line in path.read_text().splitlines() if path.exists() else ():
        with contextlib.suppress(ValueError, AttributeError, StopIteration, TypeError):
            row = json.loads(line)
            if next(iter(row.values())) <= last:
                rows.append(row)
    return rows


def cut_metrics(path: Path, last: int) -> None:
    """Drops every row after `last` units, and a last line that was never finished."""
    if path.exists():
        rows = read_rows(path, last)
        replace_text(path, "".join(json.dumps(row) + "\n" for row in rows))


def make_row(unit: str, units: int, metrics: Mapping[str, Any]) -> Row:
    """A row of metrics, `[P]` each: numbers of one member, lists of several.

    What is not finite is left out of a number and None in a list.
    """
    row: Row = {unit: units}
    for name, values in metrics.items():
        plain = [float(value) if np.isfinite(value) else None for value in values]
        if len(plain) > 1 or plain[0] is not None:
            row[name] = plain if len(plain) > 1 else plain[0]
    return row


def read_curves(
    rows: Sequence[Row], num_members: int
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """What `make_row` wrote, as arrays.

    Returns:
      `[C]` units, and metric to `[C, P]`, NaN where it was not finite.
    """
    names = dict.fromkeys(name for row in rows for name in list(row)[1:])
    missing = [None] * num_members

    def column(name: str) -> np.ndarray:
        cells = [np.atleast_1d(np.array(row.get(name, missing), float)) for row in rows]
        return np.stack(cells)

    curves = {name: column(name) for name in names if not name.startswith("time/")}
    return np.array([next(iter(row.values())) for row in rows]), curves
