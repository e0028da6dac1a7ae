"""What a sweep came to: an interval over seeds for each setting, and one page."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tolman.launchers.report import write_report
from tolman.launchers.report.curves import final_value, finite_points
from tolman.launchers.report.folders import read_run
from tolman.launchers.report.status import read_status
from tolman.launchers.sweep.grid import Planned

SCORES = ("eval/episode_return", "train/episode_return", "train/accuracy")
NUM_RESAMPLES = 10_000
TRIMMED = 0.25  # Of either end.


class Summary(NamedTuple):
    """One setting.

    Attributes:
      setting: of the swept flags.
      num_seeds: runs that have finished.
      score: the interquartile mean of their final scores; NaN where none has one.
      low: of its 95 % interval; NaN where fewer than two runs have finished.
      high: of it.
    """

    setting: str
    num_seeds: int
    score: float
    low: float
    high: float


def summarise(folder: Path, runs: Sequence[Planned]) -> list[Summary]:
    """The settings of a sweep, the best first."""
    scores: dict[str, list[float]] = {run.setting: [] for run in runs}
    for run in runs:
        score = _score(folder / run.name)
        if score is not None:
            scores[run.setting].append(score)
    found = [
        Summary(setting, len(values), *interquartile_mean(np.array(values)))
        for setting, values in scores.items()
    ]
    return sorted(found, key=lambda row: -np.nan_to_num(row.score, nan=-np.inf))


def interquartile_mean(scores: np.ndarray) -> tuple[float, float, float]:
    """The mean without the lowest and highest quarter, and its 95 % bootstrap interval.

    Runs are drawn anew within their setting, with replacement. Fewer than four lose none.

    Args:
      scores: `[S]` of the seeds of one setting; NaN all over where S is 0. One seed says
        nothing of others: its interval is NaN.

    Source: Agarwal et al. 2021, "Deep Reinforcement Learning at the Edge of the
      Statistical Precipice", section 4.
    """
    from scipy.stats import trim_mean

    if len(scores) < 2:
        return float(scores[0]) if len(scores) else math.nan, math.nan, math.nan
    rng = np.random.default_rng(0)
    drawn = scores[rng.integers(len(scores), size=(NUM_RESAMPLES, len(scores)))]
    low, high = np.percentile(trim_mean(drawn, TRIMMED, axis=1), [2.5, 97.5])
    return float(trim_mean(scores, TRIMMED)), float(low), float(high)


def table(rows: Sequence[Summary]) -> list[str]:
    """The settings as lines of text."""
    cells = [("setting", "seeds", "score", "95 % interval")]
    cells += [
        (
            row.setting or "as it is",
            str(row.num_seeds),
            "-" if math.isnan(row.score) else f"{row.score:.4g}",
            "-" if math.isnan(row.low) else f"{row.low:.4g} to {row.high:.4g}",
        )
        for row in rows
    ]
    widths = [max(len(row[column]) for row in cells) for column in range(4)]
    return [
        "  ".join(
            cell.ljust(width) for cell, width in zip(row, widths, strict=True)
        ).rstrip()
        for row in cells
    ]


def write_page(folder: Path, runs: Sequence[Planned]) -> Path | None:
    """One page with the curves of all runs; None where none has begun."""
    begun = [
        folder / run.name for run in runs if (folder / run.name / "config.yaml").is_file()
    ]
    return write_report(begun, folder / "report.html") if begun else None


def as_json(rows: Sequence[Summary]) -> list[dict[str, Any]]:
    """The settings, for a file."""
    return [
        {name: None if value != value else value for name, value in row._asdict().items()}
        for row in rows
    ]


def _score(run: Path) -> float | None:
    """The mean of the last tenth of its scores; None where it has not finished."""
    if read_status(run).get("state") != "finished":
        return None
    curves = read_run(run).curves
    for metric in SCORES:
        curve = finite_points(curves.get(metric))
        if curve is not None:
            return final_value(curve)
    return None
