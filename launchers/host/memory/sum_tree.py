"""Draws in proportion to weights that change: a tree of sums.

Shapes: n draws or changes at a time.
"""

from __future__ import annotations

import numpy as np

BRANCHES = 64  # A level costs a call of NumPy, a branch next to nothing.


class SumTree:
    """Weights, and over them the sums of 64, of 64 of those, and so on up to one.

    A change sums anew what stands above it, so no rounding adds up.

    Source: Schaul et al. 2016, "Prioritized Experience Replay", appendix B.2.1.
      Departure: 64 branches a node, and independent draws in place of one from each of n
      equal parts.
    """

    def __init__(self, size: int) -> None:
        """Weights of 0 at `size` places."""
        self._levels = []
        while True:
            nodes = -(-size // BRANCHES)
            self._levels.append(np.zeros((nodes, BRANCHES)))
            if nodes == 1:
                break
            size = nodes

    @property
    def total(self) -> float:
        """The sum of all weights."""
        return float(self._levels[-1].sum())

    def get(self, places: np.ndarray) -> np.ndarray:
        """The weights at these places, `[n]`."""
        return self._levels[0].ravel()[places]

    def set(self, places: np.ndarray, weights: np.ndarray | float) -> None:
        """Changes the weights at places, `[n]`; of one named twice, the last holds."""
        self._levels[0].ravel()[places] = weights
        for level, above in zip(self._levels[:-1], self._levels[1:], strict=True):
            places = places // BRANCHES
            above.ravel()[places] = level[places].sum(axis=-1)

    def find(self, points: np.ndarray) -> np.ndarray:
        """The places, `[n]`, where the running sum of weights goes above points, `[n]`.

        Of points drawn evenly from [0, total) each place has its weight's share.
        """
        nodes, rest = np.zeros(len(points), np.int64), points.copy()
        rows = np.arange(len(points))
        for level in reversed(self._levels):
            weights = level[nodes]  # [n, branches]
            sums = weights.cumsum(axis=-1)
            # A sum of sums rounds: no point may lie beyond the last of them.
            rest = np.minimum(rest, np.nextafter(sums[:, -1], 0.0))
            branches = (sums <= rest[:, None]).sum(axis=-1)
            rest -= sums[rows, branches] - weights[rows, branches]
            rest = np.maximum(rest, 0.0)
            nodes = nodes * BRANCHES + branches
        return nodes
