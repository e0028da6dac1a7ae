"""Stay profile and regressions by hand; synthetic players come out as what they are."""

import numpy as np
import pytest

from tolman.launchers.studies.meta_rl import two_step_analysis as two_step


def play(kind: str, num_episodes: int = 400, seed: int = 0, **arguments):
    generator = np.random.default_rng(seed)
    return two_step.simulate_agent(kind, num_episodes, generator, **arguments)


def trials_of(action, state, reward) -> two_step.TwoStepTrials:
    action, state = np.array(action), np.array(state)
    return two_step.TwoStepTrials(action, action == state, state, np.array(reward))


# Trials.


def test_trials_refuse_misfits():
    zeros = np.zeros((2, 3), int)
    with pytest.raises(ValueError, match="one row per episode"):
        two_step.TwoStepTrials(zeros, zeros[:1], zeros, zeros)
    with pytest.raises(ValueError, match="0 and 1 only"):
        two_step.TwoStepTrials(zeros + 2, zeros, zeros, zeros)
    with pytest.raises(ValueError, match="commonly leads"):
        two_step.TwoStepTrials(zeros, zeros, zeros, zeros)
    with pytest.raises(ValueError, match="one state per episode"):
        two_step.TwoStepTrials(zeros, zeros == 0, zeros, zeros, np.zeros(5))


def test_unsigned_integers_give_the_same_fit():
    trials = play("model_based", 60)
    small = two_step.TwoStepTrials(
        trials.first_action.astype(np.uint8),
        trials.transition_common,
        trials.second_state.astype(np.uint8),
        trials.reward.astype(np.float32),
    )
    a, b = (two_step.fit_mixture(x) for x in (trials, small))
    assert (a.verdict, a.weight) == (b.verdict, b.weight)


# Stay profile.


def test_stay_probabilities_by_hand():
    profile = two_step.stay_probabilities(
        trials_of(
            action=[[0, 0, 0, 1], [1, 1, 0, 0]],
            state=[[0, 1, 0, 1], [1, 0, 0, 1]],
            reward=[[1, 1, 0, 0], [1, 0, 0, 1]],
        )
    )
    # Episode 1: rewarded common, stay; rewarded rare, stay; failed common, switch.
    # Episode 2: rewarded common, stay; failed rare, switch; failed common, stay.
    np.testing.assert_array_equal(profile.count, [2, 1, 2, 1])
    np.testing.assert_allclose(profile.probability, [1.0, 1.0, 0.5, 0.0])
    # Failed common: residuals 0 - .5 and 1 - .5, so sqrt((.25 + .25) * 2 / 1) / 2.
    np.testing.assert_allclose(profile.standard_error, [0.0, 0.0, 0.5, 0.0])
    assert profile.rewarded_difference == pytest.approx(0.0)
    assert profile.unrewarded_difference == pytest.approx(-0.5)
    assert profile.interaction == pytest.approx(-0.5)
    assert profile.reward_effect == pytest.approx(1.0 - 0.25)


def test_stay_standard_error_is_binomial_for_independent_choices():
    profile = two_step.stay_probabilities(play("mixed", 4000, inverse_temperature=0.0))
    binomial = np.sqrt(0.25 / profile.count)
    np.testing.assert_allclose(profile.standard_error, binomial, rtol=0.1)
    assert (np.abs(profile.probability - 0.5) < 4 * binomial).all()


def test_an_outcome_that_never_occurred_is_nan():
    profile = two_step.stay_probabilities(trials_of([[0, 0]], [[0, 0]], [[1, 1]]))
    assert profile.probability[0] == 1.0
    assert np.isnan(profile.probability[1:]).all()


# Logistic regression.


def test_logistic_intercept_is_the_log_odds():
    is_first = np.arange(100) < 30
    fit = two_step.fit_logistic(np.ones((100, 1)), is_first, ("bias",), ridge=1e-9)
    assert fit.coefficient("bias") == pytest.approx(np.log(0.3 / 0.7))
    assert fit.standard_errors[0] == pytest.approx(1 / np.sqrt(100 * 0.3 * 0.7))
    expected = 30 * np.log(0.3) + 70 * np.log(0.7)
    assert fit.log_likelihood == pytest.approx(expected)


def test_logistic_slope_is_the_log_odds_ratio():
    group = np.repeat([0.0, 1.0], [40, 60])
    is_first = np.concatenate([np.arange(40) < 10, np.arange(60) < 45])
    predictors = np.stack([np.ones(100), group], axis=1)
    fit = two_step.fit_logistic(predictors, is_first, ("bias", "group"), ridge=1e-9)
    np.testing.assert_allclose(fit.coefficients, [np.log(1 / 3), np.log(9)], rtol=1e-6)
    # Woolf: the variance of a log odds ratio is the sum of the reciprocal counts.
    variance = 1 / 10 + 1 / 30 + 1 / 45 + 1 / 15
    assert fit.standard_errors[1] == pytest.approx(np.sqrt(variance), rel=1e-5)


def test_logistic_stays_finite_on_separable_data():
    x = np.linspace(-1, 1, 20)
    fit = two_step.fit_logistic(x[:, None], x > 0, ("x",))
    assert np.isfinite(fit.coefficients).all() and fit.coefficient("x") > 5
    with pytest.raises(ValueError, match="at least one"):
        two_step.fit_logistic(np.zeros((0, 1)), np.zeros(0, bool), ("x",))
    with pytest.raises(ValueError, match="choices by names"):
        two_step.fit_logistic(np.zeros((3, 2)), np.zeros(3, bool), ("x",))


# Lagged regression.


def test_regression_tells_the_learners_apart():
    based = two_step.lagged_regression(play("model_based", 1000))
    assert based.coefficient("rewarded_common_1") > 4 * based.standard_errors[0]
    assert based.coefficient("rewarded_rare_1") < -4 * based.standard_errors[1]
    assert based.coefficient("unrewarded_common_1") < -4 * based.standard_errors[2]
    assert based.coefficient("unrewarded_rare_1") > 4 * based.standard_errors[3]
    free = two_step.lagged_regression(play("model_free", 1000))
    assert free.coefficient("rewarded_rare_1") > 4 * free.standard_errors[1]
    assert free.coefficient("unrewarded_rare_1") < -4 * free.standard_errors[3]


def test_regression_of_chance_shows_nothing():
    fit = two_step.lagged_regression(play("mixed", 2000, inverse_temperature=0.0))
    assert (np.abs(fit.coefficients) < 4 * fit.standard_errors).all()
    assert fit.num_choices == 2000 * 9


def test_correct_side_takes_up_what_is_not_learned_from_the_last_trials():
    # A player that knows the better side from the start: stays look model-based, yet
    # nothing follows from outcomes.
    generator = np.random.default_rng(1)
    side = generator.integers(0, 2, (3000, 1))
    action = np.where(generator.random((3000, 10)) < 0.8, side, 1 - side)
    state = np.where(generator.random((3000, 10)) < 0.75, action, 1 - action)
    pays = np.where(state == side, 0.9, 0.1)
    reward = (generator.random((3000, 10)) < pays).astype(int)
    trials = two_step.TwoStepTrials(action, action == state, state, reward, side[:, 0])
    assert two_step.stay_probabilities(trials).interaction > 0.4
    fit = two_step.lagged_regression(trials)
    outcomes = fit.coefficients[:-2] / fit.standard_errors[:-2]
    assert (np.abs(outcomes) < 4).all()
    assert fit.coefficient("correct_side") == pytest.approx(2 * np.log(4), abs=0.2)


def test_correct_side_can_be_estimated():
    trials = play("model_based", 1500)
    guessed = two_step.TwoStepTrials(
        trials.first_action, trials.transition_common, trials.second_state, trials.reward
    )
    known, estimated = (two_step.lagged_regression(t) for t in (trials, guessed))
    np.testing.assert_allclose(known.coefficients, estimated.coefficients, atol=0.35)


def test_lags_are_checked():
    with pytest.raises(ValueError, match="1 to 9"):
        two_step.lagged_regression(play("mixed", 2), num_lags=10)


# Mixture.


@pytest.mark.parametrize("is_opposite", [False, True])
@pytest.mark.parametrize(("rate", "temperature"), [(0.5, 8.0), (0.2, 8.0), (0.8, 4.0)])
@pytest.mark.parametrize(
    ("kind", "verdict", "weight"),
    [
        ("model_free", "model-free", 0.0),
        ("model_based", "model-based", 1.0),
        ("mixed", "mixed", 0.5),
    ],
)
def test_players_come_out_as_what_they_are(
    kind, verdict, weight, rate, temperature, is_opposite
):
    trials = play(
        kind,
        300,
        seed=11,
        learning_rate=rate,
        inverse_temperature=temperature,
        is_opposite=is_opposite,
    )
    fit = two_step.fit_mixture(trials)
    assert fit.verdict == verdict
    assert fit.weight == pytest.approx(weight, abs=0.12)


def test_parameters_are_recovered():
    trials = play("mixed", 1500, learning_rate=0.4, perseveration=0.5, is_opposite=True)
    hybrid = two_step.fit_mixture(trials).models["hybrid"]
    regression = hybrid.regression
    assert hybrid.learning_rate == pytest.approx(0.4, abs=0.04)
    for name, truth in (
        ("model_based", 4.0),
        ("model_free", 4.0),
        ("perseveration", 0.5),
        ("bias", 0.0),
    ):
        error = regression.standard_errors[regression.names.index(name)]
        assert abs(regression.coefficient(name) - truth) < 4 * error + 0.1


@pytest.mark.parametrize("perseveration", [0.0, 1.0])
def test_chance_is_neither(perseveration):
    trials = play("mixed", inverse_temperature=0.0, perseveration=perseveration)
    fit = two_step.fit_mixture(trials)
    assert fit.verdict == "neither" and np.isnan(fit.weight)


def test_a_player_that_flees_reward_is_neither():
    # Its choices follow the values with the wrong sign: no learner may claim them.
    fit = two_step.fit_mixture(play("model_free", inverse_temperature=-8.0))
    assert fit.verdict == "neither"
    for model in fit.models.values():
        for name in ("model_based", "model_free"):
            if name in model.regression.names:
                assert model.regression.coefficient(name) >= 0


def test_bayesian_player_is_model_based():
    # Infers the better state from all outcomes: what a trained agent approximates.
    generator = np.random.default_rng(3)
    num_episodes = 400
    better = generator.integers(0, 2, num_episodes)
    log_odds = np.zeros(num_episodes)  # that state 0 is better
    columns = []
    for _ in range(10):
        action = (generator.random(num_episodes) > 1 / (1 + np.exp(-log_odds))).astype(int)
        is_common = generator.random(num_episodes) < 0.75
        state = np.where(is_common, action, 1 - action)
        pays = np.where(state == better, 0.9, 0.1)
        reward = (generator.random(num_episodes) < pays).astype(int)
        log_odds += np.log(9) * (2 * reward - 1) * (1 - 2 * state)
        columns.append((action, is_common, state, reward))
    stacked = (np.stack(column, axis=1) for column in zip(*columns, strict=True))
    trials = two_step.TwoStepTrials(*stacked, better)
    profile = two_step.stay_probabilities(trials)
    assert profile.rewarded_difference > 0.3 and profile.unrewarded_difference > 0.3
    fit = two_step.fit_mixture(trials)
    assert fit.verdict == "model-based" and fit.weight > 0.8


# The simulated task.


def test_simulated_task_has_the_paper_s_probabilities():
    trials = play("mixed", 4000)
    count = trials.reward.size
    common = trials.transition_common.mean()
    assert abs(common - 0.75) < 4 * np.sqrt(0.75 * 0.25 / count)
    is_good = trials.second_state == trials.rewarding_state[:, None]
    for chosen, probability in ((is_good, 0.9), (~is_good, 0.1)):
        error = np.sqrt(0.09 / chosen.sum())
        assert abs(trials.reward[chosen].mean() - probability) < 4 * error
    assert trials.first_action.shape == (4000, 10)


def test_paper_s_predicted_profiles():
    based = two_step.stay_probabilities(play("model_based", is_opposite=True))
    assert based.rewarded_difference > 0.3 and based.unrewarded_difference > 0.3
    assert abs(based.reward_effect) < 0.1
    free = two_step.stay_probabilities(play("model_free", is_opposite=True))
    assert free.reward_effect > 0.5
    assert free.rewarded_difference < 0.3 and free.unrewarded_difference < 0.3


def test_unknown_kind_is_named():
    with pytest.raises(ValueError, match="model_based"):
        play("habitual")
