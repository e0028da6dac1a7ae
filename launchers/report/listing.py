"""The runs and studies in a folder, one line each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tolman.launchers.report.curves import finite_points
from tolman.launchers.report.folders import read_curves, read_study
from tolman.launchers.report.status import STATUS, read_status

# What tells best how good a run is, where it has it.
SCORES = (
    "eval/episode_return",
    "train/episode_return",
    "eval/accuracy",
    "train/accuracy",
    "board/elo",
    "loss/total",
)
COLUMNS = ("run", "state", "trained", "score")


def list_runs(folder: Path) -> list[str]:
    """A table of the runs and studies in a folder, the one that changed last first.

    Raises:
      ValueError: if there is no such folder.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder}: no such folder. Name the one that holds the runs.")
    found = [(path, *row) for path in folder.iterdir() if (row := _row(path)) is not None]
    found.sort(key=lambda row: row[0].stat().st_mtime, reverse=True)
    if not found:
        return [f"no runs in {folder}/"]
    rows = [COLUMNS, *((path.name, *row) for path, *row in found)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(COLUMNS))]
    return [
        "  ".join(
            cell.ljust(width) for cell, width in zip(row, widths, strict=True)
        ).rstrip()
        for row in rows
    ]


def _row(path: Path) -> tuple[str, str, str] | None:
    """State, how far it is, and its score; None for what is neither run nor study."""
    if (path / "study.json").is_file():
        return _study_row(path)
    if not (path / "config.yaml").is_file() and not (path / STATUS).is_file():
        return None
    status = read_status(path)
    unit = str(status.get("unit", "env_steps"))
    trained = status.get(unit)
    told = f"{trained:,} {unit}" if isinstance(trained, int) else ""
    return str(status.get("state", "not begun")), told, _score(path)


def _study_row(path: Path) -> tuple[str, str, str]:
    if not (path / "result.json").is_file():
        return "unfinished", "", ""
    try:
        study = read_study(path)
    except ValueError:
        return "broken", "", ""
    checks = study.result["checks"]
    seconds: Any = study.result.get("seconds")
    told = f"{seconds:.0f} s" if isinstance(seconds, int | float) else ""
    return "finished", told, f"{study.num_passed} of {len(checks)} checks passed"


def _score(path: Path) -> str:
    """The last value of the metric that tells most."""
    try:
        curves = read_curves(path / "metrics.jsonl")
    except ValueError:
        return "metrics.jsonl is broken"
    for name in SCORES:
        curve = finite_points(curves.get(name))
        if curve is not None:
            return f"{name} {curve[1][-1]:.4g}"
    return ""
