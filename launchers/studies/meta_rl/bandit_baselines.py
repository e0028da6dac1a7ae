"""What the meta-RL agent is measured against on bandits: measures, and policies that play.

Shapes: E episodes, T trials, K arms. Trials loop in Python, episodes are arrays. A
*policy* scores every arm from the pulls so far; the highest score is pulled and ties
are broken at random. The same loop plays the independent, the dependent, the restless
and the eleven-arm task. Exact optima stand in `bandit_optima`, the baselines of the
eleven-arm and the restless task in `structured_baselines`, Rescorla-Wagner agents in
`rescorla_wagner`.

Source: Wang et al. 2016, "Learning to reinforcement learn", sections 3.1.1 to 3.1.4.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

Array = np.ndarray

# (reward sums [E, K], pull counts [E, K], trial from 0, generator) -> scores [E, K]
Policy = Callable[[Array, Array, int, np.random.Generator], Array]

# The larger payoff probability of the two dependent arms; None: p1 uniform on [0, 1].
DEPENDENT_DIFFICULTIES: dict[str, float | None] = {
    "uniform": None,
    "easy": 0.9,
    "medium": 0.75,
    "hard": 0.6,
}


class Pulls(NamedTuple):
    """What was pulled and what it paid.

    Attributes:
      actions: [E, T] integers, the arm of each trial.
      rewards: [E, T] floats.
    """

    actions: Array
    rewards: Array


# Measures.


def expected_regret(means: Array, actions: Array) -> Array:
    """Regret in expectation: sum over trials of the best arm's mean minus the pulled arm's.

    Uses means, not the sampled rewards, so it is never negative.

    Args:
      means: [E, K] fixed or [E, T, K] moving expected rewards.
      actions: [E, T] integers in 0..K-1.

    Returns:
      [E] summed reward missed per episode.

    Raises:
      ValueError: if the shapes do not fit together or an action is not an arm.

    Source: Wang et al. 2016, section 3.1.1.
    """
    return regret_per_trial(means, actions).sum(axis=1)


def suboptimal_pulls(means: Array, actions: Array) -> Array:
    """Number of pulls of an arm whose mean was below the best of that trial.

    Args:
      means: [E, K] fixed or [E, T, K] moving expected rewards.
      actions: [E, T] integers in 0..K-1.

    Returns:
      [E] integer counts.

    Raises:
      ValueError: if the shapes do not fit together or an action is not an arm.

    Source: Wang et al. 2016, section 3.1.1.
    """
    return (regret_per_trial(means, actions) > 0).sum(axis=1)


def regret_per_trial(means: Array, actions: Array) -> Array:
    """The best mean minus the pulled arm's mean, trial by trial.

    Args:
      means: [E, K] fixed or [E, T, K] moving expected rewards.
      actions: [E, T] integers in 0..K-1.

    Returns:
      [E, T] expected reward missed.

    Raises:
      ValueError: if the shapes do not fit together or an action is not an arm.

    Source: Wang et al. 2016, section 3.1.1.
    """
    actions = np.asarray(actions)
    trajectories = as_trajectories(means, actions.shape[-1])  # [E, T, K]
    num_arms = trajectories.shape[-1]
    if trajectories.shape[:2] != actions.shape:
        raise ValueError(
            f"actions has shape {actions.shape}: must be [E, T] = "
            f"{trajectories.shape[:2]} as in means. Pass both from the same episodes."
        )
    if actions.size and not 0 <= actions.min() <= actions.max() < num_arms:
        raise ValueError(
            f"actions in {actions.min()}..{actions.max()}: must be in "
            f"0..{num_arms - 1}, one per arm of means. Count arms from 0."
        )
    pulled = np.take_along_axis(trajectories, actions[..., None], axis=2)[..., 0]
    return trajectories.max(axis=2) - pulled


def as_trajectories(means: Array, num_trials: int) -> Array:
    """Views means [E, K] or [E, T, K] as [E, T, K].

    Raises:
      ValueError: if T is not `num_trials`.
    """
    means = np.asarray(means, dtype=np.float64)
    if means.ndim == 2:
        return np.broadcast_to(means[:, None], (len(means), num_trials, means.shape[1]))
    if means.ndim != 3 or means.shape[1] != num_trials:
        raise ValueError(
            f"means has shape {means.shape} for {num_trials} trials: must be [E, K] or "
            "[E, T, K]. Pass num_trials equal to T, or fixed means."
        )
    return means


# Policies and the loop that plays them.


def random_policy(
    reward_sums: Array, pulls: Array, trial: int, generator: np.random.Generator
) -> Array:
    """Scores all arms alike: chance level."""
    return np.zeros_like(pulls)


def thompson_policy(
    reward_sums: Array, pulls: Array, trial: int, generator: np.random.Generator
) -> Array:
    """Thompson sampling: a draw from each arm's Beta posterior, prior Beta(1, 1)."""
    return generator.beta(reward_sums + 1.0, pulls - reward_sums + 1.0)


def ucb_policy(exploration: float = 1.0) -> Policy:
    """Upper confidence bound: mean + sqrt(exploration * ln(trial) / pulls), trial from 1.

    Args:
      exploration: chi. 2 is UCB1; the paper's restless baseline uses 1.

    Returns:
      the policy; an arm never pulled comes first.

    Raises:
      ValueError: if `exploration` is negative.

    Source: Auer et al. 2002, "Finite-time analysis of the multiarmed bandit problem".
    """
    if exploration < 0:
        raise ValueError(
            f"exploration={exploration}: must be at least 0. UCB1 is exploration=2."
        )

    def score(
        reward_sums: Array, pulls: Array, trial: int, generator: np.random.Generator
    ) -> Array:
        tried = np.maximum(pulls, 1)
        bonus = np.sqrt(exploration * np.log(trial + 1) / tried)
        return np.where(pulls > 0, reward_sums / tried + bonus, np.inf)

    return score


def gittins_policy(table: Array) -> Policy:
    """Pulls the arm of the highest Gittins index.

    Args:
      table: [P+1, P+1] from `gittins_index_table`, P at least the number of trials - 1.

    Returns:
      the policy for Bernoulli arms.

    Source: Wang et al. 2016, section 3.1.1; Gittins 1979.
      Departure: the index is optimal for an endless discounted bandit; over 100 trials
      `bandit_optima.finite_horizon_policy` is the true optimum.
    """

    def score(
        reward_sums: Array, pulls: Array, trial: int, generator: np.random.Generator
    ) -> Array:
        successes = reward_sums.astype(np.int64)
        if trial >= len(table):
            raise ValueError(
                f"trial {trial} with a Gittins table of {len(table) - 1} pulls: the table "
                "must cover every pull. Compute it with a larger max_pulls."
            )
        return table[successes, pulls.astype(np.int64) - successes]

    return score


def play_bernoulli(
    policy: Policy,
    means: Array,
    generator: np.random.Generator,
    num_trials: int | None = None,
) -> Pulls:
    """Plays a policy on arms that pay 1 with their mean's probability and else 0.

    Args:
      policy: scores the arms, see `Policy`.
      means: [E, K] fixed or [E, T, K] moving probabilities.
      generator: source of all randomness.
      num_trials: T, needed with fixed means.

    Returns:
      the pulls, [E, T].

    Raises:
      ValueError: if T is unknown, contradicts `means`, or a mean is not a probability.
    """
    means = np.asarray(means, dtype=np.float64)
    if num_trials is None:
        if means.ndim != 3:
            raise ValueError(
                f"num_trials=None with means of shape {means.shape}: fixed means need a "
                "number of trials. Pass num_trials=100."
            )
        num_trials = means.shape[1]
    if means.size and not 0 <= means.min() <= means.max() <= 1:
        raise ValueError(
            f"means in {means.min():g}..{means.max():g}: must be probabilities in 0..1. "
            "Rescale them."
        )
    return play(policy, as_trajectories(means, num_trials), generator, is_sampled=True)


def play(
    policy: Policy, payoffs: Array, generator: np.random.Generator, is_sampled: bool
) -> Pulls:
    """Plays on payoffs [E, T, K]: probabilities where `is_sampled`, else amounts."""
    num_episodes, num_trials, num_arms = payoffs.shape
    episodes = np.arange(num_episodes)
    reward_sums = np.zeros((num_episodes, num_arms))
    pulls = np.zeros((num_episodes, num_arms))
    actions = np.zeros((num_episodes, num_trials), dtype=np.int64)
    rewards = np.zeros((num_episodes, num_trials))
    for trial in range(num_trials):
        scores = policy(reward_sums, pulls, trial, generator)  # [E, K]
        is_best = scores == scores.max(axis=1, keepdims=True)
        action = np.argmax(is_best * (1.0 - generator.random(is_best.shape)), axis=1)
        payoff = payoffs[episodes, trial, action]
        reward = generator.random(num_episodes) < payoff if is_sampled else payoff
        reward_sums[episodes, action] += reward
        pulls[episodes, action] += 1
        actions[:, trial], rewards[:, trial] = action, reward
    return Pulls(actions, rewards)


def dependent_probability(difficulty: str) -> float | None:
    """The larger payoff probability of two dependent arms, or None where it is uniform.

    Raises:
      ValueError: if the difficulty is unknown.
    """
    if difficulty not in DEPENDENT_DIFFICULTIES:
        raise ValueError(
            f"difficulty={difficulty!r}: must be one of {sorted(DEPENDENT_DIFFICULTIES)}. "
            "Independent arms: finite_horizon_regret."
        )
    return DEPENDENT_DIFFICULTIES[difficulty]
