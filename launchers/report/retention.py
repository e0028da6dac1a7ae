"""What a run of tasks in turn keeps: a matrix of scores, and what it comes to.

Shapes: K tasks, V visits that are over or under way.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np

from tolman.launchers.report.continual import average_score, forgetting, forward_transfer
from tolman.launchers.report.curves import Array
from tolman.launchers.report.folders import Run

INDEX = "task/index"  # Of the visit that a row of metrics ends in, from 0.
UNTRAINED = "untrained/"  # Begins what was evaluated before the first update.


@dataclass(frozen=True)
class Retention:
    """A run of tasks in turn.

    Attributes:
      metric: of the scores, such as episode_return.
      visits: names of the tasks, in the order of the schedule, `[V]`.
      ends: where each visit ended, on the x axis of the curves, `[V]`.
      tasks: names `[K]`, in the order in which they are first visited.
      scores: `[V, K]`, of each task at the end of each visit, with frozen parameters.
      shades: `[V, K]`, the same between 0, the least of the task, and 1, its most.
      average: `[V]`, over the tasks visited so far.
      forgetting: by task, its best score before the end less the last.
      forward_transfer: by task, its score before it was first learned, less that before
        any training; none where that was not evaluated.
    """

    metric: str
    visits: list[str]
    ends: list[float]
    tasks: list[str]
    scores: Array
    shades: Array
    average: Array
    forgetting: dict[str, float]
    forward_transfer: dict[str, float]


def read_retention(run: Run) -> Retention | None:
    """What a run kept; None for one without tasks in turn or evaluations of them."""
    schedule = _schedule(run)
    steps, indices = run.curves.get(INDEX, (np.zeros(0), np.zeros(0)))
    numbers = sorted({int(index) for index in indices if 0 <= index < len(schedule)})
    if not numbers:
        return None
    ends = [float(steps[indices == number][-1]) for number in numbers]
    visits = [schedule[number] for number in numbers]
    tasks = list(dict.fromkeys(visits))
    metric = _metric(run, tasks[0])
    scores = np.array([[_at(run, f"eval/{t}/{metric}", e) for t in tasks] for e in ends])
    if not np.isfinite(scores).all():
        return None
    order = [tasks.index(name) for name in visits]
    untrained = np.array([_at(run, f"{UNTRAINED}{task}/{metric}") for task in tasks])
    span = np.ptp(scores, axis=0)
    return Retention(
        metric.replace("_", " "),
        visits,
        ends,
        tasks,
        scores,
        (scores - scores.min(axis=0)) / np.where(span > 0, span, 1.0),
        average_score(scores, order),
        _by_task(forgetting(scores, order), tasks, visits[-1]),
        _by_task(forward_transfer(scores, untrained, order), tasks, visits[0]),
    )


def _schedule(run: Run) -> list[str]:
    """Names of the tasks in turn; none where the config has no list of them."""
    try:
        tasks = json.loads(run.config.get("tasks", "[]"))
    except ValueError:
        return []
    return [str(task) for task in tasks] if isinstance(tasks, list) else []


def _by_task(values: Array, tasks: list[str], without: str) -> dict[str, float]:
    """Finite values by the tasks that they are of: all but one."""
    pairs = zip([task for task in tasks if task != without], values, strict=True)
    return {task: float(value) for task, value in pairs if np.isfinite(value)}


def _metric(run: Run, task: str) -> str:
    """The leaf of `eval/TASK/LEAF`: a return, or else the first."""
    prefix = f"eval/{task}/"
    leaves = [name.removeprefix(prefix) for name in run.curves if name.startswith(prefix)]
    return "episode_return" if "episode_return" in leaves else min(leaves, default="")


def _at(run: Run, metric: str, step: float | None = None) -> float:
    """A metric's value in the row of a step, or in its only row; NaN where it has none."""
    steps, values = run.curves.get(metric, (np.zeros(0), np.zeros(0)))
    found = values if step is None else values[steps == step]
    return float(found[-1]) if len(found) else float("nan")
