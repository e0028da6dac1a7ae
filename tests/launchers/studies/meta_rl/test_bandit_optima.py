"""Published Gittins indices, brute-force optima, optima by hand."""

import functools
from fractions import Fraction

import numpy as np
import pytest

from tolman.launchers.studies.meta_rl import bandit_baselines as bandits
from tolman.launchers.studies.meta_rl import bandit_optima as optima

# Gittins indices.


def test_gittins_published_values():
    # By wins and losses, from Christian and Griffiths 2016, "Algorithms to Live By",
    # chapter 2 (discounts 0.9 and 0.99), after the tables of Gittins, Glazebrook and Weber
    # 2011, "Multi-armed Bandit Allocation Indices".
    table = optima.gittins_index_table(0.9, 10)
    published = {(0, 0): 0.7029, (1, 1): 0.6346, (2, 2): 0.6010, (9, 1): 0.8695}
    for state, index in published.items():
        assert table[state] == pytest.approx(index, abs=1e-4)
    assert optima.gittins_index_table(0.99, 2)[0, 0] == pytest.approx(0.8699, abs=1e-4)
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
    table = optima.gittins_index_table(0.95, 6)
    assert table[state] == pytest.approx(gittins_by_bisection(*state, 0.95), abs=2e-4)


def test_gittins_exceeds_the_mean_and_grows_with_patience():
    patient, hasty = (optima.gittins_index_table(d, 15) for d in (0.95, 0.5))
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
    assert optima.finite_horizon_regret(1) == pytest.approx(2 / 3 - 1 / 2)
    # After a success stay for 2/3, after a failure try the other arm for 1/2.
    value = 1 / 2 + 1 / 2 * 2 / 3 + 1 / 2 * 1 / 2
    assert optima.finite_horizon_regret(2) == pytest.approx(4 / 3 - value)


@pytest.mark.parametrize("num_trials", [3, 5, 12])
def test_finite_horizon_agrees_with_recursion(num_trials):
    expected = regret_by_recursion(num_trials)
    assert optima.finite_horizon_regret(num_trials) == pytest.approx(expected, abs=1e-12)


def best_arms_by_fractions(num_trials: int) -> dict:
    """The set of best arms in every state, in exact arithmetic."""
    best = {}

    @functools.cache
    def value(arms: tuple[tuple[int, int], ...]) -> Fraction:
        if sum(map(sum, arms)) == num_trials:
            return Fraction(0)
        pulls = []
        for arm, (wins, losses) in enumerate(arms):
            mean = Fraction(wins + 1, wins + losses + 2)
            won = value((*arms[:arm], (wins + 1, losses), *arms[arm + 1 :]))
            lost = value((*arms[:arm], (wins, losses + 1), *arms[arm + 1 :]))
            pulls.append(mean * (1 + won) + (1 - mean) * lost)
        best[arms] = [pull == max(pulls) for pull in pulls]
        return max(pulls)

    value(((0, 0), (0, 0)))
    return best


def test_finite_horizon_policy_ties_exactly_where_the_arms_are_equal():
    # Rounding must not break a tie, nor a small advantage pass for one.
    num_trials = 12
    score = optima.finite_horizon_policy(num_trials)
    best = best_arms_by_fractions(num_trials)
    states = np.array(list(best))  # [S, 2 arms, (wins, losses)]
    done = states.sum((1, 2))
    for trial in range(num_trials):
        at = states[done == trial]
        wins, pulls = at[:, :, 0].astype(float), at.sum(2).astype(float)
        scored = score(wins, pulls, trial, np.random.default_rng(0))
        wanted = [best[tuple(map(tuple, state.tolist()))] for state in at]
        np.testing.assert_array_equal(scored == 1.0, wanted)


def test_finite_horizon_of_the_paper():
    assert optima.finite_horizon_regret(100) == pytest.approx(1.75, abs=0.005)


@pytest.mark.parametrize(
    ("difficulty", "regret"),
    [("uniform", 1.22), ("easy", 0.63), ("medium", 1.00), ("hard", 2.31)],
)
def test_dependent_optimum_of_the_reference_table(difficulty, regret):
    assert optima.dependent_optimum(difficulty) == pytest.approx(regret, abs=0.0051)


def test_dependent_optimum_by_hand():
    # Trial 1 is a coin toss; then p1 is read off one flip; a 1:1 record is a toss again.
    wrong = 0.5 + 0.1 + (0.1**2 + 0.5 * 2 * 0.1 * 0.9)
    assert optima.dependent_optimum("easy", 3) == pytest.approx(0.8 * wrong)
    # Uniform p1: 3/4 - 1/2, then 3/4 - 2/3, then 3/4 - (3/4 + 1/2 + 3/4) / 3.
    assert optima.dependent_optimum("uniform", 3) == pytest.approx(1 / 4 + 1 / 12 + 1 / 12)


def test_dependent_optimum_names_the_difficulties():
    with pytest.raises(ValueError, match="easy"):
        optima.dependent_optimum("trivial")


def test_gittins_policy_lies_between_the_optimum_and_thompson():
    generator = np.random.default_rng(1)
    means = generator.random((20_000, 2))
    policy = bandits.gittins_policy(optima.gittins_index_table(0.97, 99))
    pulls = bandits.play_bernoulli(policy, means, generator, 100)
    regret = bandits.expected_regret(means, pulls.actions)
    error = regret.std() / np.sqrt(len(regret))
    assert regret.mean() > optima.finite_horizon_regret(100) - 3 * error
    assert regret.mean() < 2.0  # Thompson sampling: 2.79


def test_optimal_policy_reaches_the_optimum():
    generator = np.random.default_rng(2)
    means = generator.random((20_000, 2))
    pulls = bandits.play_bernoulli(optima.finite_horizon_policy(30), means, generator, 30)
    regret = bandits.expected_regret(means, pulls.actions)
    error = regret.std() / np.sqrt(len(regret))
    assert abs(regret.mean() - optima.finite_horizon_regret(30)) < 4 * error
    with pytest.raises(ValueError, match="larger num_trials"):
        bandits.play_bernoulli(optima.finite_horizon_policy(2), means, generator, 3)


def test_gittins_policy_needs_a_table_that_covers_the_trials():
    short = bandits.gittins_policy(optima.gittins_index_table(0.5, 2))
    with pytest.raises(ValueError, match="larger max_pulls"):
        bandits.play_bernoulli(short, np.full((1, 2), 0.5), np.random.default_rng(0), 4)
