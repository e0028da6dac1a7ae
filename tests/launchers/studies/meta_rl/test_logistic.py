"""Logistic regression against closed forms."""

import numpy as np
import pytest

from tolman.launchers.studies.meta_rl.logistic import fit_logistic


def test_logistic_intercept_is_the_log_odds():
    is_first = np.arange(100) < 30
    fit = fit_logistic(np.ones((100, 1)), is_first, ("bias",), ridge=1e-9)
    assert fit.coefficient("bias") == pytest.approx(np.log(0.3 / 0.7))
    assert fit.standard_errors[0] == pytest.approx(1 / np.sqrt(100 * 0.3 * 0.7))
    expected = 30 * np.log(0.3) + 70 * np.log(0.7)
    assert fit.log_likelihood == pytest.approx(expected)


def test_logistic_slope_is_the_log_odds_ratio():
    group = np.repeat([0.0, 1.0], [40, 60])
    is_first = np.concatenate([np.arange(40) < 10, np.arange(60) < 45])
    predictors = np.stack([np.ones(100), group], axis=1)
    fit = fit_logistic(predictors, is_first, ("bias", "group"), ridge=1e-9)
    np.testing.assert_allclose(fit.coefficients, [np.log(1 / 3), np.log(9)], rtol=1e-6)
    # Woolf: the variance of a log odds ratio is the sum of the reciprocal counts.
    variance = 1 / 10 + 1 / 30 + 1 / 45 + 1 / 15
    assert fit.standard_errors[1] == pytest.approx(np.sqrt(variance), rel=1e-5)


def test_the_penalty_is_half_a_ridge_a_square():
    """Where it is largest, the slope of the likelihood is that of the penalty."""
    generator = np.random.default_rng(0)
    predictors = generator.normal(size=(50, 3))
    is_first = generator.random(50) < 0.5
    fit = fit_logistic(predictors, is_first, ("a", "b", "c"), ridge=5.0)
    chance = 1 / (1 + np.exp(-predictors @ fit.coefficients))
    slope = predictors.T @ (is_first - chance)
    np.testing.assert_allclose(slope, 5.0 * fit.coefficients, atol=1e-4)


def test_logistic_stays_finite_on_separable_data():
    x = np.linspace(-1, 1, 20)
    fit = fit_logistic(x[:, None], x > 0, ("x",))
    assert np.isfinite(fit.coefficients).all() and fit.coefficient("x") > 5
    with pytest.raises(ValueError, match="at least one"):
        fit_logistic(np.zeros((0, 1)), np.zeros(0, bool), ("x",))
    with pytest.raises(ValueError, match="choices by names"):
        fit_logistic(np.zeros((3, 2)), np.zeros(3, bool), ("x",))
