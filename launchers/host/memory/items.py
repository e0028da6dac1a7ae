"""The items of a replay: which rows each is made of, the oldest first to go.

Shapes: C items kept at most, T + 1 rows an item, n items at a time.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tolman.agents.agent import DataSpec
from tolman.launchers.host.memory.sum_tree import SumTree


class Items:
    """Items by key, which is how many came before; key k lies in place k % C.

    Attributes:
      rows: `[C, T + 1]` int32, places of each item's rows.
      states: `[C]` int64, number of each item's state.
      first_rows: `[C]` int64, number of each item's first row.
      first: the key of the oldest one.
      end: the key of the next one.
    """

    def __init__(self, data: DataSpec, capacity: int) -> None:
        """Holds none."""
        self.capacity = capacity
        self.rows = np.empty((capacity, data.unroll_length + 1), np.int32)
        self.states = np.empty(capacity, np.int64)
        self.first_rows = np.empty(capacity, np.int64)
        self.first, self.end = 0, 0
        self._exponent = data.priority_exponent
        self._is_queue = data.replay == "queue"
        self.weights = SumTree(capacity) if data.replay == "prioritized" else None

    def __len__(self) -> int:
        return self.end - self.first

    def keys(self) -> np.ndarray:
        """Of all items, the oldest first, `[n]`."""
        return np.arange(self.first, self.end)

    def insert(
        self,
        rows: np.ndarray,
        states: np.ndarray,
        first_rows: np.ndarray,
        weights: np.ndarray | float,
    ) -> None:
        """Adds n items, up to C, in the place of the oldest; `weights` as of `weigh`."""
        places = np.arange(self.end, self.end + len(rows)) % self.capacity
        self.rows[places] = rows
        self.states[places], self.first_rows[places] = states, first_rows
        if self.weights is not None:
            self.weights.set(places, weights)
        self.end += len(rows)
        self.first = max(self.first, self.end - self.capacity)

    def drop(self, before: int) -> None:
        """Drops the items with a key below `before`."""
        before = min(before, self.end)
        if before > self.first:
            if self.weights is not None:
                gone = np.arange(self.first, before) % self.capacity
                self.weights.set(gone, 0.0)
            self.first = before

    def drop_overwritten(self, first_row: int, first_state: int) -> None:
        """Drops items of rows, or states, that are not there any more."""
        while self.first < self.end:
            place = self.first % self.capacity
            if self.first_rows[place] >= first_row and self.states[place] >= first_state:
                break
            self.drop(self.first + 1)

    def weigh(self, priorities: Any) -> Any:
        """How likely items of these priorities are, beside each other."""
        return priorities**self._exponent

    def set_priorities(self, keys: np.ndarray, priorities: np.ndarray) -> None:
        """Sets priorities, above 0, of the items, `[n]`, that are still there."""
        if self.weights is not None:
            is_there = keys >= self.first
            places = keys[is_there] % self.capacity
            self.weights.set(places, self.weigh(priorities[is_there]))

    def draw(
        self, number: int, random: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Draws items as the agent wants them.

        Args:
          number: n; a queue must have as many.
          random: of all chance in it.

        Returns:
          Keys `[n]`, and the probability that each draw had of drawing its key, `[n]`.
        """
        if self._is_queue:
            return self.keys()[:number], np.ones(number)
        if self.weights is None:
            keys = random.integers(self.first, self.end, number)
            return keys, np.full(number, 1.0 / len(self))
        total = self.weights.total
        places = self.weights.find(random.random(number) * total)
        keys = self.first + (places - self.first) % self.capacity
        return keys, self.weights.get(places) / total
