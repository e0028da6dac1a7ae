"""The priorities that a replay holds, and the one that a new item enters with."""

from __future__ import annotations

import numpy as np

from tolman.agents.agent import DataSpec


class PriorityScale:
    """Stores priorities as multiples of the largest one of the first batch.

    A new item enters with the largest priority so far, which is 1 before anything was
    learned. So the scale of the errors changes no draw frequency: neither among items
    learned from, nor between those and the items of before the first update.

    Source: Schaul et al. 2016, "Prioritized Experience Replay", algorithm 1, line 6.
      Departure: p_1 = 1 there is 1 in units of the errors, whatever their scale.

    Attributes:
      largest: stored so far.
    """

    def __init__(self, state: np.ndarray | tuple[()]) -> None:
        """Continues from a state; `()` where nothing is prioritised."""
        self._is_used = len(state) > 0
        self._unit, self.largest = map(float, state) if self._is_used else (0.0, 1.0)

    def scale(self, priorities: np.ndarray) -> np.ndarray:
        """What to store of a batch's priorities, which are above 0."""
        if not self._unit:
            self._unit = float(priorities.max())
        scaled = priorities / self._unit
        self.largest = max(self.largest, float(scaled.max()))
        return scaled

    def state(self) -> np.ndarray | tuple[()]:
        """`[2]` float64, the unit, 0 before there is one, and the largest; or `()`."""
        return np.array([self._unit, self.largest]) if self._is_used else ()


def initial_priorities(data: DataSpec) -> np.ndarray | tuple[()]:
    """The state of a `PriorityScale` of a run that starts."""
    return np.array([0.0, 1.0]) if data.replay == "prioritized" else ()
