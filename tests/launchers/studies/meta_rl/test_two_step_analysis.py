"""Stay profile by hand; the lagged regression tells synthetic players apart."""

import numpy as np
import pytest

from tolman.launchers.studies.meta_rl.two_step_analysis import (
    TwoStepTrials,
    lagged_regression,
    stay_probabilities,
)
from tolman.launchers.studies.meta_rl.two_step_players import simulate_agent


def play(kind: str, num_episodes: int = 400, seed: int = 0, **arguments):
    generator = np.random.default_rng(seed)
    return simulate_agent(kind, num_episodes, generator, **arguments)


def trials_of(action, state, reward) -> TwoStepTrials:
    action, state = np.array(action), np.array(state)
    return TwoStepTrials(action, action == state, state, np.array(reward))


# Trials.


def test_trials_refuse_misfits():
    zeros = np.zeros((2, 3), int)
    with pytest.raises(ValueError, match="one row per episode"):
        TwoStepTrials(zeros, zeros[:1], zeros, zeros)
    with pytest.raises(ValueError, match="0 and 1 only"):
        TwoStepTrials(zeros + 2, zeros, zeros, zeros)
    with pytest.raises(ValueError, match="commonly leads"):
        TwoStepTrials(zeros, zeros, zeros, zeros)
    with pytest.raises(ValueError, match="one state per episode"):
        TwoStepTrials(zeros, zeros == 0, zeros, zeros, np.zeros(5))


# Stay profile.


def test_stay_probabilities_by_hand():
    profile = stay_probabilities(
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


def test_stay_standard_error_is_binomial_for_independent_choices():
    profile = stay_probabilities(play("mixed", 4000, inverse_temperature=0.0))
    binomial = np.sqrt(0.25 / profile.count)
    np.testing.assert_allclose(profile.standard_error, binomial, rtol=0.1)
    assert (np.abs(profile.probability - 0.5) < 4 * binomial).all()


def test_an_outcome_that_never_occurred_is_nan():
    profile = stay_probabilities(trials_of([[0, 0]], [[0, 0]], [[1, 1]]))
    assert profile.probability[0] == 1.0
    assert np.isnan(profile.probability[1:]).all()


# Lagged regression.


def test_regression_tells_the_learners_apart():
    based = lagged_regression(play("model_based", 1000))
    assert based.coefficient("rewarded_common_1") > 4 * based.standard_errors[0]
    assert based.coefficient("rewarded_rare_1") < -4 * based.standard_errors[1]
    assert based.coefficient("unrewarded_common_1") < -4 * based.standard_errors[2]
    assert based.coefficient("unrewarded_rare_1") > 4 * based.standard_errors[3]
    free = lagged_regression(play("model_free", 1000))
    assert free.coefficient("rewarded_rare_1") > 4 * free.standard_errors[1]
    assert free.coefficient("unrewarded_rare_1") < -4 * free.standard_errors[3]


def test_regression_of_chance_shows_nothing():
    fit = lagged_regression(play("mixed", 2000, inverse_temperature=0.0))
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
    trials = TwoStepTrials(action, action == state, state, reward, side[:, 0])
    profile = stay_probabilities(trials)
    assert profile.rewarded_difference + profile.unrewarded_difference > 0.4
    fit = lagged_regression(trials)
    outcomes = fit.coefficients[:-2] / fit.standard_errors[:-2]
    assert (np.abs(outcomes) < 4).all()
    assert fit.coefficient("correct_side") == pytest.approx(2 * np.log(4), abs=0.2)


def test_correct_side_can_be_estimated():
    trials = play("model_based", 1500)
    guessed = TwoStepTrials(
        trials.first_action, trials.transition_common, trials.second_state, trials.reward
    )
    known, estimated = (lagged_regression(t) for t in (trials, guessed))
    np.testing.assert_allclose(known.coefficients, estimated.coefficients, atol=0.35)


def test_an_outcome_counts_at_its_own_lag():
    # Repeats what was rewarded two trials ago, with log-odds 2; else tosses a coin.
    generator = np.random.default_rng(4)
    num_episodes, num_trials = 2000, 8
    action = np.zeros((num_episodes, num_trials), int)
    state, reward = np.zeros_like(action), np.zeros_like(action)
    for trial in range(num_trials):
        log_odds = np.zeros(num_episodes)  # Of action 0.
        if trial >= 2:
            log_odds = 2.0 * reward[:, trial - 2] * (1 - 2 * action[:, trial - 2])
        action[:, trial] = generator.random(num_episodes) > 1 / (1 + np.exp(-log_odds))
        is_rare = generator.random(num_episodes) < 0.5
        state[:, trial] = np.where(is_rare, 1 - action[:, trial], action[:, trial])
        reward[:, trial] = generator.random(num_episodes) < 0.5
    fit = lagged_regression(trials_of(action, state, reward))
    for transition in ("common", "rare"):
        found = [fit.coefficient(f"rewarded_{transition}_{lag}") for lag in (1, 2, 3)]
        # The predictor is 1/2, so the coefficient is twice the log-odds.
        assert found == pytest.approx([0.0, 4.0, 0.0], abs=0.3)
        found = [fit.coefficient(f"unrewarded_{transition}_{lag}") for lag in (1, 2, 3)]
        assert found == pytest.approx([0.0, 0.0, 0.0], abs=0.3)


def test_lags_are_checked():
    with pytest.raises(ValueError, match="1 to 9"):
        lagged_regression(play("mixed", 2), num_lags=10)
