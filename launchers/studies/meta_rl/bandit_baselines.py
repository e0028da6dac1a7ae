"""What the meta-RL agent is measured against on bandits: policies and exact optima.

Shapes: E episodes, T trials, K arms. Trials loop in Python, episodes are arrays. A
*policy* scores every arm from the pulls so far; the highest score is pulled and ties
are broken at random. The same loop plays the independent, the dependent, the restless
and the eleven-arm task. Rescorla-Wagner agents stand in `restless_analysis`.

Source: Wang et al. 2016, "Learning to reinforcement learn", sections 3.1.1 to 3.1.4.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

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

NUM_TARGETS = 10  # the eleven-arm task: arms 0..9 may be the target, arm 10 tells which
INFORMATIVE_ARM = 10
TARGET_REWARD = 5.0


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
    return _gaps(means, actions).sum(axis=1)


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
    return (_gaps(means, actions) > 0).sum(axis=1)


def _gaps(means: Array, actions: Array) -> Array:
    """The best mean minus the pulled arm's mean, [E, T]."""
    actions = np.asarray(actions)
    trajectories = _as_trajectories(means, actions.shape[-1])  # [E, T, K]
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


def _as_trajectories(means: Array, num_trials: int) -> Array:
    """Views means [E, K] or [E, T, K] as [E, T, K]."""
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
      `finite_horizon_regret` is the true optimum.
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
    return _play(policy, _as_trajectories(means, num_trials), generator, is_sampled=True)


def _play(
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


# Exact optima.


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

    Exact dynamic programming over the posterior's counts; one layer of states (pulls
    of arm 0, successes of arm 0, successes of arm 1) per number of trials done.

    Args:
      num_trials: T, at least 1.

    Returns:
      expected regret of the Bayes-optimal policy, summed over the trials.

    Raises:
      ValueError: if `num_trials` < 1.
    """
    if num_trials < 1:
        raise ValueError(
            f"num_trials={num_trials}: must be at least 1. The paper's tasks have 100."
        )
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
    return num_trials * 2.0 / 3.0 - float(value[0, 0, 0])  # E[max of two uniforms] = 2/3


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
    probability = _dependent_probability(difficulty)
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


def draw_means(task: str, num_episodes: int, generator: np.random.Generator) -> Array:
    """Draws the payoff probabilities of the two-armed tasks.

    Args:
      task: "independent" or a key of `DEPENDENT_DIFFICULTIES`.
      num_episodes: E.
      generator: source of randomness.

    Returns:
      [E, 2] probabilities.

    Raises:
      ValueError: if the task is unknown.

    Source: Wang et al. 2016, sections 3.1.1 and 3.1.2.
    """
    if task == "independent":
        return generator.random((num_episodes, 2))
    probability = _dependent_probability(task)
    if probability is None:
        first = generator.random(num_episodes)
    else:
        is_first = generator.random(num_episodes) < 0.5
        first = np.where(is_first, probability, 1.0 - probability)
    return np.stack([first, 1.0 - first], axis=1)


def _dependent_probability(difficulty: str) -> float | None:
    if difficulty not in DEPENDENT_DIFFICULTIES:
        raise ValueError(
            f"difficulty={difficulty!r}: must be one of {sorted(DEPENDENT_DIFFICULTIES)}. "
            "Independent arms: finite_horizon_regret."
        )
    return DEPENDENT_DIFFICULTIES[difficulty]


# The eleven-arm task.


def informative_payoffs(targets: Array) -> Array:
    """What each arm pays, surely: 5 the target, 1 the other nine, 0.1 to 1.0 the last.

    Args:
      targets: [E] integers in 0..9.

    Returns:
      [E, 11]; arm 10 pays 0.1 x (target + 1).

    Raises:
      ValueError: if a target is not in 0..9.

    Source: Wang et al. 2016, section 3.1.3.
    """
    targets = np.asarray(targets)
    if targets.size and not 0 <= targets.min() <= targets.max() < NUM_TARGETS:
        raise ValueError(
            f"targets in {targets.min()}..{targets.max()}: must be in 0..9. Arms are "
            "counted from 0 and arm 10 is the informative one."
        )
    payoffs = np.ones((len(targets), NUM_TARGETS + 1))
    payoffs[np.arange(len(targets)), targets] = TARGET_REWARD
    payoffs[:, INFORMATIVE_ARM] = 0.1 * (targets + 1)
    return payoffs


def play_informative(
    policy: Policy, targets: Array, generator: np.random.Generator, num_trials: int = 5
) -> Pulls:
    """Plays a policy on the eleven-arm task.

    Args:
      policy: `informative_optimum_policy`, `informative_thompson_policy`,
        `ucb_policy(...)` or `random_policy`.
      targets: [E] integers in 0..9.
      generator: source of randomness.
      num_trials: T; the paper's episodes have 5.

    Returns:
      the pulls, [E, T].

    Source: Wang et al. 2016, section 3.1.3.
    """
    payoffs = _as_trajectories(informative_payoffs(targets), num_trials)
    return _play(policy, payoffs, generator, is_sampled=False)


def informative_thompson_policy(
    reward_sums: Array, pulls: Array, trial: int, generator: np.random.Generator
) -> Array:
    """Thompson sampling with the true prior: pulls an arm that may still be the target.

    It never pulls the informative arm, which is never best in a sampled world. Its
    expected return over 5 trials is exactly 11.
    """
    tried, sums = pulls[:, :NUM_TARGETS], reward_sums[:, :NUM_TARGETS]
    is_target = sums > tried  # only the target pays more than 1 per pull
    is_found = is_target.any(axis=1, keepdims=True)
    scores = np.where(is_found, is_target, tried == 0).astype(np.float64)
    return np.concatenate([scores, np.full((len(scores), 1), -1.0)], axis=1)


def informative_optimum_policy(
    reward_sums: Array, pulls: Array, trial: int, generator: np.random.Generator
) -> Array:
    """Pulls the informative arm once, then the target: 0.55 + 4 x 5 = 20.55 in 5 trials."""
    told = np.rint(10 * reward_sums[:, INFORMATIVE_ARM]).astype(np.int64) - 1
    best = np.where(pulls[:, INFORMATIVE_ARM] == 0, INFORMATIVE_ARM, told)
    return (np.arange(NUM_TARGETS + 1) == best[:, None]).astype(np.float64)


# The restless task.


def restless_walks(
    generator: np.random.Generator,
    num_episodes: int,
    num_trials: int,
    volatility: float | Array,
) -> Array:
    """Means of two arms, p1 and 1 - p1, where p1 walks with reflection at 0 and 1.

    Args:
      generator: source of randomness.
      num_episodes: E.
      num_trials: T; the paper's episodes have 100.
      volatility: standard deviation of one step, scalar or [E], at least 0.

    Returns:
      [E, T, 2] probabilities; the first is uniform on [0, 1].

    Raises:
      ValueError: if a volatility is negative.

    Source: Wang et al. 2016, section 3.1.4. Departure: the paper's text gives neither the
      volatilities nor the boundary; low 0.02, high 0.2 and reflection are our choice.
    """
    steps = np.broadcast_to(np.asarray(volatility, dtype=np.float64), (num_episodes,))
    if steps.size and steps.min() < 0:
        raise ValueError(
            f"volatility={steps.min():g}: must be at least 0. Low is 0.02, high is 0.2."
        )
    walk = generator.standard_normal((num_episodes, num_trials)) * steps[:, None]
    walk[:, :1] = generator.random((num_episodes, 1))
    folded = np.mod(np.cumsum(walk, axis=1), 2.0)  # folding = reflecting at every step
    first = np.where(folded > 1.0, 2.0 - folded, folded)
    return np.stack([first, 1.0 - first], axis=2)


def play_walk_filter(
    means: Array,
    generator: np.random.Generator,
    volatilities: Sequence[float],
    is_greedy: bool = False,
    num_cells: int = 101,
) -> Pulls:
    """Plays the restless task with the exact posterior over p1, on a grid.

    With one volatility and sampling it is the paper's Thompson baseline, which knows the
    walk but not that the volatility changes. Greedy over all true volatilities it is the
    optimum: both arms show the same coin, so no choice is worth more information.

    Args:
      means: [E, T, 2], the second the complement of the first.
      generator: source of randomness.
      volatilities: standard deviations of one step, equally likely, each above 0.
      is_greedy: choose by the posterior mean in place of one posterior sample.
      num_cells: cells of the grid over [0, 1].

    Returns:
      the pulls, [E, T].

    Raises:
      ValueError: if `means` is not [E, T, 2] or a volatility is not above 0.

    Source: Wang et al. 2016, section 3.1.4.
    """
    means = np.asarray(means, dtype=np.float64)
    if means.ndim != 3 or means.shape[2] != 2:
        raise ValueError(
            f"means has shape {means.shape}: must be [E, T, 2]. Use restless_walks."
        )
    if not volatilities or min(volatilities) <= 0:
        raise ValueError(
            f"volatilities={tuple(volatilities)}: must name at least one, each above 0. "
            "Low is 0.02, high is 0.2."
        )
    num_episodes, num_trials = means.shape[:2]
    cells = (np.arange(num_cells) + 0.5) / num_cells
    kernel = np.stack([_reflected_kernel(cells, step) for step in volatilities])
    belief = np.full((len(kernel), num_episodes, num_cells), 1.0 / num_cells)
    actions = np.zeros((num_episodes, num_trials), dtype=np.int64)
    rewards = np.zeros((num_episodes, num_trials))
    for trial in range(num_trials):
        posterior = belief.sum(axis=0)  # [E, cells]
        posterior /= posterior.sum(axis=1, keepdims=True)
        if is_greedy:
            guess = posterior @ cells
        else:
            cumulative = posterior.cumsum(axis=1)
            draw = generator.random((num_episodes, 1)) * cumulative[:, -1:]
            guess = cells[(cumulative < draw).sum(axis=1)]
        is_tie = np.abs(guess - 0.5) < 1e-9
        action = np.where(is_tie, generator.integers(0, 2, num_episodes), guess < 0.5)
        chosen = np.take_along_axis(means[:, trial], action[:, None], axis=1)[:, 0]
        reward = generator.random(num_episodes) < chosen
        is_heads = (reward == (action == 0))[:, None]  # the coin that p1 weighs
        belief = (belief * np.where(is_heads, cells, 1.0 - cells)) @ kernel
        belief /= belief.sum(axis=(0, 2))[:, None]
        actions[:, trial], rewards[:, trial] = action, reward
    return Pulls(actions, rewards)


def _reflected_kernel(cells: Array, volatility: float) -> Array:
    """Transition matrix [from, to] of the reflected Gaussian step between grid cells."""
    images = 2.0 * np.arange(-3, 4)[:, None, None]
    source, goal = cells[:, None], cells[None]
    density = sum(
        np.exp(-0.5 * ((images + sign * goal - source) / volatility) ** 2).sum(axis=0)
        for sign in (1.0, -1.0)
    )
    return density / density.sum(axis=1, keepdims=True)
