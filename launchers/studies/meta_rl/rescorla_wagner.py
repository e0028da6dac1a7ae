"""Rescorla-Wagner players of two arms: simulated, and fitted to the choices of others.

Shapes: E episodes, T trials, B blocks of episodes, C candidate parameters. A value per
arm starts at 1/2 and the pulled arm's moves towards its reward; a logistic choice with
a lapse follows:

    P(arm 0) = lapse / 2 + (1 - lapse) / (1 + exp(-inverse_temperature * (v_0 - v_1)))

The four models of the paper name their free parameters: "b", "ab", "be", "abe" (a
learning rate, b inverse temperature, e lapse).

Source: Wang et al. 2016, "Learning to reinforcement learn", section 3.1.4.
  Departure: the paper's text gives neither the start value nor the form of the lapse.
"""

import itertools
from dataclasses import dataclass

import numpy as np

from tolman.launchers.studies.meta_rl.bandit_baselines import Pulls

Array = np.ndarray

MODELS = ("b", "ab", "be", "abe")
FIXED_LEARNING_RATE = 0.5
FIXED_LAPSE = 0.0

# Grid of the first search; the inverse temperature is searched by its logarithm.
_LEARNING_RATES = np.linspace(0.04, 0.96, 12)
_LOG_INVERSE_TEMPERATURES = np.log(np.geomspace(0.3, 60.0, 12))
_LAPSES = np.array([0.0, 0.05, 0.15, 0.4])
_LOWER = np.array([0.0, np.log(0.01), 0.0])
_UPPER = np.array([1.0, np.log(200.0), 1.0])
_FIRST_STEP = np.array([0.04, 0.25, 0.04])
_NUM_HALVINGS = 7
_MOVES_PER_STEP = 4


@dataclass(frozen=True)
class RescorlaWagnerFit:
    """Maximum-likelihood parameters of one model, one set per block.

    Attributes:
      model: one of `MODELS`.
      learning_rate: [B], `FIXED_LEARNING_RATE` where not free.
      inverse_temperature: [B].
      lapse: [B], `FIXED_LAPSE` where not free.
      log_likelihood: [B] of the block's choices, nats.
      bic: [B] Bayesian information criterion, nats; lower is better.
    """

    model: str
    learning_rate: Array
    inverse_temperature: Array
    lapse: Array
    log_likelihood: Array
    bic: Array


def simulate_rescorla_wagner(
    means: Array,
    generator: np.random.Generator,
    learning_rate: float | Array = FIXED_LEARNING_RATE,
    inverse_temperature: float = 10.0,
    lapse: float = FIXED_LAPSE,
    is_shared: bool = False,
) -> Pulls:
    """Plays the restless task as a Rescorla-Wagner agent: baseline and control.

    Args:
      means: [E, T, 2] probabilities, as from `restless_walks`.
      generator: source of randomness.
      learning_rate: scalar or [E], in [0, 1]. The paper's best fixed one is 1/2.
      inverse_temperature: of the logistic choice; np.inf is greedy.
      lapse: probability of a random choice.
      is_shared: one value for both arms, which knows that p2 = 1 - p1: an outcome of
        either arm moves both. Stronger than the paper's baseline, at a lower rate.

    Returns:
      the pulls, [E, T].

    Raises:
      ValueError: if a parameter or the shape is out of range.
    """
    means = np.asarray(means, dtype=np.float64)
    if means.ndim != 3 or means.shape[2] != 2:
        raise ValueError(
            f"means has shape {means.shape}: must be [E, T, 2]. Use restless_walks."
        )
    num_episodes, num_trials = means.shape[:2]
    rate = np.broadcast_to(np.asarray(learning_rate, dtype=np.float64), (num_episodes,))
    _check_parameters(rate, inverse_temperature, lapse)
    values = np.full((num_episodes, 2), 0.5)
    actions = np.zeros((num_episodes, num_trials), dtype=np.int64)
    rewards = np.zeros((num_episodes, num_trials))
    for trial in range(num_trials):
        difference = values[:, 0] - values[:, 1]
        if np.isinf(inverse_temperature):
            preference = 0.5 * (1.0 + np.sign(difference))
        else:
            preference = 1.0 / (1.0 + np.exp(-inverse_temperature * difference))
        first = 0.5 * lapse + (1.0 - lapse) * preference
        action = (generator.random(num_episodes) >= first).astype(np.int64)
        chosen = np.take_along_axis(means[:, trial], action[:, None], axis=1)[:, 0]
        reward = (generator.random(num_episodes) < chosen).astype(np.float64)
        is_pulled = np.arange(2) == action[:, None]  # [E, 2]
        goal = np.where(is_pulled, reward[:, None], 1.0 - reward[:, None])
        moves = (is_pulled | is_shared) * rate[:, None]
        values += moves * (goal - values)
        actions[:, trial], rewards[:, trial] = action, reward
    return Pulls(actions, rewards)


def _check_parameters(rate: Array, inverse_temperature: float, lapse: float) -> None:
    if rate.size and not 0 <= rate.min() <= rate.max() <= 1:
        raise ValueError(
            f"learning_rate in {rate.min():g}..{rate.max():g}: must be in 0..1. The "
            "paper's fixed rate is 0.5."
        )
    if inverse_temperature < 0 or not 0 <= lapse <= 1:
        raise ValueError(
            f"inverse_temperature={inverse_temperature}, lapse={lapse}: must be at least "
            "0, and in 0..1. Greedy is inverse_temperature=np.inf, lapse=0."
        )


def value_differences(actions: Array, rewards: Array, learning_rate: Array) -> Array:
    """Value of arm 0 minus value of arm 1 before each choice.

    Args:
      actions: [..., E, T] of 0 and 1.
      rewards: [..., E, T].
      learning_rate: broadcastable against the axes before the episodes' (C, B).

    Returns:
      [..., E, T].
    """
    rate = np.asarray(learning_rate, dtype=np.float64)[..., None]
    shape = np.broadcast_shapes(rate.shape, actions.shape[:-1])
    value_0, value_1 = np.full(shape, 0.5), np.full(shape, 0.5)
    differences = np.empty((*shape, actions.shape[-1]))
    for trial in range(actions.shape[-1]):
        differences[..., trial] = value_0 - value_1
        is_second = actions[..., trial]
        value_0 += rate * (1 - is_second) * (rewards[..., trial] - value_0)
        value_1 += rate * is_second * (rewards[..., trial] - value_1)
    return differences


def choice_log_likelihood(
    differences: Array, actions: Array, inverse_temperature: Array, lapse: Array
) -> Array:
    """Log-likelihood of blocks of choices.

    Args:
      differences: [..., E, T] of `value_differences`.
      actions: [..., E, T] of 0 and 1.
      inverse_temperature: [...].
      lapse: [...].

    Returns:
      [...] nats, summed over episodes and trials.
    """
    towards = np.where(actions == 0, differences, -differences)
    temperature = np.asarray(inverse_temperature)[..., None, None]
    lapse = np.asarray(lapse)[..., None, None]
    chosen = 0.5 * lapse + (1.0 - lapse) / (1.0 + np.exp(-temperature * towards))
    return np.log(chosen).sum(axis=(-2, -1))


def fit_rescorla_wagner(actions: Array, rewards: Array, model: str) -> RescorlaWagnerFit:
    """Fits one model to every block by maximum likelihood, all blocks at once.

    A grid over the free parameters, then for each block a pattern search that moves to
    the best neighbour and halves its step.

    Args:
      actions: [B, E, T] of 0 and 1; values restart with each episode.
      rewards: [B, E, T].
      model: one of `MODELS`.

    Returns:
      the fit; the BIC counts E x T choices per block.

    Raises:
      ValueError: if the model is unknown, the shapes differ or an action is not 0 or 1.

    Source: Wang et al. 2016, section 3.1.4.
    """
    actions, rewards = np.asarray(actions), np.asarray(rewards, dtype=np.float64)
    if model not in MODELS:
        raise ValueError(f"model={model!r}: must be one of {MODELS}. Pass model='abe'.")
    if actions.ndim != 3 or actions.shape != rewards.shape:
        raise ValueError(
            f"actions {actions.shape}, rewards {rewards.shape}: must both be [B, E, T]. "
            "Use actions[episodes] with the episodes of blocks_of_equal_volatility."
        )
    if not np.isin(actions, (0, 1)).all():
        raise ValueError(
            f"actions in {actions.min()}..{actions.max()}: must be 0 or 1. The models "
            "are for two arms."
        )
    is_free = np.array(["a" in model, True, "e" in model])
    actions = actions.astype(np.int64)
    best, likelihood = _grid_search(actions, rewards, is_free)
    best, likelihood = _pattern_search(actions, rewards, is_free, best, likelihood)
    num_choices = actions.shape[1] * actions.shape[2]
    return RescorlaWagnerFit(
        model=model,
        learning_rate=best[:, 0],
        inverse_temperature=np.exp(best[:, 1]),
        lapse=best[:, 2],
        log_likelihood=likelihood,
        bic=is_free.sum() * np.log(num_choices) - 2.0 * likelihood,
    )


def _grid_search(actions: Array, rewards: Array, is_free: Array) -> tuple[Array, Array]:
    """Best grid point [B, 3] of each block and its log-likelihood [B]."""
    rates = _LEARNING_RATES if is_free[0] else np.array([FIXED_LEARNING_RATE])
    lapses = _LAPSES if is_free[2] else np.array([FIXED_LAPSE])
    best = np.zeros((len(actions), 3))
    likelihood = np.full(len(actions), -np.inf)
    for rate in rates:
        differences = value_differences(actions, rewards, rate)
        for log_temperature, lapse in itertools.product(_LOG_INVERSE_TEMPERATURES, lapses):
            score = choice_log_likelihood(
                differences, actions, np.exp(log_temperature), lapse
            )
            is_better = score > likelihood
            best[is_better] = rate, log_temperature, lapse
            likelihood = np.maximum(score, likelihood)
    return best, likelihood


def _pattern_search(
    actions: Array, rewards: Array, is_free: Array, best: Array, likelihood: Array
) -> tuple[Array, Array]:
    """Refines the parameters [B, 3] of each block over neighbours of shrinking distance."""
    axes = [(-1.0, 0.0, 1.0) if free else (0.0,) for free in is_free]
    directions = np.array(list(itertools.product(*axes)))[:, None]  # [C, 1, 3]
    blocks = np.arange(len(best))
    for halving in range(_NUM_HALVINGS):
        step = _FIRST_STEP * 0.5**halving
        for _ in range(_MOVES_PER_STEP):
            candidates = np.clip(best + directions * step, _LOWER, _UPPER)  # [C, B, 3]
            rate, log_temperature, lapse = np.moveaxis(candidates, -1, 0)  # [C, B] each
            differences = value_differences(actions, rewards, rate)
            scores = choice_log_likelihood(
                differences, actions, np.exp(log_temperature), lapse
            )
            winner = scores.argmax(axis=0)
            is_better = scores[winner, blocks] > likelihood
            best = np.where(is_better[:, None], candidates[winner, blocks], best)
            likelihood = np.where(is_better, scores[winner, blocks], likelihood)
            if not is_better.any():
                break
    return best, likelihood
