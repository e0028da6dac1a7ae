"""What no policy can beat on two-armed bandits: Gittins indices, dynamic programming.

Shapes: E episodes, T trials, K arms.
"""

import numpy as np
from scipy import stats

from tolman.launchers.studies.meta_rl.bandit_baselines import (
    Array,
    Policy,
    dependent_probability,
)


def gittins_index_table(discount: float, max_pulls: int, num_levels: int = 1001) -> Array:
    """Gittins indices of Bernoulli arms with a Beta(1, 1) prior, by calibration.

    The index of a state is the sure reward per pull that makes retiring and pulling
    on equally good. One backward induction over the arm's states solves the stopping
    problem for a whole grid of sure rewards; where pulling on loses its advantage is
    interpolated, per state. Beyond `max_pulls` the induction continues until what it
    leaves out weighs a thousandth, and there takes the mean for known.

    Args:
      discount: per pull, in (0, 1).
      max_pulls: P, states with up to P observations are returned.
      num_levels: sure rewards tried on [0, 1]; 1001 leave an error of about 1e-4
        at discount 0.99 and less below.

    Returns:
      [P+1, P+1] the index at [successes, failures]; nan where their sum exceeds P.

    Raises:
      ValueError: if `discount` or `max_pulls` is out of range.

    Source: Gittins 1979, "Bandit processes and dynamic allocation indices".
    """
    if not 0 < discount < 1:
        raise ValueError(
            f"discount={discount}: must be between 0 and 1, both excluded. Use 0.99 for "
            "about 100 trials."
        )
    if max_pulls < 0:
        raise ValueError(
            f"max_pulls={max_pulls}: must be at least 0. Use the number of trials."
        )
    levels = np.linspace(0.0, 1.0, num_levels)[:, None]  # [L, 1] sure reward per pull
    last = max_pulls + int(np.ceil(np.log(1e-3) / np.log(discount)))
    # Values are per pull: multiplied by 1 - discount. [L, successes]
    value = np.maximum(levels, (np.arange(last + 1) + 1.0) / (last + 2.0))
    table = np.full((max_pulls + 1, max_pulls + 1), np.nan)
    for pulls in range(last - 1, -1, -1):
        mean = (np.arange(pulls + 1) + 1.0) / (pulls + 2.0)
        future = value[:, :-1] + mean * np.diff(value, axis=1)
        pull = (1.0 - discount) * mean + discount * future
        value = np.maximum(levels, pull)
        if pulls <= max_pulls:
            successes = np.arange(pulls + 1)
            table[successes, pulls - successes] = _crossing(levels, pull)
    return table


def _crossing(levels: Array, pull: Array) -> Array:
    """Level at which the value of pulling, [L, S], falls to the level itself: [S]."""
    advantage = pull - levels  # falls with the level; positive at 0, negative at 1
    below = np.argmax(advantage < 0, axis=0)
    columns = np.arange(pull.shape[1])
    high, low = advantage[below - 1, columns], advantage[below, columns]
    return levels[below - 1, 0] + (levels[1, 0] - levels[0, 0]) * high / (high - low)


def finite_horizon_regret(num_trials: int) -> float:
    """Least expected regret on two independent Bernoulli arms with uniform means.

    Args:
      num_trials: T, at least 1.

    Returns:
      expected regret of the Bayes-optimal policy, summed over the trials.

    Raises:
      ValueError: if `num_trials` < 1.
    """
    return num_trials * 2.0 / 3.0 - _solve(num_trials)[0]  # E[max of two uniforms] = 2/3


def finite_horizon_policy(num_trials: int) -> Policy:
    """The policy that reaches `finite_horizon_regret`; its curve is the lowest there is.

    Args:
      num_trials: T, at least 1.

    Returns:
      the policy for two arms; it scores an arm by 1 where it is a best choice.

    Raises:
      ValueError: if `num_trials` < 1, and from the policy for a later trial.
    """
    best_arms = _solve(num_trials)[1]

    def score(
        reward_sums: Array, pulls: Array, trial: int, generator: np.random.Generator
    ) -> Array:
        if trial >= num_trials:
            raise ValueError(
                f"trial {trial} with a policy of {num_trials} trials: the last is "
                f"{num_trials - 1}. Solve for a larger num_trials."
            )
        successes = reward_sums.astype(np.int64)
        state = (pulls[:, 0].astype(np.int64), successes[:, 0], successes[:, 1])
        advantage = best_arms[trial][state]  # [E], 1 for arm 0, -1 for arm 1
        return np.stack([advantage >= 0, advantage <= 0], axis=1).astype(np.float64)

    return score


def _solve(num_trials: int) -> tuple[float, list[Array]]:
    """Exact dynamic programming over the posterior's counts.

    There is one layer of states for each number of trials done. A state is (pulls of
    arm 0, successes of arm 0, successes of arm 1).

    Returns:
      the largest expected reward, and per layer the sign of arm 0's advantage.
    """
    if num_trials < 1:
        raise ValueError(
            f"num_trials={num_trials}: must be at least 1. The paper's tasks have 100."
        )
    best_arms = []
    value = np.zeros((num_trials + 1,) * 3)
    for done in range(num_trials - 1, -1, -1):
        size = done + 1
        pulls, successes = np.arange(size)[:, None], np.arange(size)[None]
        # Entries with more successes than pulls are never reached; 1 keeps them finite.
        mean_0 = np.minimum((successes + 1) / (pulls + 2), 1.0)[:, :, None]
        mean_1 = np.minimum((successes + 1) / (done - pulls + 2), 1.0)[:, None, :]
        won, lost = value[1 : size + 1, 1 : size + 1, :size], value[1:, :size, :size]
        pull_0 = mean_0 * (1.0 + won) + (1.0 - mean_0) * lost
        won, lost = value[:size, :size, 1 : size + 1], value[:size, :size, :size]
        pull_1 = mean_1 * (1.0 + won) + (1.0 - mean_1) * lost
        value = np.maximum(pull_0, pull_1)
        is_tie = np.isclose(pull_0, pull_1, rtol=0.0, atol=1e-9)
        best_arms.append(np.where(is_tie, 0, np.sign(pull_0 - pull_1)).astype(np.int8))
    return float(value[0, 0, 0]), best_arms[::-1]


def dependent_optimum(difficulty: str, num_trials: int = 100) -> float:
    """Least expected regret on two dependent arms, p2 = 1 - p1, exactly.

    A pull of either arm is the same coin flip about p1, so what is learned does not
    depend on the choice, and the greedy choice under the posterior is optimal.

    Args:
      difficulty: a key of `DEPENDENT_DIFFICULTIES`.
      num_trials: T.

    Returns:
      expected regret of the optimal policy, summed over the trials.

    Raises:
      ValueError: if the difficulty is unknown.

    Source: Wang et al. 2016, section 3.1.2, the distributions.
    """
    probability = dependent_probability(difficulty)
    regret = 0.0
    for seen in range(num_trials):
        votes = np.arange(seen + 1)  # observations that speak for p1 > 1/2
        if probability is None:  # uniform p1: every number of votes is equally likely
            mean = (votes + 1) / (seen + 2)
            regret += 0.75 - float(np.mean(np.maximum(mean, 1.0 - mean)))
        else:
            weight = (2 * votes < seen) + 0.5 * (2 * votes == seen)
            is_wrong = float(stats.binom.pmf(votes, seen, probability) @ weight)
            regret += (2.0 * probability - 1.0) * is_wrong
    return regret
