"""How well a learner keeps what it learned, from scores of all tasks as each one ends.

Shapes: K tasks, V visits, a task may be visited again; `scores[v, k]` `[V, K]` is that of
task k at the end of visit v, `tasks[v]` the task of that visit.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def average_score(scores: np.ndarray, tasks: Sequence[int] | None = None) -> np.ndarray:
    """`[V]`, after each visit: the mean over the tasks visited so far.

    Args:
      scores: see above.
      tasks: see above; None for all in order, each once.

    Source: Lopez-Paz and Ranzato 2017, equation 2, and Kirkpatrick et al. 2017, figure 2B.
    """
    first = _first_visits(scores, tasks)
    learned = first <= np.arange(len(scores))[:, None]
    return np.where(learned, scores, 0.0).sum(1) / learned.sum(1)


def forgetting(scores: np.ndarray, tasks: Sequence[int] | None = None) -> np.ndarray:
    """By task: its best score since it was first learned and before the end, less the last.

    Below 0 where later tasks helped. It says nothing beside what was learned at all: who
    learns nothing forgets nothing.

    Args:
      scores: see above.
      tasks: see `average_score`.

    Returns:
      `[K - 1]`, of all tasks but that of the last visit, in their order.

    Source: Chaudhry et al. 2018, section 3.
    """
    first, last = _first_visits(scores, tasks), len(scores) - 1
    newest = last if tasks is None else tasks[-1]
    lost = [
        scores[first[task] : last, task].max() - scores[last, task]
        for task in range(scores.shape[1])
        if task != newest
    ]
    return np.array(lost)


def forward_transfer(
    scores: np.ndarray, untrained: np.ndarray, tasks: Sequence[int] | None = None
) -> np.ndarray:
    """By task: its score just before it is first learned, less that of who learned nothing.

    Args:
      scores: see above.
      untrained: `[K]`, the scores of the learner that has learned nothing yet.
      tasks: see `average_score`.

    Returns:
      `[K - 1]`, of all tasks but that of the first visit, in their order.

    Source: Lopez-Paz and Ranzato 2017, equation 4.
    """
    first = _first_visits(scores, tasks)
    ahead = [
        scores[visit - 1, task] - untrained[task]
        for task, visit in enumerate(first)
        if visit > 0
    ]
    return np.array(ahead)


def adjusted_rand_index(labels: np.ndarray, others: np.ndarray) -> float:
    """Whether two labellings of the same `[N]` things group them alike, whatever the names.

    1 for the same groups, about 0 for chance: pairs that both put together, beyond those
    that chance would, over as many as there could be. 1 where neither tells any apart.

    Source: Hubert and Arabie 1985, equation 5.
    """
    _, first = np.unique(labels, return_inverse=True)
    _, second = np.unique(others, return_inverse=True)
    table = np.zeros((first.max() + 1, second.max() + 1))
    np.add.at(table, (first, second), 1)
    return rand_index_of_counts(table)


def rand_index_of_counts(table: np.ndarray) -> float:
    """`adjusted_rand_index` of things that are counted by both labels, `[N, M]`."""

    def pairs(counts: np.ndarray) -> float:
        return float((counts * (counts - 1) / 2).sum())

    together, rows, columns = pairs(table), pairs(table.sum(1)), pairs(table.sum(0))
    expected = rows * columns / max(pairs(table.sum(keepdims=True)), 1.0)
    most = (rows + columns) / 2
    return 1.0 if most == expected else (together - expected) / (most - expected)


def _first_visits(scores: np.ndarray, tasks: Sequence[int] | None) -> np.ndarray:
    """`[K]`, the visit at which each task was first learned."""
    num_visits, num_tasks = scores.shape if scores.ndim == 2 else (0, 0)
    order = range(num_tasks) if tasks is None else tasks
    if scores.ndim != 2 or len(order) != num_visits or {*order} != {*range(num_tasks)}:
        told = "" if tasks is None else f" of tasks {list(tasks)}"
        raise ValueError(
            f"scores of shape {list(scores.shape)}{told}: must be [V, K], a row for every "
            "visit and a column for every task, each of which is visited."
        )
    return np.array([list(order).index(task) for task in range(num_tasks)])
