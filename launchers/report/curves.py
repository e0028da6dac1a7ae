"""The numbers of the page: final values, intervals, bins, smoothing, ticks and formats."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

FINAL_SHARE = 0.1  # A final value is the mean of this last share of the logged points.
MAX_POINTS = 1000  # Of one drawn curve,
MAX_BINS = 100  # and of a mean-and-interval band.

Array = np.ndarray
Curve = tuple[Array, Array]  # env_steps [N], values [N]


def finite_points(curve: Curve | None) -> Curve | None:
    """The points whose value is finite, or None if there are none."""
    if curve is None:
        return None
    finite = np.isfinite(curve[1])
    return (curve[0][finite], curve[1][finite]) if finite.any() else None


def final_value(curve: Curve) -> float:
    """The mean of the last tenth of the logged values, not a number if one is not."""
    values = curve[1]
    return float(np.mean(values[-max(1, round(FINAL_SHARE * len(values))) :]))


def seed_interval(table: Array) -> tuple[Array, Array, Array]:
    """Mean, low and high over the seeds, axis 0 of `table` [S, N]; S at least 2.

    From three seeds on, the 95 % Student interval of the mean; of two, their range,
    because the Student interval of two (12.7 standard errors) tells nothing.
    """
    from scipy.stats import t as student

    num_seeds = len(table)
    mean = table.mean(axis=0)
    if num_seeds < 3:
        return mean, table.min(axis=0), table.max(axis=0)
    error = table.std(axis=0, ddof=1) / math.sqrt(num_seeds)
    half = student.ppf(0.975, num_seeds - 1) * error
    return mean, mean - half, mean + half


def bin_curves(curves: Sequence[Curve]) -> tuple[Array, Array] | None:
    """Averages curves in shared bins of env steps, over the steps that all cover.

    Returns:
      Bin centres [N] and means [S, N], or None if fewer than two bins hold every curve.
    """
    start = max(steps[0] for steps, _ in curves)
    end = min(steps[-1] for steps, _ in curves)
    num_bins = min(MAX_BINS, *(len(steps) for steps, _ in curves))
    if num_bins < 2 or end <= start:
        return None
    # Bins are centred, so that evenly logged points fall on the centres, one in each.
    half = (end - start) / (num_bins - 1) / 2
    edges = np.linspace(start - half, end + half, num_bins + 1)
    counts = np.array([np.histogram(steps, edges)[0] for steps, _ in curves])
    sums = np.array([np.histogram(x, edges, weights=y)[0] for x, y in curves])
    held = (counts > 0).all(axis=0)
    if held.sum() < 2:
        return None
    centres = (edges[1:] + edges[:-1]) / 2
    return centres[held], sums[:, held] / counts[:, held]


def smooth(values: Array, share: float) -> Array:
    """Centred moving average of `values` [N] over `share` of them; shorter at the ends."""
    half = int(share * len(values) / 2)
    total = np.concatenate([[0.0], np.cumsum(values)])
    index = np.arange(len(values))
    first = np.maximum(index - half, 0)
    last = np.minimum(index + half + 1, len(values))
    return values if half == 0 else (total[last] - total[first]) / (last - first)


def down_sample(curve: Curve, max_points: int = MAX_POINTS) -> Curve:
    """Keeps the ends, and the lowest and highest point of each stretch of the curve."""
    steps, values = curve
    if len(steps) <= max_points:
        return curve
    keep = {0, len(steps) - 1}
    for first, last in pairwise(np.linspace(0, len(steps), max_points // 2, dtype=int)):
        stretch = values[first:last]
        keep |= {int(first + stretch.argmin()), int(first + stretch.argmax())}
    index = sorted(keep)
    return steps[index], values[index]


def ticks(low: float, high: float, target: int = 5) -> list[float]:
    """Round numbers within [low, high], about `target` of them, 1, 2 or 5 x 10^n apart."""
    rough = (high - low) / target
    power = 10.0 ** math.floor(math.log10(rough))
    gap = next(m * power for m in (1, 2, 5, 10) if m * power >= rough * (1 - 1e-9))
    return [k * gap for k in range(math.ceil(low / gap), math.floor(high / gap) + 1)]


def short_number(value: float) -> str:
    """Formats a number for an axis or a card: 1500 is 1.5k, 2000000 is 2M."""
    for size, suffix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.4g}{suffix}"
    return f"{value:.4g}"


def format_number(value: Any) -> str:
    """Formats a table cell: floats to four digits, None as a dash, the rest as it is."""
    if value is None:
        return "\u2013"
    if isinstance(value, float) and not value.is_integer():
        return f"{value:.4g}"
    return f"{value:.0f}" if isinstance(value, float) else str(value)


def duration(seconds: float) -> str:
    """Formats seconds: `42 s`, `12 min 5 s`, `3 h 20 min`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{seconds:.3g} s"
