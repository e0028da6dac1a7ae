"""The mixture fit: synthetic players come out as what they are."""

import numpy as np
import pytest

from tolman.launchers.studies.meta_rl import two_step_models
from tolman.launchers.studies.meta_rl.two_step_analysis import (
    TwoStepTrials,
    stay_probabilities,
)
from tolman.launchers.studies.meta_rl.two_step_models import fit_mixture
from tolman.launchers.studies.meta_rl.two_step_players import simulate_agent


def play(kind: str, num_episodes: int = 400, seed: int = 0, **arguments):
    generator = np.random.default_rng(seed)
    return simulate_agent(kind, num_episodes, generator, **arguments)


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
    fit = fit_mixture(trials)
    assert fit.verdict == verdict
    assert fit.weight == pytest.approx(weight, abs=0.12)


def test_parameters_are_recovered():
    trials = play("mixed", 1500, learning_rate=0.4, perseveration=0.5, is_opposite=True)
    hybrid = fit_mixture(trials).models["hybrid"]
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


def test_bic_counts_every_free_parameter():
    trials = play("mixed", 60)
    # Perseveration and bias; a temperature per learner; the learning rate they share.
    num_parameters = {"neither": 2, "model-free": 4, "model-based": 4, "hybrid": 5}
    num_choices = 60 * 9  # The first of ten trials is not scored.
    for name, model in fit_mixture(trials).models.items():
        penalty = num_parameters[name] * np.log(num_choices)
        assert model.bic == pytest.approx(penalty - 2 * model.regression.log_likelihood)


@pytest.mark.parametrize(
    ("weight", "verdict"),
    [
        (0.19, "model-free"),
        (0.21, "mixed"),
        (0.79, "mixed"),
        (0.81, "model-based"),
    ],
)
def test_a_weight_between_a_fifth_and_four_fifths_is_mixed(weight, verdict, monkeypatch):
    trials = play("mixed", 300, seed=11)  # The hybrid has the lowest BIC.
    monkeypatch.setattr(two_step_models, "_model_based_weight", lambda _: weight)
    assert fit_mixture(trials).verdict == verdict


@pytest.mark.parametrize("perseveration", [0.0, 1.0])
def test_chance_is_neither(perseveration):
    trials = play("mixed", inverse_temperature=0.0, perseveration=perseveration)
    fit = fit_mixture(trials)
    assert fit.verdict == "neither" and np.isnan(fit.weight)


def test_a_player_that_flees_reward_is_neither():
    # Its choices follow the values with the wrong sign: no learner may claim them.
    fit = fit_mixture(play("model_free", inverse_temperature=-8.0))
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
    trials = TwoStepTrials(*stacked, better)
    profile = stay_probabilities(trials)
    assert profile.rewarded_difference > 0.3 and profile.unrewarded_difference > 0.3
    fit = fit_mixture(trials)
    assert fit.verdict == "model-based" and fit.weight > 0.8


def test_unsigned_integers_give_the_same_fit():
    trials = play("model_based", 60)
    small = TwoStepTrials(
        trials.first_action.astype(np.uint8),
        trials.transition_common,
        trials.second_state.astype(np.uint8),
        trials.reward.astype(np.float32),
    )
    a, b = (fit_mixture(x) for x in (trials, small))
    assert (a.verdict, a.weight) == (b.verdict, b.weight)
