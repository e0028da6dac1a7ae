"""Random patterns: how long a linear network remembers the first of many, exactly.

A linear network of n weights learns one random pattern after another, by gradient descent
or under EWC. How far the answer to the first one stands out from what the others left is
computed without any simulation.

Shapes: T patterns.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tolman.launchers.studies.figures import COLOURS, axes
from tolman.launchers.studies.study import Study

TITLE = "Random patterns: how long the first one is remembered"
PAPER = "Kirkpatrick et al. 2017, section 2.1 and appendix"
NUM_WEIGHTS = {True: 300, False: 1_000}  # Of the quick setting and the paper's.

Stiffness = Callable[[int], float]


def signal_to_noise(
    num_weights: int, num_patterns: int, stiffness: Stiffness
) -> np.ndarray:
    """`[T]`, of the first pattern when t have been learned; inf when it is alone.

    Patterns x have entries of +-1/sqrt(n) and answers y of +-1, all by fair coins. Pattern
    t moves the weights by x (y - w.x) / (1 + stiffness(t)), from 0. The signal is the mean
    of y_1 (w.x_1) over all patterns, the noise its standard deviation. Mean, second moment
    and the mean of |w|^2 follow from those a pattern earlier.

    Args:
      num_weights: n.
      num_patterns: T.
      stiffness: of pattern t, counted from 1.

    Source: Kirkpatrick et al. 2017, appendix.
      Departure: exact for n weights, where the paper has approximations for large n.
    """
    n, found = num_weights, np.zeros(num_patterns)
    mean = second = square = 0.0
    for t in range(1, num_patterns + 1):
        step = 1.0 / (1.0 + stiffness(t))
        if t == 1:
            mean, second, square = step, step**2, step**2
        else:
            # E[(x.x_1)^2 (w.x)^2], of signs that are independent.
            both = (square + 2.0 * second - 2.0 * square / n) / n**2
            mean *= 1.0 - step / n
            second += -2.0 * step * second / n + step**2 * (1.0 / n + both)
            square += -2.0 * step * square / n + step**2 * (1.0 + square / n)
        noise = np.sqrt(max(second - mean**2, 0.0))
        found[t - 1] = mean / noise if t > 1 else np.inf
    return found


def gradient_descent(num_weights: int) -> Stiffness:
    """Every pattern is learned alike."""
    return lambda pattern: 1.0 / num_weights


def elastic(num_weights: int) -> Stiffness:
    """Each pattern adds its Fisher, 1/n of every weight, to what holds them."""
    return lambda pattern: pattern / num_weights


def slope(ratio: np.ndarray, pattern: int) -> float:
    """The slope of log ratio over log t at a pattern, between a tenth less and more."""
    low, high = round(0.9 * pattern), round(1.1 * pattern)
    rise = np.log(ratio[high - 1] / ratio[low - 1])
    return float(rise / np.log(high / low))


def run(study: Study) -> None:
    """Computes both curves, and checks how they fall."""
    n = NUM_WEIGHTS[study.quick]
    study.settings = {"num_weights": n}
    plain, held = (
        signal_to_noise(n, 10 * n, make(n)) for make in (gradient_descent, elastic)
    )
    early, late = n // 20, 2 * n
    study.check("EWC, slope at 2 n", slope(held, late), "-0.5", above=-0.7, below=-0.4)
    study.check("gradient descent, slope at 2 n", slope(plain, late), "exponential",
                below=-0.9)  # fmt: skip
    apart = abs(slope(plain, early) - slope(held, early))
    study.check("difference of the slopes at n / 20", apart, "both -0.5", below=0.1)
    at = round(2.9 * n) - 1
    study.check("EWC over gradient descent at 2.9 n", held[at] / plain[at], "above",
                above=5.0)  # fmt: skip
    rows = [
        [f"{t / n:g} n", f"{plain[t - 1]:.3f}", f"{held[t - 1]:.3f}",
         f"{slope(plain, t):.2f}", f"{slope(held, t):.2f}"]
        for t in (early, n // 2, n, late, 3 * n, 5 * n)
    ]  # fmt: skip
    columns = ["patterns", "SGD", "EWC", "slope of SGD", "slope of EWC"]
    study.table(f"Signal to noise of the first pattern, n = {n}", columns, rows)
    draw(study, n, {"SGD": plain, "EWC": held})


def draw(study: Study, num_weights: int, curves: dict[str, np.ndarray]) -> None:
    """Draws both curves on logarithmic axes."""
    figure, (one,) = axes()
    for colour, (name, values) in zip(COLOURS, curves.items(), strict=False):
        patterns = np.arange(2, len(values) + 1) / num_weights
        one.loglog(patterns, values[1:], color=colour, label=name)
    one.set_ylim(1e-2, None)
    one.set_xlabel("patterns learned / n")
    one.set_ylabel("signal to noise of the first")
    one.legend(frameon=False, fontsize=8)
    study.figure(
        figure, "signal_to_noise",
        f"Signal to noise of the first of many random patterns in a linear network of "
        f"{num_weights} weights, exact.",
    )  # fmt: skip
