"""Baselines of the bandits with more structure: eleven arms, and arms that wander.

Shapes: E episodes, T trials, K arms.

Source: Wang et al. 2016, "Learning to reinforcement learn", sections 3.1.3 and 3.1.4.
"""

from collections.abc import Sequence

import numpy as np

from tolman.launchers.studies.meta_rl.bandit_baselines import (
    Array,
    Policy,
    Pulls,
    as_trajectories,
    play,
)

NUM_TARGETS = 10  # the eleven-arm task: arms 0..9 may be the target, arm 10 tells which
INFORMATIVE_ARM = 10
TARGET_REWARD = 5.0

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
    payoffs = as_trajectories(informative_payoffs(targets), num_trials)
    return play(policy, payoffs, generator, is_sampled=False)


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
