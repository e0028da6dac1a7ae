"""What answers say: shares by condition, and regressions that know what chance draws.

Shapes: M answers, P predictors, G groups, Q nodes of an integral.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit, logsumexp

from tolman.agents.llm_probe.content_effects.items import Item

Array = np.ndarray
NUM_NODES = 20
PRIOR_DEVIATION = 5.0  # Of coefficients, log-odds; keeps those of separable data finite.
NORMAL_95 = 1.959964


def accuracy_by_condition(items: Sequence[Item], is_right: Array) -> dict[str, float]:
    """The share of right answers in each condition."""
    conditions = np.array([item.condition for item in items])
    return {
        str(one): float(np.mean(is_right[conditions == one]))
        for one in dict.fromkeys(conditions.tolist())
    }


def says_valid_by_cell(
    items: Sequence[Item], choice: Array
) -> Mapping[tuple[bool, bool | None], float]:
    """The share of arguments that are called valid, by (is valid, is believable)."""
    cells: dict[tuple[bool, bool | None], list[bool]] = {}
    for item, chosen in zip(items, choice, strict=True):
        if item.is_valid is not None:
            is_called = (chosen == item.right) == item.is_valid
            cells.setdefault((item.is_valid, item.is_believable), []).append(is_called)
    return {cell: float(np.mean(called)) for cell, called in cells.items()}


def belief_design(items: Sequence[Item], choice: Array) -> tuple[Array, Array, Array]:
    """Predictors, outcomes and groups of the arguments with meaning.

    Args:
      items: of `syllogism_items`.
      choice: `[N]`, the answers.

    Returns:
      `[M, 4]` with the columns of `BELIEF_NAMES`, each effect coded as -1/2 and 1/2;
      `[M]` bool, whether the argument was called valid; `[M]` numbers of the groups.
    """
    kept = [index for index, item in enumerate(items) if item.is_believable is not None]
    valid = np.array([bool(items[index].is_valid) for index in kept]) - 0.5
    believable = np.array([bool(items[index].is_believable) for index in kept]) - 0.5
    right = np.array([items[index].right for index in kept])
    called = (np.asarray(choice)[kept] == right) == (valid > 0)
    _, groups = np.unique([items[index].group for index in kept], return_inverse=True)
    predictors = np.stack(
        [np.ones(len(kept)), valid, believable, 2 * valid * believable], axis=1
    )
    return predictors, called, groups


BELIEF_NAMES = ("intercept", "validity", "belief", "validity x belief")


@dataclass(frozen=True)
class MixedFit:
    """A regression in which every group has an intercept of its own.

    Attributes:
      names: of the P predictors.
      coefficients: `[P]`, log-odds, or in the unit of the outcome where that is a number.
      standard_errors: `[P]`.
      deviation: of the groups' intercepts.
      log_likelihood: nats, the groups' intercepts integrated out, without the prior.
    """

    names: tuple[str, ...]
    coefficients: Array
    standard_errors: Array
    deviation: float
    log_likelihood: float

    def interval(self, name: str) -> tuple[float, float]:
        """The 95 % interval of one coefficient."""
        index = self.names.index(name)
        middle, error = self.coefficients[index], self.standard_errors[index]
        return float(middle - NORMAL_95 * error), float(middle + NORMAL_95 * error)


def fit_mixed_logistic(
    predictors: Array, outcome: Array, groups: Array, names: Sequence[str]
) -> MixedFit:
    """Maximum likelihood with the groups' intercepts integrated out.

    Args:
      predictors: `[M, P]`.
      outcome: `[M]` bool.
      groups: `[M]` integers in [0, G).
      names: P names.

    Raises:
      ValueError: if the shapes do not fit, or there are fewer than two groups.

    Source: Gauss-Hermite quadrature as in Bock and Aitkin 1981.
      Departure: coefficients have a normal prior of deviation `PRIOR_DEVIATION`.
    """
    predictors, groups = np.asarray(predictors, float), np.asarray(groups, int)
    if predictors.shape != (len(outcome), len(names)) or len(groups) != len(outcome):
        raise ValueError(
            f"predictors {predictors.shape}, {len(outcome)} outcomes, {len(groups)} "
            f"groups, {len(names)} names: must fit together. Give answers by names."
        )
    if (num_groups := len(np.unique(groups))) < 2:
        raise ValueError(f"{num_groups} groups: must be at least 2. Ask more items.")
    likelihood = _Likelihood(predictors, np.asarray(outcome, bool), groups)
    start = np.append(np.zeros(len(names)), 1.0)
    best = minimize(likelihood.loss, start, jac=True, method="BFGS", options={"gtol": 1e-6})
    information = _second_derivative(likelihood.loss, best.x)
    covariance = np.linalg.pinv(information)
    coefficients = best.x[:-1]
    prior = 0.5 * float(coefficients @ coefficients) / PRIOR_DEVIATION**2
    return MixedFit(
        names=tuple(names),
        coefficients=coefficients,
        standard_errors=np.sqrt(np.maximum(np.diag(covariance)[:-1], 0.0)),
        deviation=abs(float(best.x[-1])),
        log_likelihood=prior - float(best.fun),
    )


class _Likelihood:
    """Minus the log-likelihood, with the prior, and its gradient."""

    def __init__(self, predictors: Array, outcome: Array, groups: Array) -> None:
        self._predictors, self._outcome = predictors, outcome
        self._groups, self._num_groups = groups, int(groups.max()) + 1
        nodes, weights = np.polynomial.hermite_e.hermegauss(NUM_NODES)
        self._nodes = nodes  # [Q]
        self._log_weights = np.log(weights / weights.sum())

    def loss(self, theta: Array) -> tuple[float, Array]:
        """Of coefficients `[P]` and the groups' deviation, `[P + 1]`."""
        coefficients, deviation = theta[:-1], theta[-1]
        fixed = self._predictors @ coefficients
        logits = fixed[:, None] + deviation * self._nodes  # [M, Q]
        sign = np.where(self._outcome, 1.0, -1.0)[:, None]
        by_group = np.zeros((self._num_groups, len(self._nodes)))
        np.add.at(by_group, self._groups, -np.logaddexp(0.0, -sign * logits))
        joint = by_group + self._log_weights
        total = logsumexp(joint, axis=1)  # [G]
        posterior = np.exp(joint - total[:, None])[self._groups]  # [M, Q]
        residual = posterior * (self._outcome[:, None] - expit(logits))
        gradient = np.append(
            self._predictors.T @ residual.sum(1), (residual @ self._nodes).sum()
        )
        pull = coefficients / PRIOR_DEVIATION**2
        gradient[:-1] -= pull
        return float(0.5 * pull @ coefficients - total.sum()), -gradient


def _second_derivative(
    loss: Callable[[Array], tuple[float, Array]], point: Array, step: float = 1e-4
) -> Array:
    """`[P, P]`, from central differences of the gradient."""
    rows = []
    for index in range(len(point)):
        move = np.zeros(len(point))
        move[index] = step
        rows.append((loss(point + move)[1] - loss(point - move)[1]) / (2 * step))
    return 0.5 * (np.array(rows) + np.array(rows).T)


def cluster_bootstrap(
    groups: Array,
    statistic: Callable[[Array], float],
    num_draws: int,
    rng: np.random.Generator,
) -> tuple[float, float]:
    """The 95 % interval of a statistic when whole groups are drawn with replacement.

    Args:
      groups: `[M]` integers.
      statistic: of the indices of the answers that were drawn.
      num_draws: of G groups each.
      rng: of all chance.
    """
    members = [np.flatnonzero(groups == one) for one in np.unique(groups)]
    drawn = [
        statistic(
            np.concatenate([members[i] for i in rng.choice(len(members), len(members))])
        )
        for _ in range(num_draws)
    ]
    low, high = np.quantile(drawn, (0.025, 0.975))
    return float(low), float(high)
