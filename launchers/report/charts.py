"""Charts: numbers to pixels."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from tolman.launchers.report.curves import (
    MAX_POINTS,
    Array,
    Curve,
    bin_curves,
    down_sample,
    finite_points,
    seed_interval,
    short_number,
    smooth,
    ticks,
)
from tolman.launchers.report.series import Series

# Share of a run that one smoothed point averages; the page lets its reader choose.
SMOOTHING = {"off": 0.0, "5 % of the run": 0.05, "20 % of the run": 0.2}
MAX_SMOOTH_POINTS = 300  # Of one drawn curve that is smoothed.
MAX_END_LABELS = 12  # With more lines than this the legend alone names them.
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 640, 290, 62, 168, 10, 44  # Chart, in pixels.
UNITS = {
    "episode_return": "reward per episode",
    "episode_length": "env steps",
    "env_steps_per_second": "env steps per second",
    "param_lag": "learner updates",
}
FULL_NAMES = {"loss": "{} loss", "grad": "gradient {}"}


@dataclass(frozen=True)
class Trace:
    """One line of a chart; `kind` is run, member (one seed of several) or mean."""

    series: int
    kind: str
    steps: Array  # [N]
    values: Array  # [N]
    low: Array | None = None  # [N]
    high: Array | None = None  # [N]


def lay_out_chart(
    metric: str, series: Mapping[int, Series], place: str = ""
) -> dict[str, Any] | None:
    """Lays out the chart of one metric, or None if it has no finite value.

    Args:
      metric: its name.
      series: those to be drawn, by their numbers on the page.
      place: what they were trained on, where the page has several.
    """
    variants = [_traces(metric, series, share) for share in SMOOTHING.values()]
    is_one_of = bool(place) or len(series) > 1  # Else nothing needs a name.
    drawn = [trace for traces in variants for trace in traces]
    if not drawn:
        return None
    curves = [
        run.curves[metric]
        for s in series.values()
        for run in s.runs
        if metric in run.curves
    ]
    reach = _reach(drawn)
    y_range = _y_range(reach, curves, [t for traces in variants[1:] for t in traces])
    ends = [float(step) for trace in drawn for step in trace.steps[[0, -1]]]
    x_range = (min(0.0, *ends), max(ends) if max(ends) > 0 else 1.0)
    return {
        "metric": metric,
        "place": place,
        "x_label": " or ".join(
            dict.fromkeys(
                run.unit.replace("_", " ") for s in series.values() for run in s.runs
            )
        ),
        "y_label": _y_label(metric),
        "beyond": reach if reach[0] < y_range[0] or reach[1] > y_range[1] else None,
        "x_range": x_range,
        "y_range": y_range,
        "x_ticks": [(_x(v, x_range), short_number(v)) for v in ticks(*x_range)],
        "y_ticks": [(_y(v, y_range), short_number(v)) for v in ticks(*y_range)],
        "variants": [
            {
                "lines": [_line(trace, x_range, y_range) for trace in traces],
                "labels": _end_labels(traces, series, y_range) if is_one_of else [],
            }
            for traces in variants
        ],
        "marks": _marks(series, x_range),
        "num_left_out": sum(int((~np.isfinite(values)).sum()) for _, values in curves),
    }


def _marks(
    series: Mapping[int, Series], x_range: tuple[float, float]
) -> list[dict[str, Any]]:
    """Where runs went on with changed settings, and what changed there."""
    found: dict[tuple[int, int], list[str]] = {}
    for index, one in series.items():
        for change in (change for run in one.runs for change in run.changes):
            if x_range[0] <= change.at <= x_range[1]:
                texts = found.setdefault((index, change.at), [])
                texts.append(f"{change.key}: {change.before} \u2192 {change.after}")
    return [
        {"series": index, "x": _x(at, x_range), "text": "; ".join(dict.fromkeys(texts))}
        for (index, at), texts in found.items()
    ]


def _traces(metric: str, series: Mapping[int, Series], share: float) -> list[Trace]:
    """The lines of one chart, each run smoothed over `share` of its points."""
    traces = []
    for index, one in series.items():
        found = [finite_points(run.curves.get(metric)) for run in one.runs]
        curves = [(curve[0], smooth(curve[1], share)) for curve in found if curve]
        binned = bin_curves(curves) if len(curves) > 1 else None
        kind = "run" if binned is None else "member"
        limit = MAX_SMOOTH_POINTS if share else MAX_POINTS
        traces += [Trace(index, kind, *down_sample(curve, limit)) for curve in curves]
        if binned is not None:
            traces.append(Trace(index, "mean", binned[0], *seed_interval(binned[1])))
    return traces


def _y_label(metric: str) -> str:
    group, _, leaf = metric.rpartition("/")
    name = FULL_NAMES.get(group, "{}").format(leaf.replace("_", " "))
    unit = UNITS.get(leaf, name)
    return name if unit == name else f"{name} ({unit})"


def _reach(traces: Sequence[Trace]) -> tuple[float, float]:
    parts = [y for t in traces for y in (t.values, t.low, t.high) if y is not None]
    return min(float(y.min()) for y in parts), max(float(y.max()) for y in parts)


def _y_range(
    reach: tuple[float, float], curves: Sequence[Curve], smoothed: Sequence[Trace]
) -> tuple[float, float]:
    """The axis: somewhat more than the lines reach, unless rare spikes would flatten them.

    Where the lines reach over four times the span of 99 % of the points, the axis
    holds those points and the smoothed lines, and the page tells what lies beyond.
    """
    low, high = reach
    points = np.concatenate([values for _, values in curves])
    inner = np.percentile(points[np.isfinite(points)], [0.5, 99.5])
    if 0 < 4 * (inner[1] - inner[0]) < high - low:
        values = [trace.values for trace in smoothed]
        low = min(float(inner[0]), *(float(y.min()) for y in values))
        high = max(float(inner[1]), *(float(y.max()) for y in values))
    margin = 0.04 * (high - low) or 0.05 * abs(high) or 1.0
    return low - margin, high + margin


def _x(value: Any, span: tuple[float, float]) -> Any:
    return LEFT + (value - span[0]) / (span[1] - span[0]) * (WIDTH - LEFT - RIGHT)


def _y(value: Any, span: tuple[float, float]) -> Any:
    return (
        HEIGHT - BOTTOM - (value - span[0]) / (span[1] - span[0]) * (HEIGHT - TOP - BOTTOM)
    )


def _line(
    trace: Trace, x_range: tuple[float, float], y_range: tuple[float, float]
) -> dict[str, Any]:
    def path(steps: Array, values: Array) -> str:
        places = zip(_x(steps, x_range), _y(values, y_range), strict=True)
        points = [f"{x:.1f},{y:.2f}" for x, y in places]
        # One point alone draws nothing; twice, with round ends, it draws a dot.
        return "M" + "L".join(points * 2 if len(points) == 1 else points)

    band = ""
    if trace.low is not None and trace.high is not None:
        there_and_back = np.concatenate([trace.steps, trace.steps[::-1]])
        band = path(there_and_back, np.concatenate([trace.high, trace.low[::-1]])) + "Z"
    line = path(trace.steps, trace.values)
    return {"series": trace.series, "kind": trace.kind, "path": line, "band": band}


def _end_labels(
    traces: Sequence[Trace], series: Mapping[int, Series], y_range: tuple[float, float]
) -> list[dict[str, Any]]:
    """Names at the line ends, moved apart so that none covers another."""
    ends = {
        trace.series: float(np.clip(_y(trace.values[-1], y_range), TOP, HEIGHT - BOTTOM))
        for trace in traces
        if trace.kind != "member"
    }
    if not ends or len(ends) > MAX_END_LABELS:
        return []
    order = sorted(ends, key=lambda index: ends[index])
    for above, below in pairwise(order):
        ends[below] = max(ends[below], ends[above] + 13)
    ends[order[-1]] = min(ends[order[-1]], HEIGHT - BOTTOM)
    for below, above in pairwise(reversed(order)):
        ends[above] = min(ends[above], ends[below] - 13)
    return [
        {"series": index, "y": ends[index], "text": series[index].label} for index in order
    ]
