"""Does a restless-bandit player adapt its learning rate? Rescorla-Wagner fits of choices.

Shapes: E episodes, T trials, B blocks of episodes, M members of a player.

A player that adapts prefers the model "abe" of `rescorla_wagner` to "be", with a larger
learning rate in blocks of high volatility; a player of fixed learning rate 1/2 prefers
"be". Both signs are needed: a player of another fixed rate also prefers "abe", but at the
same rate in all blocks.

Source: Wang et al. 2016, "Learning to reinforcement learn", section 3.1.4.
"""

from dataclasses import dataclass

import numpy as np

from tolman.launchers.studies.meta_rl.bandit_baselines import Pulls, expected_regret
from tolman.launchers.studies.meta_rl.rescorla_wagner import (
    MODELS,
    RescorlaWagnerFit,
    fit_rescorla_wagner,
)

Array = np.ndarray

EPISODES_PER_BLOCK = 10


@dataclass(frozen=True)
class VolatilityRow:
    """Fitted learning rates of the blocks of one volatility.

    Attributes:
      mean: over the blocks.
      standard_error: of the mean; nan with a single block.
      num_blocks: how many.
    """

    mean: float
    standard_error: float
    num_blocks: int


@dataclass(frozen=True)
class ModelComparison:
    """All four models on the same blocks.

    Attributes:
      fits: the fit of each model.
      bic: summed over the blocks, per model.
      preferred: the model of lowest summed BIC.
      learning_rates: rows of the "abe" fit by volatility.
    """

    fits: dict[str, RescorlaWagnerFit]
    bic: dict[str, float]
    preferred: str
    learning_rates: dict[float, VolatilityRow]

    @property
    def adaptation_bic(self) -> float:
        """BIC(abe) - BIC(be), nats: below 0 where the learning rate adapts."""
        return self.bic["abe"] - self.bic["be"]


@dataclass(frozen=True)
class Tasks:
    """The evaluation episodes that are shown; E of them, T trials.

    Attributes:
      means: `[E, T, 2]`, the probability that each arm pays.
      volatility: `[E]`, of the walk's steps.
    """

    means: np.ndarray
    volatility: np.ndarray


@dataclass(frozen=True)
class Player:
    """What one player did on the tasks shown, analysed; M members.

    Attributes:
      pulls: one a member.
      regret: `[M, E]`, expected.
      fits: the four Rescorla-Wagner models, one comparison a member.
    """

    pulls: list[Pulls]
    regret: np.ndarray
    fits: list[ModelComparison]

    @property
    def median_regret(self) -> float:
        """Of the members' means over episodes."""
        return float(np.median(self.regret.mean(1)))

    @property
    def rates(self) -> np.ndarray:
        """`[M, 2]`, mean fitted learning rate at low and at high volatility."""
        rows = [sorted(fit.learning_rates.items()) for fit in self.fits]
        return np.array([[rate.mean for _, rate in row] for row in rows])

    @property
    def rate_difference(self) -> float:
        """High minus low volatility, median of the members."""
        return float(np.median(np.diff(self.rates, axis=1)))

    @property
    def adaptation_bic(self) -> float:
        """BIC(abe) - BIC(be), median of the members."""
        return float(np.median([fit.adaptation_bic for fit in self.fits]))


def blocks_of_equal_volatility(
    volatility: Array, episodes_per_block: int = EPISODES_PER_BLOCK
) -> tuple[Array, Array]:
    """Groups episodes of the same volatility in blocks, in their order.

    Args:
      volatility: [E], one value per episode.
      episodes_per_block: episodes of a block; the paper takes 10.

    Returns:
      [B, episodes_per_block] indices of episodes and [B] the blocks' volatility; episodes
      that do not fill a block are left out.

    Raises:
      ValueError: if no block can be filled.
    """
    volatility = np.asarray(volatility, dtype=np.float64)
    episodes, values = [], []
    for value in np.unique(volatility):
        members = np.flatnonzero(volatility == value)
        for start in range(0, len(members) - episodes_per_block + 1, episodes_per_block):
            episodes.append(members[start : start + episodes_per_block])
            values.append(value)
    if not episodes:
        raise ValueError(
            f"{len(volatility)} episodes: must hold {episodes_per_block} of one "
            "volatility. Evaluate more episodes."
        )
    return np.stack(episodes), np.array(values)


def compare_models(
    actions: Array,
    rewards: Array,
    volatility: Array,
    episodes_per_block: int = EPISODES_PER_BLOCK,
) -> ModelComparison:
    """Fits the four models to blocks of same-volatility episodes and compares their BIC.

    Args:
      actions: [E, T] of 0 and 1.
      rewards: [E, T].
      volatility: [E], the walk's step of each episode.
      episodes_per_block: episodes of a block.

    Returns:
      the comparison.

    Raises:
      ValueError: if the shapes do not fit or no block can be filled.

    Source: Wang et al. 2016, section 3.1.4.
    """
    actions, rewards = np.asarray(actions), np.asarray(rewards)
    if actions.shape[:1] != np.shape(volatility):
        raise ValueError(
            f"volatility has shape {np.shape(volatility)} for {len(actions)} episodes: "
            "must be [E]. Pass one value per episode."
        )
    episodes, block_volatility = blocks_of_equal_volatility(volatility, episodes_per_block)
    fits = {
        model: fit_rescorla_wagner(actions[episodes], rewards[episodes], model)
        for model in MODELS
    }
    bic = {model: float(fit.bic.sum()) for model, fit in fits.items()}
    return ModelComparison(
        fits=fits,
        bic=bic,
        preferred=min(bic, key=lambda model: bic[model]),
        learning_rates=learning_rates_by_volatility(fits["abe"], block_volatility),
    )


def learning_rates_by_volatility(
    fit: RescorlaWagnerFit, block_volatility: Array
) -> dict[float, VolatilityRow]:
    """Mean fitted learning rate of the blocks of each volatility, low to high.

    Args:
      fit: of a model with a free learning rate, "ab" or "abe".
      block_volatility: [B].

    Returns:
      one row per volatility.

    Raises:
      ValueError: if the learning rate was not free.
    """
    if "a" not in fit.model:
        raise ValueError(
            f"model={fit.model!r}: must have a free learning rate, 'ab' or 'abe'. Fit "
            "one of these."
        )
    rows = {}
    for value in np.unique(block_volatility):
        rates = fit.learning_rate[block_volatility == value]
        spread = float(rates.std(ddof=1)) if len(rates) > 1 else float("nan")
        error = spread / np.sqrt(len(rates))
        rows[float(value)] = VolatilityRow(float(rates.mean()), float(error), len(rates))
    return rows


def analyse(pulls: list[Pulls], tasks: Tasks) -> Player:
    """Regret and Rescorla-Wagner fits of the members of one player."""
    return Player(
        pulls=pulls,
        regret=np.stack([expected_regret(tasks.means, one.actions) for one in pulls]),
        fits=[compare_models(one.actions, one.rewards, tasks.volatility) for one in pulls],
    )
