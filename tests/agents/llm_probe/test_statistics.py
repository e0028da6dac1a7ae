"""Statistics: by hand, against numerical integrals, and on planted and absent effects."""

import numpy as np
import pytest
from scipy import integrate, stats

from tolman.agents.llm_probe.content_effects import statistics
from tolman.agents.llm_probe.content_effects.answers import from_preferences
from tolman.agents.llm_probe.content_effects.confidence import fit_mixed_linear
from tolman.agents.llm_probe.content_effects.statistics import (
    BELIEF_NAMES,
    accuracy_by_condition,
    belief_design,
    cluster_bootstrap,
    fit_mixed_logistic,
    says_valid_by_cell,
)
from tolman.agents.llm_probe.content_effects.syllogisms import syllogism_items

ITEMS = syllogism_items()


def test_shares_by_hand():
    """A model that calls valid what it believes, and all nonsense."""
    items = ITEMS
    choice = np.array([1 if item.is_believable is False else 0 for item in items])
    is_right = choice == np.array([item.right for item in items])
    assert accuracy_by_condition(items, is_right) == {
        "consistent": 1.0, "violate": 0.0, "nonsense": 0.5
    }  # fmt: skip
    cells = says_valid_by_cell(items, choice)
    assert cells[True, True] == cells[False, True] == cells[False, None] == 1.0
    assert cells[True, False] == cells[False, False] == 0.0
    predictors, called, groups = belief_design(items, choice)
    assert predictors.shape == (96, 4) and len(np.unique(groups)) == 24
    np.testing.assert_array_equal(called, predictors[:, 2] > 0)
    np.testing.assert_array_equal(np.abs(predictors[:, 1:]), 0.5)
    agree = predictors[:, 1] == predictors[:, 2]
    np.testing.assert_array_equal(predictors[:, 3] > 0, agree)


def small_data(rng, num_groups=12, size=4):
    groups = np.repeat(np.arange(num_groups), size)
    predictors = np.stack([np.ones(len(groups)), rng.normal(size=len(groups))], axis=1)
    return predictors, rng.random(len(groups)) < 0.5, groups


def test_the_likelihood_equals_an_integral_and_its_gradient_a_difference():
    predictors, outcome, groups = small_data(np.random.default_rng(0))
    theta = np.array([0.3, -0.7, 1.2])

    def integrand(u, group):
        logits = (predictors @ theta[:2])[groups == group] + theta[2] * u
        share = 1 / (1 + np.exp(-logits))
        return np.prod(
            np.where(outcome[groups == group], share, 1 - share)
        ) * stats.norm.pdf(u)

    expected = -sum(
        np.log(integrate.quad(integrand, -9, 9, args=(group,))[0]) for group in range(12)
    )
    expected += 0.5 * (0.3**2 + 0.7**2) / statistics.PRIOR_DEVIATION**2
    likelihood = statistics._Likelihood(predictors, outcome, groups)
    value, gradient = likelihood.loss(theta)
    assert value == pytest.approx(expected, abs=1e-5)
    for index in range(3):
        move = 1e-5 * np.eye(3)[index]
        slope = (likelihood.loss(theta + move)[0] - likelihood.loss(theta - move)[0]) / 2e-5
        assert gradient[index] == pytest.approx(slope, abs=1e-5)


def test_a_fit_without_groups_effects_is_that_of_a_table():
    # 30 of 40 against 10 of 40: log-odds of 3 and 1/3, standard error of their difference
    # sqrt(1/30 + 1/10 + 1/10 + 1/30). Every group has the same answers.
    groups = np.repeat(np.arange(20), 4)
    side = np.tile([0.0, 0.0, 1.0, 1.0], 20)
    outcome = np.concatenate([[1, 0, 1, 1] if g % 2 else [0, 0, 1, 0] for g in range(20)])
    outcome = outcome.astype(bool)
    outcome[side == 0] = np.arange(40) % 4 == 0
    outcome[side == 1] = np.arange(40) % 4 != 0
    predictors = np.stack([np.ones(80), side], axis=1)
    fit = fit_mixed_logistic(predictors, outcome, groups, ("intercept", "side"))
    assert fit.deviation < 0.3
    assert fit.coefficients[1] == pytest.approx(2 * np.log(3), rel=0.05)
    assert fit.standard_errors[1] == pytest.approx(np.sqrt(8 / 30), rel=0.1)
    low, high = fit.interval("side")
    assert high - low == pytest.approx(2 * 1.96 * fit.standard_errors[1], rel=1e-3)


def planted(validity, belief, copies, rng, deviation=1.0):
    """Answers of a model whose log-odds of "valid" are planted, to copies of the items."""
    items, names = ITEMS, dict.fromkeys(item.group for item in ITEMS)
    parts, outcomes, groups = [], [], []
    for copy in range(copies):
        of_group = dict(zip(names, rng.normal(size=24), strict=True))
        preference = [
            np.array([
                validity * (item.is_valid - 0.5)
                + belief * ((item.is_believable or False) - 0.5)
                + deviation * of_group[item.group] + rng.logistic(),
                0.0,
            ])
            for item in items
        ]  # fmt: skip
        design = belief_design(items, from_preferences(items, preference).choice)
        parts.append(design[0])
        outcomes.append(design[1])
        groups.append(design[2] + 24 * copy)
    return np.concatenate(parts), np.concatenate(outcomes), np.concatenate(groups)


def test_planted_effects_come_out_inside_their_intervals():
    data = planted(2.0, 1.0, copies=10, rng=np.random.default_rng(0))
    fit = fit_mixed_logistic(*data, BELIEF_NAMES)
    for name, true in (("validity", 2.0), ("belief", 1.0), ("validity x belief", 0.0)):
        low, high = fit.interval(name)
        assert low < true < high and high - low < 0.9
    assert fit.deviation == pytest.approx(1.0, abs=0.3)


def crossed_data():
    """60 groups, each with two answers to every cell of validity and belief.

    Gives predictors, groups, outcomes that are right or wrong, and outcomes in numbers.
    """
    rng = np.random.default_rng(7)
    cells = np.array([(v, b) for v in (-0.5, 0.5) for b in (-0.5, 0.5)] * 2)
    valid, belief = np.tile(cells, (60, 1)).T
    groups = np.repeat(np.arange(60), 8)
    predictors = np.stack([np.ones(480), valid, belief, 2 * valid * belief], axis=1)
    of_group = rng.normal(size=60)[groups]
    share = 1 / (1 + np.exp(-(predictors @ [0.3, 2.0, 1.0, 0.0] + of_group)))
    called = rng.random(480) < share
    number = predictors @ [4.0, 1.5, -0.8, 0.3] + 1.2 * of_group
    return predictors, groups, called, number + 0.7 * rng.normal(size=480)


# What statsmodels 0.15.0 makes of `crossed_data`, coefficients and standard errors:
# MixedLM by maximum likelihood, ConditionalLogit, BinomialBayesMixedGLM.fit_vb with priors
# of deviation 2 (log of the groups' deviation) and 5 (coefficients).
LINEAR = ((3.75412, 1.50167, -0.88639, 0.34150), (0.14719, 0.05908, 0.05908, 0.05908))
CONDITIONAL = ((2.09195, 1.41218, -0.57573), (0.25918, 0.24535, 0.24030))
VARIATIONAL = ((-0.20620, 2.08654, 1.40605, -0.52481), (0.11238, 0.22459, 0.22459, 0.22459))


def test_crossed_effects_are_those_of_statsmodels():
    predictors, groups, called, number = crossed_data()
    linear = fit_mixed_linear(predictors, number, groups, BELIEF_NAMES)
    np.testing.assert_allclose(linear.coefficients, LINEAR[0], atol=1e-4)
    np.testing.assert_allclose(linear.standard_errors, LINEAR[1], atol=1e-4)
    assert linear.deviation == pytest.approx(1.11692, abs=1e-3)
    assert linear.log_likelihood == pytest.approx(-568.59856, abs=1e-4)
    fit = fit_mixed_logistic(predictors, called, groups, BELIEF_NAMES)
    # The conditional likelihood needs no distribution of the groups and has no prior, so
    # it is another estimate: a fifth of a standard error apart, the errors within 3 %.
    apart = np.abs(fit.coefficients[1:] - CONDITIONAL[0]) / CONDITIONAL[1]
    assert apart.max() < 0.25
    np.testing.assert_allclose(fit.standard_errors[1:], CONDITIONAL[1], rtol=0.03)
    # The variational fit has the same likelihood; its errors are known to be too small.
    np.testing.assert_allclose(fit.coefficients, VARIATIONAL[0], atol=0.03)
    assert (fit.standard_errors > VARIATIONAL[1]).all()


def test_the_numbers_of_statsmodels_are_its_own():
    pytest.importorskip("statsmodels", reason="statsmodels is not there")
    from statsmodels.discrete.conditional_models import ConditionalLogit
    from statsmodels.genmod.bayes_mixed_glm import BinomialBayesMixedGLM
    from statsmodels.regression.mixed_linear_model import MixedLM

    predictors, groups, called, number = crossed_data()
    linear = MixedLM(number, predictors, groups).fit(reml=False)
    np.testing.assert_allclose([linear.fe_params, linear.bse_fe], LINEAR, atol=1e-5)
    assert linear.llf == pytest.approx(-568.59856, abs=1e-5)
    answers = called.astype(float)
    conditional = ConditionalLogit(answers, predictors[:, 1:], groups=groups).fit(disp=0)
    np.testing.assert_allclose(
        [conditional.params, conditional.bse], CONDITIONAL, atol=1e-5
    )
    is_member = (groups[:, None] == np.arange(60)).astype(float)
    kind = np.zeros(60, int)
    model = BinomialBayesMixedGLM(answers, predictors, is_member, kind, 2.0, 5.0)
    variational = model.fit_vb(mean=np.zeros(65), sd=np.full(65, 0.5))
    np.testing.assert_allclose(
        [variational.fe_mean, variational.fe_sd], VARIATIONAL, atol=1e-3
    )


def test_absent_effects_are_rarely_found():
    rng, found = np.random.default_rng(0), 0
    for _ in range(200):
        fit = fit_mixed_logistic(*planted(1.5, 0.0, copies=1, rng=rng), BELIEF_NAMES)
        low, high = fit.interval("belief")
        found += not low < 0 < high
    assert 1 <= found <= 18  # 9 %; 10 are expected.


def test_separable_answers_stay_finite():
    items = ITEMS
    design = belief_design(items, np.array([item.right for item in items]))
    fit = fit_mixed_logistic(*design, BELIEF_NAMES)
    assert np.isfinite(fit.coefficients).all() and np.isfinite(fit.standard_errors).all()
    assert fit.coefficients[1] > 4 and abs(fit.coefficients[2]) < 1e-3


def test_the_bootstrap_draws_groups():
    # 50 groups of 4 equal answers: the error of the mean is that of 50 values, not 200.
    rng = np.random.default_rng(0)
    values = np.repeat(rng.normal(size=50), 4)
    groups = np.repeat(np.arange(50), 4)
    low, high = cluster_bootstrap(
        groups, lambda rows: float(values[rows].mean()), 2_000, rng
    )
    width = 2 * 1.96 * values[::4].std() / np.sqrt(50)
    assert high - low == pytest.approx(width, rel=0.1)
    assert low < values.mean() < high


def test_what_cannot_be_fitted_is_refused():
    predictors, outcome, groups = small_data(np.random.default_rng(0))
    with pytest.raises(ValueError, match="must fit together"):
        fit_mixed_logistic(predictors, outcome, groups, ("one",))
    with pytest.raises(ValueError, match="1 groups: must be at least 2"):
        fit_mixed_logistic(predictors, outcome, 0 * groups, ("one", "two"))


def test_the_likelihood_is_without_the_prior():
    outcome, groups = np.array([1, 1, 1, 0, 1, 1], bool), np.array([0, 0, 0, 1, 1, 1])
    fit = statistics.fit_mixed_logistic(np.ones((6, 1)), outcome, groups, ("one",))
    z = np.linspace(-8, 8, 4001)
    density = np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)
    right = 1 / (1 + np.exp(-(fit.coefficients[0] + fit.deviation * z)))
    slow = [
        (density * one).sum() * (z[1] - z[0]) for one in (right**3, right**2 * (1 - right))
    ]
    assert fit.log_likelihood == pytest.approx(np.log(slow).sum(), abs=1e-4)
