"""Synthetic players: the task they play, and the profiles that the paper predicts."""

import numpy as np
import pytest

from tolman.launchers.studies.meta_rl.two_step_analysis import stay_probabilities
from tolman.launchers.studies.meta_rl.two_step_players import simulate_agent


def play(kind: str, num_episodes: int = 400, seed: int = 0, **arguments):
    generator = np.random.default_rng(seed)
    return simulate_agent(kind, num_episodes, generator, **arguments)


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


def reward_effect(profile):
    """Stay after reward minus after failure, over transitions: the model-free mark."""
    return profile.probability[:2].mean() - profile.probability[2:].mean()


def test_paper_s_predicted_profiles():
    based = stay_probabilities(play("model_based", is_opposite=True))
    assert based.rewarded_difference > 0.3 and based.unrewarded_difference > 0.3
    assert abs(reward_effect(based)) < 0.1
    free = stay_probabilities(play("model_free", is_opposite=True))
    assert reward_effect(free) > 0.5
    assert free.rewarded_difference < 0.3 and free.unrewarded_difference < 0.3


def test_unknown_kind_is_named():
    with pytest.raises(ValueError, match="model_based"):
        play("habitual")
