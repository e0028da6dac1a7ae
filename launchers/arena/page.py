"""The page of a tournament: ratings, rating curve over training, cross table, faults."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2

from tolman.launchers.report.whole import replace_text

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
CHECKPOINT = re.compile(r"^(?P<run>.+)@(?P<steps>\d+)(?P<keys>\?.*)?$")


def write_page(result: Mapping[str, Any], path: Path) -> None:
    """Writes the page of what `run_tournament` returned."""
    template = Path(__file__).with_name("tournament.html").read_text()
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    ratings = result["ratings"]
    names = sorted(ratings, key=lambda name: -ratings[name]["elo"])
    counts = {(row[0], row[1]): row[2:] for row in result["cross_table"]}
    curves = rating_curves(ratings)
    page = environment.from_string(template).render(
        result=result,
        names=names,
        ratings=ratings,
        counts=counts,
        ratings_figure=_ratings_figure(ratings, names, result["anchor"]),
        curve_figure=_curve_figure(curves, ratings) if curves else "",
    )
    replace_text(path, page)


def rating_curves(
    ratings: Mapping[str, Mapping[str, float]],
) -> dict[str, list[tuple[int, float, float, float]]]:
    """Elo, low and high by env steps, of each run with two checkpoints or more."""
    curves: dict[str, list[tuple[int, float, float, float]]] = {}
    for name, rating in ratings.items():
        match = CHECKPOINT.match(name)
        if match is not None:
            point = int(match["steps"]), rating["elo"], rating["low"], rating["high"]
            curves.setdefault(match["run"] + (match["keys"] or ""), []).append(point)
    return {run: sorted(points) for run, points in curves.items() if len(points) > 1}


def _ratings_figure(
    ratings: Mapping[str, Mapping[str, float]], names: list[str], anchor: str | None
) -> str:
    figure, axes = _axes(1.2 + 0.32 * len(names))
    for place, name in enumerate(reversed(names)):
        rating = ratings[name]
        axes.plot([rating["low"], rating["high"]], [place, place], color=COLOURS[0])
        axes.plot(rating["elo"], place, "o", color=COLOURS[0])
        axes.annotate(
            f"{rating['elo']:.0f}",
            (rating["elo"], place),
            xytext=(0, 6),
            textcoords="offset points",
            ha="center",
            fontsize=8,
        )
    axes.set_yticks(range(len(names)), [_short(name) for name in reversed(names)])
    axes.set_ylim(-0.6, len(names) - 0.2)
    zero = f"{_short(anchor)} = 0" if anchor else "mean = 0"
    axes.set_xlabel(f"Elo ({zero}), 95 % interval")
    axes.grid(axis="x", alpha=0.3)
    return _as_uri(figure)


def _curve_figure(
    curves: Mapping[str, list[tuple[int, float, float, float]]],
    ratings: Mapping[str, Mapping[str, float]],
) -> str:
    figure, axes = _axes(3.8)
    for index, (run, points) in enumerate(curves.items()):
        colour = COLOURS[index % len(COLOURS)]
        steps, elo, low, high = zip(*points, strict=True)
        axes.plot(steps, elo, "o-", color=colour, label=_short(run))
        axes.fill_between(steps, low, high, color=colour, alpha=0.15, linewidth=0)
    others = [name for name in ratings if CHECKPOINT.match(name) is None]
    for name in others:
        axes.axhline(ratings[name]["elo"], color="#7f7f7f", linewidth=0.8, linestyle="--")
        axes.annotate(
            _short(name),
            (1.0, ratings[name]["elo"]),
            xycoords=("axes fraction", "data"),
            xytext=(3, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
        )
    axes.set_xlabel("env steps of training")
    axes.set_ylabel("Elo")
    axes.legend(frameon=False, fontsize=8)
    return _as_uri(figure)


def _axes(height: float) -> Any:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.5, height), layout="constrained")
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _short(name: str) -> str:
    """The end of a long name, where names differ."""
    return name if len(name) <= 36 else "…" + name[-35:]


def _as_uri(figure: Any) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=130)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
