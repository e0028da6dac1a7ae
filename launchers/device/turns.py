"""Tasks that are trained in turn: where a run is in its schedule, and its metrics."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np

from tolman.launchers.runs.protocol import MUST_BE_FINITE


class Stretch(NamedTuple):
    """Updates on one task.

    Attributes:
      task: its number.
      is_first: they are its first ones.
      num_updates: how many.
    """

    task: int
    is_first: bool
    num_updates: int


class Turns:
    """The schedule: task k for so many updates; the last one stays."""

    def __init__(self, lengths: Sequence[int], num_members: int) -> None:
        """Makes the schedule of P members.

        Args:
          lengths: updates on each task.
          num_members: P.
        """
        self._ends, self._num_members = list(accumulate(lengths)), num_members

    @property
    def num_updates(self) -> int:
        """Of the whole schedule."""
        return self._ends[-1]

    def index(self, updates: int) -> int:
        """Of the task that comes after so many updates."""
        return min(bisect_right(self._ends, updates), len(self._ends) - 1)

    def stretches(self, done: int, num_updates: int) -> Iterator[Stretch]:
        """Cuts the next updates where a task ends."""
        until = done + num_updates
        while done < until:
            index = self.index(done)
            is_last = index == len(self._ends) - 1
            end = until if is_last else min(until, self._ends[index])
            is_first = bool(index) and done == self._ends[index - 1]
            yield Stretch(index, is_first, end - done)
            done = end

    def train(
        self,
        state: Any,
        num_updates: int,
        done: Callable[[Any], int],
        step: Callable[[Any, Stretch], tuple[Any, dict[str, Any]]],
    ) -> tuple[Any, dict[str, Any]]:
        """Takes updates, stretch by stretch, until no member is finite any more.

        Args:
          state: of a runner.
          num_updates: to take.
          done: maps a state to the updates that are done.
          step: takes the updates of one stretch; returns the state and metrics, `[P]` each.

        Returns:
          The state, and means of the metrics, `[P]` each, with the `task/index` of the last
          stretch.
        """
        pieces: list[tuple[int, dict[str, Any]]] = []
        index = self.index(done(state))
        for stretch in self.stretches(done(state), num_updates):
            index, wanted = stretch.task, done(state) + stretch.num_updates
            state, metrics = step(state, stretch)
            pieces.append((stretch.num_updates, metrics))
            if done(state) < wanted:
                break
        metrics = _combine(pieces)
        metrics["task/index"] = np.full(self._num_members, index, np.float32)
        return state, metrics


def _combine(pieces: list[tuple[int, dict[str, Any]]]) -> dict[str, Any]:
    """Means of pieces, weighted by their updates; of what happened in some, over those."""
    if len(pieces) == 1:
        return dict(pieces[0][1])
    found = {}
    for name in dict.fromkeys(name for _, metrics in pieces for name in metrics):
        values = np.stack([np.asarray(metrics[name]) for _, metrics in pieces])
        weights = np.array([[count] for count, _ in pieces], np.float32)
        told = np.isfinite(values) | name.startswith(MUST_BE_FINITE)
        total, weight = np.where(told, values * weights, 0.0), np.where(told, weights, 0.0)
        with np.errstate(invalid="ignore"):
            found[name] = total.sum(0) / weight.sum(0)
    return found
