"""How well a learner keeps what it learned, from scores of all tasks after each of them.

Shapes: K tasks; `scores[i, j]` `[K, K]` is that of task j when task i was just learned.
"""

from __future__ import annotations

import numpy as np


def average_score(scores: np.ndarray) -> np.ndarray:
    """`[K]`, after each task: the mean over the tasks learned so far.

    Source: Lopez-Paz and Ranzato 2017, equation 2, and Kirkpatrick et al. 2017, figure 2B.
    """
    _check(scores)
    learned = np.tri(len(scores), dtype=bool)
    return np.where(learned, scores, 0.0).sum(1) / learned.sum(1)


def forgetting(scores: np.ndarray) -> np.ndarray:
    """`[K - 1]`, of each task but the last: its best score before the end, less the last.

    Below 0 where later tasks helped. It says nothing beside what was learned at all: who
    learns nothing forgets nothing.

    Source: Chaudhry et al. 2018, section 3.
    """
    _check(scores)
    num_tasks = len(scores)
    best = [scores[task : num_tasks - 1, task].max() for task in range(num_tasks - 1)]
    return np.array(best) - scores[-1, :-1]


def forward_transfer(scores: np.ndarray, untrained: np.ndarray) -> np.ndarray:
    """`[K - 1]`, of each task but the first: its score just before it is learned.

    Args:
      scores: see above.
      untrained: `[K]`, the scores of the learner that has learned nothing yet, which are
        taken off.

    Source: Lopez-Paz and Ranzato 2017, equation 4.
    """
    _check(scores)
    return np.diag(scores, k=1) - np.asarray(untrained)[1:]


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


def _check(scores: np.ndarray) -> None:
    if scores.ndim != 2 or scores.shape[0] != scores.shape[1]:
        raise ValueError(
            f"scores of shape {list(scores.shape)}: must be [K, K], a row for every task "
            "learned and a column for every task asked."
        )
