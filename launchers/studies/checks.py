"""What a study claims, beside what it measured, and how sure a measured number is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# A bar for a known value lies so many standard errors beside it: chance crosses it in one
# of 16,000 checks, so in one of 1,600 runs of a study with ten such checks.
SIGMAS = 4.0


@dataclass(frozen=True)
class Check:
    """One claim of the paper beside what was measured.

    Attributes:
      claim: in one sentence.
      paper: what the paper reports, or where the reference value comes from.
      measured: the number.
      bar: what it must be, such as "> 0.3".
      passed: whether it is.
    """

    claim: str
    paper: str
    measured: float
    bar: str
    passed: bool


def standard_error(values: np.ndarray) -> float:
    """Of the mean of independent values, `[E]`.

    Raises:
      ValueError: if there are fewer than two.
    """
    if len(values) < 2:
        raise ValueError(f"{len(values)} values: a standard error needs at least 2.")
    return float(np.std(values, ddof=1) / np.sqrt(len(values)))
