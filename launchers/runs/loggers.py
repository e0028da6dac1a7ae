"""Where metrics go: JSON lines, TensorBoard, W&B, or an object of the user's."""

from __future__ import annotations

import json
import os
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from tolman.launchers.catalog.names import import_attribute
from tolman.launchers.runs.folder import RunFolder
from tolman.launchers.settings.config import TrainConfig, to_mapping

X_AXIS = "env_steps"


class Logger(Protocol):
    """Takes rows of metrics, all values finite."""

    def write(self, row: dict[str, float]) -> None:
        """Takes one row; `row["env_steps"]` says when."""
        ...

    def close(self) -> None:
        """Takes no more."""
        ...


class JsonLinesLogger:
    """One JSON object a line, on disk as soon as `write` returns."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("a")

    def write(self, row: dict[str, float]) -> None:
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

    def write(self, row: dict[str, float]) -> None:
        """Adds every value but the x axis."""
        for name, value in row.items():
            if name != X_AXIS:
                self._writer.add_scalar(name, value, int(row[X_AXIS]))

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

    def write(self, row: dict[str, float]) -> None:
        """Logs the row at its env step."""
        self._run.log(row, step=int(row[X_AXIS]))

    def close(self) -> None:
        """Ends the run."""
        self._run.finish()


def make_loggers(config: TrainConfig, folder: RunFolder, env_steps: int) -> list[Logger]:
    """Opens the loggers of a run that stands at `env_steps`."""
    loggers: list[Logger] = []
    for name in config.loggers:
        if name == "wandb":
            loggers.append(WandbLogger(folder.path, to_mapping(config)))
        else:
            target = import_attribute(name, "logger")
            loggers.append(target() if isinstance(target, type) else target)
    loggers.append(JsonLinesLogger(folder.metrics))
    loggers.append(TensorBoardLogger(folder.path, env_steps + 1 if env_steps else 0))
    return loggers


def cut_metrics(path: Path, env_steps: int) -> None:
    """Drops every row after `env_steps`, and a last line that was never finished."""
    if not path.exists():
        return
    kept = []
    for line in path.read_text().splitlines():
        try:
            if json.loads(line)[X_AXIS] <= env_steps:
                kept.append(line + "\n")
        except (ValueError, KeyError, TypeError):
            continue
    unfinished = path.with_name(f"{path.name}.unfinished")
    unfinished.write_text("".join(kept))
    unfinished.replace(path)
