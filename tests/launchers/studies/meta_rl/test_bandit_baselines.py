"""Measures by hand, the reference table of policies."""

import numpy as np
import pytest

from tolman.launchers.studies.meta_rl import bandit_baselines as bandits

NUM_EPISODES = 6000
NUM_REFERENCE_EPISODES = 50_000


def assert_regret(regret: np.ndarray, reference: float, rounding: float = 0.005) -> None:
    """Equality up to four standard errors of both simulations, and rounding."""
    variance = regret.var() * (1 / len(regret) + 1 / NUM_REFERENCE_EPISODES)
    assert abs(regret.mean() - reference) < 4 * np.sqrt(variance) + rounding


# Measures.


def test_regret_of_fixed_means_by_hand():
    means = np.array([[0.2, 0.7], [0.5, 0.5]])
    actions = np.array([[0, 1, 0], [0, 1, 1]])
    np.testing.assert_allclose(bandits.expected_regret(means, actions), [1.0, 0.0])
    per_trial = bandits.regret_per_trial(means, actions)
    np.testing.assert_allclose(per_trial, [[0.5, 0.0, 0.5], [0.0, 0.0, 0.0]])
    np.testing.assert_array_equal(bandits.suboptimal_pulls(means, actions), [2, 0])


def test_regret_of_moving_means_by_hand():
    means = np.array([[[0.1, 0.9], [0.6, 0.4], [0.5, 0.25]]])
    actions = np.array([[0, 1, 0]])
    np.testing.assert_allclose(bandits.expected_regret(means, actions), [0.8 + 0.2])
    np.testing.assert_array_equal(bandits.suboptimal_pulls(means, actions), [2])


@pytest.mark.parametrize(
    ("means", "actions", "message"),
    [
        (np.zeros((2, 2)), np.zeros((3, 4), int), "as in means"),
        (np.zeros((2, 5, 2)), np.zeros((2, 4), int), "4 trials"),
        (np.zeros((1, 2)), np.array([[0, 2]]), r"0\.\.1"),
    ],
)
def test_regret_refuses_misfits(means, actions, message):
    with pytest.raises(ValueError, match=message):
        bandits.expected_regret(means, actions)


# The reference table: random, UCB1 (chi 2), UCB (chi 1), Thompson; regret over 100 trials.

POLICIES = (
    bandits.random_policy,
    bandits.ucb_policy(2.0),
    bandits.ucb_policy(1.0),
    bandits.thompson_policy,
)


def draw_means(task, num_episodes, generator):
    """Payoff probabilities of two arms, `[E, 2]`: independent ones, or of a difficulty."""
    if task == "independent":
        return generator.random((num_episodes, 2))
    probability = bandits.dependent_probability(task)
    if probability is None:
        first = generator.random(num_episodes)
    else:
        is_first = generator.random(num_episodes) < 0.5
        first = np.where(is_first, probability, 1.0 - probability)
    return np.stack([first, 1.0 - first], axis=1)


@pytest.mark.parametrize(
    ("task", "references"),
    [
        ("independent", (100 / 6, 5.60, 4.12, 2.79)),
        ("uniform", (25.0, 5.99, 4.19, 2.79)),
        ("easy", (40.0, 6.30, 3.90, 2.12)),
        ("medium", (25.0, 7.02, 4.68, 3.01)),
        ("hard", (10.0, 5.99, 4.88, 4.08)),
    ],
)
def test_policies_reach_the_reference_table(task, references):
    generator = np.random.default_rng(7)
    means = draw_means(task, NUM_EPISODES, generator)
    for policy, reference in zip(POLICIES, references, strict=True):
        pulls = bandits.play_bernoulli(policy, means, generator, 100)
        assert_regret(bandits.expected_regret(means, pulls.actions), reference)


def test_ties_are_broken_at_random():
    means = np.full((4000, 4), 0.5)
    pulls = bandits.play_bernoulli(
        bandits.random_policy, means, np.random.default_rng(0), 2
    )
    for trial in range(2):
        counts = np.bincount(pulls.actions[:, trial], minlength=4)
        assert (np.abs(counts - 1000) < 4 * np.sqrt(4000 * 3 / 16)).all()


def test_play_repeats_with_the_seed_and_pays_means():
    means = np.tile([0.3, 0.8], (4000, 1))
    first, second = (
        bandits.play_bernoulli(bandits.thompson_policy, means, np.random.default_rng(3), 20)
        for _ in range(2)
    )
    np.testing.assert_array_equal(first.actions, second.actions)
    np.testing.assert_array_equal(first.rewards, second.rewards)
    for arm, mean in enumerate((0.3, 0.8)):
        paid = first.rewards[first.actions == arm]
        assert abs(paid.mean() - mean) < 4 * np.sqrt(mean * (1 - mean) / len(paid))


def test_play_needs_the_number_of_trials_and_probabilities():
    generator = np.random.default_rng(0)
    with pytest.raises(ValueError, match="num_trials=100"):
        bandits.play_bernoulli(bandits.random_policy, np.zeros((1, 2)), generator)
    with pytest.raises(ValueError, match="probabilities"):
        bandits.play_bernoulli(bandits.random_policy, np.full((1, 2), 5.0), generator, 3)
