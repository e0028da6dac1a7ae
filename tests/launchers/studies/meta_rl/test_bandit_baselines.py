"""Numbers by hand, published Gittins indices, brute-force optima, the reference table."""

import functools

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


# Gittins indices.


def test_gittins_published_values():
    # By wins and losses, from Christian and Griffiths 2016, "Algorithms to Live By",
    # chapter 2 (discounts 0.9 and 0.99), after the tables of Gittins, Glazebrook and Weber
    # 2011, "Multi-armed Bandit Allocation Indices".
    table = bandits.gittins_index_table(0.9, 10)
    published = {(0, 0): 0.7029, (1, 1): 0.6346, (2, 2): 0.6010, (9, 1): 0.8695}
    for state, index in published.items():
        assert table[state] == pytest.approx(index, abs=1e-4)
    assert bandits.gittins_index_table(0.99, 2)[0, 0] == pytest.approx(0.8699, abs=1e-4)
    assert np.isnan(table[10, 1])


def gittins_by_bisection(successes: int, failures: int, discount: float) -> float:
    """One state's index: the sure reward at which a first pull is worth just as much."""

    def advantage(sure: float) -> float:
        @functools.cache
        def value(wins: int, losses: int) -> float:
            mean = (wins + 1) / (wins + losses + 2)
            if wins + losses >= successes + failures + 120:
                return max(sure, mean) / (1 - discount)
            return max(sure / (1 - discount), pull(wins, losses))

        def pull(wins: int, losses: int) -> float:
            mean = (wins + 1) / (wins + losses + 2)
            won, lost = value(wins + 1, losses), value(wins, losses + 1)
            return mean * (1 + discount * won) + (1 - mean) * discount * lost

        return pull(successes, failures) - sure / (1 - discount)

    low, high = 0.0, 1.0
    for _ in range(17):
        middle = (low + high) / 2
        low, high = (middle, high) if advantage(middle) > 0 else (low, middle)
    return (low + high) / 2


@pytest.mark.parametrize("state", [(0, 0), (0, 3), (4, 2)])
def test_gittins_agrees_with_bisection(state):
    table = bandits.gittins_index_table(0.95, 6)
    assert table[state] == pytest.approx(gittins_by_bisection(*state, 0.95), abs=2e-4)


def test_gittins_exceeds_the_mean_and_grows_with_patience():
    patient, hasty = (bandits.gittins_index_table(d, 15) for d in (0.95, 0.5))
    wins, losses = np.nonzero(np.isfinite(hasty))
    mean = (wins + 1) / (wins + losses + 2)
    assert (hasty[wins, losses] > mean).all()
    assert (patient[wins, losses] > hasty[wins, losses]).all()


# Exact optima.


def regret_by_recursion(num_trials: int) -> float:
    @functools.cache
    def value(arms: tuple[tuple[int, int], ...]) -> float:
        if sum(map(sum, arms)) == num_trials:
            return 0.0
        best = 0.0
        for arm, (wins, losses) in enumerate(arms):
            mean = (wins + 1) / (wins + losses + 2)
            won = value((*arms[:arm], (wins + 1, losses), *arms[arm + 1 :]))
            lost = value((*arms[:arm], (wins, losses + 1), *arms[arm + 1 :]))
            best = max(best, mean * (1 + won) + (1 - mean) * lost)
        return best

    return 2 / 3 * num_trials - value(((0, 0), (0, 0)))


def test_finite_horizon_by_hand():
    assert bandits.finite_horizon_regret(1) == pytest.approx(2 / 3 - 1 / 2)
    # After a success stay for 2/3, after a failure try the other arm for 1/2.
    value = 1 / 2 + 1 / 2 * 2 / 3 + 1 / 2 * 1 / 2
    assert bandits.finite_horizon_regret(2) == pytest.approx(4 / 3 - value)


@pytest.mark.parametrize("num_trials", [3, 5, 12])
def test_finite_horizon_agrees_with_recursion(num_trials):
    expected = regret_by_recursion(num_trials)
    assert bandits.finite_horizon_regret(num_trials) == pytest.approx(expected, abs=1e-12)


def test_finite_horizon_of_the_paper():
    assert bandits.finite_horizon_regret(100) == pytest.approx(1.75, abs=0.005)


@pytest.mark.parametrize(
    ("difficulty", "regret"),
    [("uniform", 1.22), ("easy", 0.63), ("medium", 1.00), ("hard", 2.31)],
)
def test_dependent_optimum_of_the_reference_table(difficulty, regret):
    assert bandits.dependent_optimum(difficulty) == pytest.approx(regret, abs=0.0051)


def test_dependent_optimum_by_hand():
    # Trial 1 is a coin toss; then p1 is read off one flip; a 1:1 record is a toss again.
    wrong = 0.5 + 0.1 + (0.1**2 + 0.5 * 2 * 0.1 * 0.9)
    assert bandits.dependent_optimum("easy", 3) == pytest.approx(0.8 * wrong)
    # Uniform p1: 3/4 - 1/2, then 3/4 - 2/3, then 3/4 - (3/4 + 1/2 + 3/4) / 3.
    assert bandits.dependent_optimum("uniform", 3) == pytest.approx(1 / 4 + 1 / 12 + 1 / 12)


def test_dependent_optimum_names_the_difficulties():
    with pytest.raises(ValueError, match="easy"):
        bandits.dependent_optimum("trivial")


# The reference table: random, UCB1 (chi 2), UCB (chi 1), Thompson; regret over 100 trials.

POLICIES = (
    bandits.random_policy,
    bandits.ucb_policy(2.0),
    bandits.ucb_policy(1.0),
    bandits.thompson_policy,
)


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
    means = bandits.draw_means(task, NUM_EPISODES, generator)
    for policy, reference in zip(POLICIES, references, strict=True):
        pulls = bandits.play_bernoulli(policy, means, generator, 100)
        assert_regret(bandits.expected_regret(means, pulls.actions), reference)


def test_gittins_policy_lies_between_the_optimum_and_thompson():
    generator = np.random.default_rng(1)
    means = bandits.draw_means("independent", 20_000, generator)
    policy = bandits.gittins_policy(bandits.gittins_index_table(0.97, 99))
    pulls = bandits.play_bernoulli(policy, means, generator, 100)
    regret = bandits.expected_regret(means, pulls.actions)
    error = regret.std() / np.sqrt(len(regret))
    assert regret.mean() > bandits.finite_horizon_regret(100) - 3 * error
    assert regret.mean() < 2.0  # Thompson sampling: 2.79


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
    short = bandits.gittins_policy(bandits.gittins_index_table(0.5, 2))
    with pytest.raises(ValueError, match="larger max_pulls"):
        bandits.play_bernoulli(short, np.full((1, 2), 0.5), generator, 4)


# The eleven-arm task.


def test_informative_payoffs_by_hand():
    payoffs = bandits.informative_payoffs(np.array([0, 9]))
    np.testing.assert_allclose(payoffs[0], [5] + [1] * 9 + [0.1])
    np.testing.assert_allclose(payoffs[1], [1] * 9 + [5, 1.0])
    with pytest.raises(ValueError, match=r"0\.\.9"):
        bandits.informative_payoffs(np.array([10]))


def test_informative_optimum_is_20_55():
    pulls = bandits.play_informative(
        bandits.informative_optimum_policy, np.arange(10), np.random.default_rng(0)
    )
    np.testing.assert_array_equal(pulls.actions[:, 0], np.full(10, 10))
    np.testing.assert_array_equal(pulls.actions[:, 4], np.arange(10))
    assert pulls.rewards.sum(axis=1).mean() == pytest.approx(20.55)


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        # Found at guess 1 to 5 with probability 1/10 each, else never.
        (bandits.informative_thompson_policy, (25 + 21 + 17 + 13 + 9) / 10 + 5 / 2),
        # Five different arms, none twice: each trial pays the average of all eleven.
        (bandits.ucb_policy(1.0), 5 * (5 + 9 + 0.55) / 11),
        (bandits.random_policy, 5 * (5 + 9 + 0.55) / 11),
    ],
)
def test_informative_baselines(policy, expected):
    generator = np.random.default_rng(5)
    targets = generator.integers(0, 10, NUM_EPISODES)
    returns = bandits.play_informative(policy, targets, generator).rewards.sum(axis=1)
    assert abs(returns.mean() - expected) < 4 * returns.std() / np.sqrt(len(returns))


# The restless task.


def test_walks_stay_inside_and_step_as_told():
    volatility = np.repeat([0.02, 0.2], 2000)
    means = bandits.restless_walks(np.random.default_rng(2), 4000, 100, volatility)
    assert means.shape == (4000, 100, 2)
    assert means.min() >= 0 and means.max() <= 1
    np.testing.assert_allclose(means.sum(axis=2), 1.0)
    step = np.diff(means[:2000, :, 0], axis=1)
    is_inside = np.abs(means[:2000, :-1, 0] - 0.5) < 0.3
    assert step[is_inside].std() == pytest.approx(0.02, rel=0.02)
    # The uniform distribution is the reflected walk's stationary one.
    for half in (means[:2000, -1, 0], means[2000:, -1, 0]):
        assert abs(half.mean() - 0.5) < 4 * np.sqrt(1 / 12 / 2000)
        assert half.var() == pytest.approx(1 / 12, rel=0.1)


def test_filter_of_a_walk_that_stands_still_is_the_dependent_optimum():
    generator = np.random.default_rng(4)
    means = bandits.restless_walks(generator, 3000, 100, 0.0)
    pulls = bandits.play_walk_filter(means, generator, (1e-3,), is_greedy=True)
    regret = bandits.expected_regret(means, pulls.actions)
    assert_regret(regret, bandits.dependent_optimum("uniform"), rounding=0.02)


def test_restless_baselines_in_order():
    generator = np.random.default_rng(6)
    volatility = np.tile([0.02, 0.2], 500)
    means = bandits.restless_walks(generator, 1000, 100, volatility)
    ucb = bandits.play_bernoulli(bandits.ucb_policy(1.0), means, generator)
    thompson = bandits.play_walk_filter(means, generator, (0.1,))
    optimum = bandits.play_walk_filter(means, generator, (0.02, 0.2), is_greedy=True)
    regrets = [
        bandits.expected_regret(means, pulls.actions) for pulls in (optimum, ucb, thompson)
    ]
    # Reference: UCB 8.17 and Thompson 11.2 on a few hundred episodes; here 8.25 and 11.05.
    for regret, reference in zip(regrets, (6.48, 8.25, 11.05), strict=True):
        assert abs(regret.mean() - reference) < 5 * regret.std() / np.sqrt(len(regret))
    assert regrets[0].mean() < regrets[1].mean() < regrets[2].mean()


def test_walk_arguments_are_checked():
    generator = np.random.default_rng(0)
    with pytest.raises(ValueError, match="volatility"):
        bandits.restless_walks(generator, 2, 3, -0.1)
    with pytest.raises(ValueError, match="restless_walks"):
        bandits.play_walk_filter(np.zeros((2, 2)), generator, (0.1,))
    with pytest.raises(ValueError, match="above 0"):
        bandits.play_walk_filter(np.zeros((2, 3, 2)), generator, (0.0,))
