"""Logistic regression with a small ridge penalty, by Newton's method."""

from dataclasses import dataclass

import numpy as np

Array = np.ndarray


@dataclass(frozen=True)
class LogisticFit:
    """A logistic regression.

    Attributes:
      names: P predictor names.
      coefficients: [P] log-odds per unit.
      covariance: [P, P], inverse of the penalised information.
      log_likelihood: nats, without the penalty.
      num_choices: M.
    """

    names: tuple[str, ...]
    coefficients: Array
    covariance: Array
    log_likelihood: float
    num_choices: int

    @property
    def standard_errors(self) -> Array:
        """[P] standard errors of the coefficients."""
        return np.sqrt(np.diag(self.covariance))

    def coefficient(self, name: str) -> float:
        """The coefficient of one predictor."""
        return float(self.coefficients[self.names.index(name)])


def fit_logistic(
    predictors: Array, is_first: Array, names: tuple[str, ...], ridge: float = 1e-3
) -> LogisticFit:
    """Logistic regression by Newton's method with step halving.

    Args:
      predictors: [M, P].
      is_first: [M] booleans, the event whose log-odds are modelled.
      names: P names.
      ridge: penalty of half a squared coefficient, in nats; keeps separable data finite.

    Returns:
      the fit.

    Raises:
      ValueError: if there are no choices, or the shapes do not fit together.
    """
    if predictors.ndim != 2 or predictors.shape != (len(is_first), len(names)):
        raise ValueError(
            f"predictors has shape {predictors.shape}: must be [{len(is_first)}, "
            f"{len(names)}], choices by names. Transpose or rename."
        )
    if not len(is_first):
        raise ValueError("0 choices: must have at least one. Pass episodes of 2 trials.")
    target = np.asarray(is_first, dtype=np.float64)
    coefficients = np.zeros(len(names))

    def objective(candidate: Array) -> float:
        likelihood = _log_likelihood(predictors @ candidate, target)
        return likelihood - 0.5 * ridge * float(candidate @ candidate)

    current = objective(coefficients)
    for _ in range(50):
        probability = sigmoid(predictors @ coefficients)
        gradient = predictors.T @ (target - probability) - ridge * coefficients
        weights = probability * (1.0 - probability)
        information = (predictors * weights[:, None]).T @ predictors
        information += ridge * np.eye(len(names))
        step = np.linalg.solve(information, gradient)
        while (proposal := objective(coefficients + step)) < current - 1e-12:
            step = 0.5 * step
        coefficients, gain = coefficients + step, proposal - current
        current = proposal
        if gain < 1e-9:
            break
    return LogisticFit(
        names=names,
        coefficients=coefficients,
        covariance=np.linalg.inv(information),
        log_likelihood=_log_likelihood(predictors @ coefficients, target),
        num_choices=len(target),
    )


def sigmoid(logits: Array) -> Array:
    """1 / (1 + exp(-logits)), without overflow."""
    return 0.5 * (1.0 + np.tanh(0.5 * logits))


def _log_likelihood(logits: Array, target: Array) -> float:
    return float(-np.logaddexp(0.0, np.where(target > 0, -logits, logits)).sum())
