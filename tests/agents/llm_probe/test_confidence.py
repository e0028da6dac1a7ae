"""The regression of confidence: by hand, against dense matrices, on planted effects."""

import numpy as np
import pytest
from scipy import stats

from tolman.agents.llm_probe.content_effects.answers import Answers, from_preferences
from tolman.agents.llm_probe.content_effects.confidence import (
    confidence_design,
    fit_mixed_linear,
)
from tolman.agents.llm_probe.content_effects.syllogisms import syllogism_items


def drawn(rng, num_groups, size, deviation):
    groups = np.repeat(np.arange(num_groups), size)
    predictors = np.stack([np.ones(len(groups)), rng.normal(size=len(groups))], 1)
    of_group = deviation * rng.normal(size=num_groups)
    outcome = predictors @ [1.0, -0.5] + of_group[groups] + rng.normal(size=len(groups))
    return predictors, outcome, groups


def dense(predictors, outcome, groups, deviation, noise):
    """Log-likelihood, coefficients and errors, with the whole covariance written down."""
    same = groups[:, None] == groups
    covariance = deviation**2 * same + noise**2 * np.eye(len(groups))
    inverse = np.linalg.inv(covariance)
    information = predictors.T @ inverse @ predictors
    coefficients = np.linalg.solve(information, predictors.T @ inverse @ outcome)
    rest = stats.multivariate_normal(predictors @ coefficients, covariance)
    errors = np.sqrt(np.diag(np.linalg.inv(information)))
    return rest.logpdf(outcome), coefficients, errors


def test_the_fit_is_the_best_of_all_covariances():
    predictors, outcome, groups = drawn(np.random.default_rng(0), 12, 4, 1.5)
    groups = groups[::-1] * 3  # Numbers with gaps, in any order.
    fit = fit_mixed_linear(predictors, outcome, groups, ("one", "x"))
    of_noise = {
        noise: dense(predictors, outcome, groups, fit.deviation, noise)
        for noise in np.linspace(0.7, 1.4, 141)
    }
    noise = max(of_noise, key=lambda one: of_noise[one][0])
    likelihood, coefficients, errors = of_noise[noise]
    assert fit.log_likelihood == pytest.approx(likelihood, abs=1e-2)
    assert fit.log_likelihood >= likelihood - 1e-9
    np.testing.assert_allclose(fit.coefficients, coefficients, atol=1e-2)
    np.testing.assert_allclose(fit.standard_errors, errors, rtol=2e-2)
    for factor in (0.9, 1.1):
        worse = dense(predictors, outcome, groups, factor * fit.deviation, noise)[0]
        assert worse < fit.log_likelihood


def test_without_groups_effects_it_is_least_squares():
    predictors, outcome, groups = drawn(np.random.default_rng(1), 10, 2, 0.0)
    outcome -= np.array([outcome[groups == one].mean() for one in range(10)])[groups]
    fit = fit_mixed_linear(predictors, outcome, groups, ("one", "x"))
    least, rest, *_ = np.linalg.lstsq(predictors, outcome, rcond=None)
    np.testing.assert_allclose(fit.coefficients, least, atol=1e-3)
    covariance = rest[0] / len(outcome) * np.linalg.inv(predictors.T @ predictors)
    np.testing.assert_allclose(fit.standard_errors, np.sqrt(np.diag(covariance)), rtol=1e-3)
    assert fit.deviation < 0.02


def test_planted_effects_come_out():
    """Right answers 2 nats surer, those against belief 1 nat less sure."""
    items, rng = syllogism_items(), np.random.default_rng(2)
    is_right = rng.random(len(items)) < 0.7
    of_group = {name: rng.normal() for name in dict.fromkeys(i.group for i in items)}
    confidence = np.array([
        5 + 2 * right - (item.condition == "violate") + of_group[item.group]
        + 0.3 * rng.normal() + 50 * (item.condition == "nonsense")
        for item, right in zip(items, is_right, strict=True)
    ])  # fmt: skip
    answers = Answers([], np.zeros(len(items), int), is_right, confidence)
    *data, names = confidence_design(items, answers)
    assert data[0].shape == (96, 3) and names == ("intercept", "right", "against belief")
    np.testing.assert_array_equal(np.abs(data[0][:, 1:]), 0.5)
    fit = fit_mixed_linear(*data, names)
    for name, true in (("right", 2.0), ("against belief", -1.0)):
        low, high = fit.interval(name)
        assert 0.1 < high - low < 0.5
        assert low - 0.1 < true < high + 0.1  # Three standard errors and a half.
    assert fit.deviation == pytest.approx(1.0, abs=0.4)


def test_what_cannot_be_told_apart_is_left_out():
    items = syllogism_items()
    by_logic = [np.array([2.0, 0.0])[:: 1 if item.right == 0 else -1] for item in items]
    assert confidence_design(items, from_preferences(items, by_logic))[3] == (
        "intercept", "against belief"
    )  # fmt: skip
    believed = [np.array([2.0, 0.0])[:: 1 if item.is_believable else -1] for item in items]
    # Right is what agrees with belief, and nothing else.
    assert confidence_design(items, from_preferences(items, believed))[3] == (
        "intercept", "right"
    )  # fmt: skip
    nonsense = [item for item in items if item.condition == "nonsense"]
    none = confidence_design(
        nonsense, from_preferences(nonsense, by_logic[: len(nonsense)])
    )
    assert none[0].shape == (0, 0) and none[3] == ()


def test_too_little_is_refused():
    one = np.ones((3, 1))
    with pytest.raises(ValueError, match="1 groups: must be at least 2"):
        fit_mixed_linear(one, np.ones(3), np.zeros(3), ("one",))
    with pytest.raises(ValueError, match="2 answers for 2 predictors: must be more"):
        fit_mixed_linear(np.eye(2), np.ones(2), np.arange(2), ("one", "x"))
