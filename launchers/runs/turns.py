"""Tasks that are trained in turn: where a run is in its schedule, and its metrics."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np

from tolman.launchers.report.retention import UNTRAINED
from tolman.launchers.runs.protocol import MUST_BE_FINITE

DEFAULT_EPISODES = 10  # Of each task, for every row of metrics.


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
    """The schedule: task k for so many updates; the last one stays.

    Attributes:
      ends: updates at the end of each task.
    """

    def __init__(self, lengths: Sequence[int], num_members: int) -> None:
        """Makes the schedule of P members.

        Args:
          lengths: updates on each task.
          num_members: P.
        """
        self.ends, self._num_members = tuple(accumulate(lengths)), num_members

    @property
    def num_updates(self) -> int:
        """Of the whole schedule."""
        return self.ends[-1]

    def index(self, updates: int) -> int:
        """Of the task that comes after so many updates."""
        return min(bisect_right(self.ends, updates), len(self.ends) - 1)

    def stretches(self, done: int, num_updates: int) -> Iterator[Stretch]:
        """Cuts the next updates where a task ends."""
        until = done + num_updates
        while done < until:
            index = self.index(done)
            is_last = index == len(self.ends) - 1
            end = until if is_last else min(until, self.ends[index])
            is_first = bool(index) and done == self.ends[index - 1]
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
        metrics = combine(pieces)
        metrics["task/index"] = np.full(self._num_members, index, np.float32)
        return state, metrics


def untrained(evaluated: Mapping[str, Any]) -> dict[str, Any]:
    """What was evaluated before the first update, by the names it has in the first row."""
    return {f"{UNTRAINED}{name.removeprefix('eval/')}": v for name, v in evaluated.items()}


def combine(pieces: list[tuple[int, dict[str, Any]]]) -> dict[str, Any]:
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


def lengths_of(
    steps: Sequence[int],
    places: Sequence[int],
    total_updates: Sequence[Callable[[int], int]],
) -> tuple[list[int], list[int]]:
    """Updates of each stretch, and of each task over all its stretches.

    Args:
      steps: env steps of each stretch.
      places: the number of the task of each.
      total_updates: of each task, maps env steps to updates, rounded up to whole ones.
    """
    lengths: list[int] = []
    asked, done = [0] * len(total_updates), [0] * len(total_updates)
    for number, place in zip(steps, places, strict=True):
        asked[place] += number
        total = total_updates[place](asked[place])
        lengths.append(total - done[place])
        done[place] = total
    return lengths, done


def check_tasks(agent: Any, tasks: Mapping[str, Any]) -> None:
    """Checks that one agent can learn all tasks: whatever tells specs, by name.

    Raises:
      ValueError: if specs differ, or the agent has no room for so many.
    """
    first = next(iter(tasks))
    for name, task in tasks.items():
        for method in ("observation_spec", "action_spec"):
            wanted, got = (getattr(one, method)() for one in (tasks[first], task))
            if wanted != got:
                fix = "Leave one of them out of --tasks."
                if method == "action_spec" and name.startswith("ALE/"):
                    fix = "Set --env.full-action-set, which all of ALE's games have."
                raise ValueError(
                    f"environment {name!r}: {method} is {got}, that of {first!r} is "
                    f"{wanted}. The environments of a sequence must have the same. {fix}"
                )
    room = getattr(agent, "max_tasks", len(tasks))
    if room < len(tasks):
        raise ValueError(
            f"max_tasks={room}: must be at least {len(tasks)}, for {', '.join(tasks)}. Set "
            "--agent.max-tasks."
        )


def no_examples(name: str) -> ValueError:
    """What is raised where a task ends of which there is no data."""
    return ValueError(
        f"environment {name!r}: its replay is empty where it ends, so there are no "
        "examples of it. Train it for longer, or resume from a checkpoint that has its "
        "replay."
    )
