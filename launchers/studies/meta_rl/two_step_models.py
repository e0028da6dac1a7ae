"""Which learning rule explains a two-step player? The model-based and model-free mixture.

Shapes: E episodes, N trials of two environment steps.

Source: Daw et al. 2011, "Model-based influences on humans' choices and striatal
  prediction errors".
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import optimize

from tolman.launchers.studies.meta_rl.logistic import LogisticFit, fit_logistic
from tolman.launchers.studies.meta_rl.two_step_analysis import TwoStepTrials

Array = np.ndarray

COMMON_PROBABILITY = 0.75
MIXED_WEIGHTS = (0.2, 0.8)  # weights in between count as mixed
_VALUES = {
    "neither": (),
    "model-free": ("model_free",),
    "model-based": ("model_based",),
    "hybrid": ("model_based", "model_free"),
}


@dataclass(frozen=True)
class MixtureModel:
    """One of the fitted models.

    Attributes:
      name: "neither", "model-free", "model-based" or "hybrid".
      learning_rate: nan for "neither".
      regression: of the choices given the learning rate.
      bic: Bayesian information criterion, nats.
    """

    name: str
    learning_rate: float
    regression: LogisticFit
    bic: float


@dataclass(frozen=True)
class MixtureFit:
    """Which learning rule explains the choices.

    Attributes:
      verdict: "model-based", "model-free", "mixed", or "neither" where no learning from
        reward is seen, as in the control without reward input.
      weight: w of the model-based values in the hybrid, 0 to 1; nan if the
        verdict is "neither".
      models: all four by name.
    """

    verdict: str
    weight: float
    models: dict[str, MixtureModel]


def fit_mixture(trials: TwoStepTrials) -> MixtureFit:
    """Fits model-free, model-based and hybrid learners by maximum likelihood.

    The log-odds of action 0 are

        inverse_temperature * (w * Q_mb + (1 - w) * Q_mf) + perseveration + bias

    with Q the value of action 0 minus that of action 1. Both learners average what they
    see with the same learning rate: the model-based one per second-stage state, weighed
    by the known transition matrix, the model-free one per action. As one state pays where
    the other does not, an outcome moves both values in opposite directions.

    What ten trials can tell: model-based and model-free values agree after common
    transitions, so only what follows the rare quarter tells them apart; learning rate and
    inverse temperature trade off, and a rate per learner would leave the weight undefined.
    Hence one rate, pooled episodes, and per rate a concave problem (no local optima). The
    weight of a hybrid is never read alone: the verdict is the single learner of lowest
    BIC unless the hybrid is better still and its weight lies within `MIXED_WEIGHTS`.

    Args:
      trials: E episodes of N trials. Values restart and first trials are not scored.

    Returns:
      the fit.

    Source: Daw et al. 2011, the hybrid learner. Departure: no second-stage choice, no
      eligibility trace (the last reward reaches the action fully), opposite updates.
    """
    models = {name: _fit_model(trials, name) for name in _VALUES}
    hybrid = models["hybrid"].regression
    weight = _model_based_weight(hybrid)
    single = min(
        ("neither", "model-free", "model-based"), key=lambda name: models[name].bic
    )
    verdict = single
    if models["hybrid"].bic < models[single].bic:
        if MIXED_WEIGHTS[0] < weight < MIXED_WEIGHTS[1]:
            verdict = "mixed"
        else:
            verdict = "model-based" if weight > 0.5 else "model-free"
    if verdict == "neither":
        weight = float("nan")
    return MixtureFit(verdict, weight, models)


def _model_based_weight(hybrid: LogisticFit) -> float:
    """Weight w from temperatures b * w and b * (1 - w); nan where both are 0."""
    based, free = (
        hybrid.coefficient(name) if name in hybrid.names else 0.0
        for name in ("model_based", "model_free")
    )
    return based / (based + free) if based + free > 0 else float("nan")


def _fit_model(trials: TwoStepTrials, name: str) -> MixtureModel:
    """Best learning rate and coefficients of one model."""
    values = _VALUES[name]
    if not values:
        regression, rate = _regress(trials, 0.0, values), float("nan")
    else:
        rate = _best_rate(lambda rate: _regress(trials, rate, values).log_likelihood)
        regression = _regress(trials, rate, values)
    # Perseveration and bias, a temperature per learner, and the learning rate.
    num_parameters = 2 + len(values) + (1 if values else 0)
    bic = num_parameters * np.log(regression.num_choices) - 2 * regression.log_likelihood
    return MixtureModel(name, rate, regression, float(bic))


def _best_rate(likelihood: Callable[[float], float]) -> float:
    """Learning rate in (0, 1) of the highest likelihood: a grid, then the best cell."""
    grid = np.linspace(0.02, 0.98, 17)
    best = int(np.argmax([likelihood(rate) for rate in grid]))
    low, high = grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)]
    result = optimize.minimize_scalar(
        lambda rate: -likelihood(rate), bounds=(low, high), options={"xatol": 1e-3}
    )
    return float(result.x)


def _regress(trials: TwoStepTrials, rate: float, values: tuple[str, ...]) -> LogisticFit:
    """Choices on the learners' values; a learner of negative temperature is dropped."""
    action, state = trials.first_action, trials.second_state
    tables = {
        "model_based": (2 * COMMON_PROBABILITY - 1)
        * value_difference(state, trials.reward, rate, is_opposite=True),
        "model_free": value_difference(action, trials.reward, rate, is_opposite=True),
    }
    perseveration = 1.0 - 2.0 * action[:, :-1]
    columns = [*(tables[value][:, 1:] for value in values), perseveration]
    predictors = np.stack([*columns, np.ones_like(perseveration)], axis=2)
    fit = fit_logistic(
        predictors.reshape(-1, predictors.shape[2]),
        (action[:, 1:] == 0).ravel(),
        (*values, "perseveration", "bias"),
    )
    if not values or fit.coefficients[: len(values)].min() >= 0:
        return fit
    # The likelihood is concave: its constrained optimum lies on the bound.
    subsets = [tuple(v for v in values if v != dropped) for dropped in values]
    fits = [_regress(trials, rate, subset) for subset in subsets]
    return max(fits, key=lambda candidate: candidate.log_likelihood)


def value_difference(index: Array, reward: Array, rate: float, is_opposite: bool) -> Array:
    """Value of entry 0 minus entry 1 before each trial, [E, N]; values start at 1/2.

    Args:
      index: [E, N] entry whose value moves to the reward.
      reward: [E, N].
      rate: learning rate.
      is_opposite: whether the other entry moves to 1 - reward at the same rate.
    """
    values = np.full((len(index), 2), 0.5)
    differences = np.empty(index.shape)
    for trial in range(index.shape[1]):
        differences[:, trial] = values[:, 0] - values[:, 1]
        is_seen = np.arange(2) == index[:, trial, None]
        gain = reward[:, trial, None]
        goal = np.where(is_seen, gain, 1.0 - gain)
        values += rate * (is_seen | is_opposite) * (goal - values)
    return differences
