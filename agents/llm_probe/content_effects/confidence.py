"""What an answer's confidence goes with: being right, and going against belief.

Shapes: M answers, P predictors, G groups.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.optimize import minimize_scalar

from tolman.agents.llm_probe.content_effects.answers import Answers
from tolman.agents.llm_probe.content_effects.items import Item
from tolman.agents.llm_probe.content_effects.statistics import MixedFit

Array = np.ndarray
NAMES = ("intercept", "right", "against belief")
MAX_LOG_RATIO = 12.0  # Of variances; e^-12 of groups to answers is as good as none.


def confidence_design(
    items: Sequence[Item], answers: Answers
) -> tuple[Array, Array, Array, tuple[str, ...]]:
    """Predictors, outcomes, groups and names for `fit_mixed_linear`.

    Asked is for items that are consistent with belief or violate it; effects are coded as
    -1/2 and 1/2. An effect that those before it determine is left out: where all answers
    are right, say, nothing can be told of being right.

    Args:
      items: that were asked.
      answers: to them.

    Returns:
      `[M, P]`; `[M]` nats of confidence; `[M]` numbers of the groups; P names.

    Source: Dasgupta, Lampinen et al. 2022 (confidence is the lead of the best answer before
      the second, corrected for priors). Departure: reaction times of people are not there.
    """
    sides = ("consistent", "violate")
    kept = [index for index, item in enumerate(items) if item.condition in sides]
    columns = {
        "intercept": np.ones(len(kept)),
        "right": answers.is_right[kept] - 0.5,
        "against belief": np.array([items[i].condition == "violate" for i in kept]) - 0.5,
    }
    names: list[str] = []
    for name in NAMES if kept else ():
        wider = np.stack([columns[one] for one in (*names, name)], axis=1)
        if np.linalg.matrix_rank(wider) == wider.shape[1]:
            names.append(name)
    predictors = (
        np.array([columns[name] for name in names]).reshape(len(names), len(kept)).T
    )
    _, groups = np.unique([items[i].group for i in kept], return_inverse=True)
    return predictors, answers.confidence[kept], groups, tuple(names)


def fit_mixed_linear(
    predictors: Array, outcome: Array, groups: Array, names: Sequence[str]
) -> MixedFit:
    """A linear regression in which every group has an intercept of its own.

    Args:
      predictors: `[M, P]`, of full rank.
      outcome: `[M]`.
      groups: `[M]` integers.
      names: P names.

    Returns:
      maximum likelihood; the groups' intercepts are integrated out.

    Raises:
      ValueError: if there are fewer than two groups, or no more answers than predictors.

    Source: Laird and Ware 1982. Standard errors are for the variances that are found.
    """
    predictors, outcome = np.asarray(predictors, float), np.asarray(outcome, float)
    if (num_groups := len(np.unique(groups))) < 2:
        raise ValueError(f"{num_groups} groups: must be at least 2. Ask more items.")
    if len(outcome) <= predictors.shape[1]:
        raise ValueError(
            f"{len(outcome)} answers for {predictors.shape[1]} predictors: must be more. "
            "Ask more items."
        )
    is_member = np.asarray(groups)[:, None] == np.unique(groups)  # [M, G]
    sizes = is_member.sum(0)

    def solve(log_ratio: float) -> tuple[float, Array, Array, float]:
        """Of the ratio of variances: the log-likelihood and what has it."""
        ratio = np.exp(log_ratio)
        # A group's covariance, I + ratio in every place, has the inverse I - pull.
        pull = is_member @ (ratio / (1 + ratio * sizes))

        def weighted(rows: Array) -> Array:
            return rows - pull[:, None] * (is_member @ (is_member.T @ rows))

        left = predictors.T @ weighted(predictors)
        right = predictors.T @ weighted(outcome[:, None])
        coefficients = np.linalg.solve(left, right)[:, 0]
        rest = outcome - predictors @ coefficients
        variance = max(float(rest @ weighted(rest[:, None])[:, 0]) / len(rest), 1e-300)
        log_determinant = np.log1p(ratio * sizes).sum()
        scale = len(rest) * (np.log(2 * np.pi * variance) + 1)
        return -0.5 * (scale + log_determinant), coefficients, left, variance

    bounds = (-MAX_LOG_RATIO, MAX_LOG_RATIO)
    best = minimize_scalar(lambda one: -solve(one)[0], bounds=bounds, method="bounded")
    likelihood, coefficients, left, variance = solve(best.x)
    return MixedFit(
        names=tuple(names),
        coefficients=coefficients,
        standard_errors=np.sqrt(variance * np.diag(np.linalg.inv(left))),
        deviation=float(np.sqrt(variance * np.exp(best.x))),
        log_likelihood=likelihood,
    )
