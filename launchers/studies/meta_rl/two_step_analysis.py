"""Is a two-step player model-based or model-free? Stay profile and lagged regression.

Shapes: E episodes, N trials of two environment steps.
In the paper's task a first-stage action leads to its *common* second-stage state with
probability 0.75 and to the other with 0.25; one second-stage state pays 1 with
probability 0.9, the other with 0.1, drawn once per episode. Nothing reverses within an
episode, so a model-free player that merely finds the good side also stays after common
rewards: the stay profile is read together with the regression, which controls for the
correct side, and with the mixture of `two_step_models`, which compares the two learning
rules.

Source: Wang et al. 2016, "Learning to reinforcement learn", section 3.2.1; Akam, Costa
  and Dayan 2015, "Simple plans or sophisticated habits?" (the controls).
"""

from dataclasses import dataclass

import numpy as np

from tolman.launchers.studies.meta_rl.logistic import LogisticFit, fit_logistic

Array = np.ndarray

OUTCOMES = ("rewarded_common", "rewarded_rare", "unrewarded_common", "unrewarded_rare")


@dataclass(frozen=True)
class TwoStepTrials:
    """Trials of the two-step task.

    Attributes:
      first_action: [E, N] of 0 and 1.
      transition_common: [E, N] booleans.
      second_state: [E, N] of 0 and 1; state 0 is the common one of action 0.
      reward: [E, N] of 0 and 1.
      rewarding_state: [E] of 0 and 1, the state that pays 0.9, or None if not recorded.
    """

    first_action: Array
    transition_common: Array
    second_state: Array
    reward: Array
    rewarding_state: Array | None = None

    def __post_init__(self) -> None:
        shape = np.shape(self.first_action)
        for name in ("transition_common", "second_state", "reward"):
            if len(shape) != 2 or np.shape(getattr(self, name)) != shape:
                raise ValueError(
                    f"{name} has shape {np.shape(getattr(self, name))}, first_action "
                    f"{shape}: both must be [E, N]. Pass one row per episode."
                )
        for name in ("first_action", "second_state", "reward", "transition_common"):
            if not np.isin(getattr(self, name), (0, 1)).all():
                raise ValueError(f"{name}: must hold 0 and 1 only. Recode it.")
        is_common = np.asarray(self.first_action) == np.asarray(self.second_state)
        if not np.array_equal(is_common, np.asarray(self.transition_common, dtype=bool)):
            raise ValueError(
                "transition_common: must be True exactly where second_state equals "
                "first_action. Number the states by the action that commonly leads there."
            )
        # Signed integers, whatever came in: 1 - 2 * action wraps around in uint8.
        for name in ("first_action", "second_state", "reward"):
            object.__setattr__(self, name, np.asarray(getattr(self, name)).astype(np.int64))
        object.__setattr__(self, "transition_common", is_common)
        if self.rewarding_state is not None:
            rewarding_state = np.asarray(self.rewarding_state).astype(np.int64)
            if rewarding_state.shape != shape[:1]:
                raise ValueError(
                    f"rewarding_state has shape {rewarding_state.shape} for {shape[0]} "
                    "episodes: must be [E]. Pass one state per episode, or None."
                )
            object.__setattr__(self, "rewarding_state", rewarding_state)


# Stay probabilities.


@dataclass(frozen=True)
class StayProfile:
    """Probability of repeating the first action, by outcome, in the order of `OUTCOMES`.

    Attributes:
      probability: [4], nan where an outcome never occurred.
      standard_error: [4], with episodes as the independent units.
      count: [4] trials with this outcome and a following trial.
    """

    probability: Array
    standard_error: Array
    count: Array

    @property
    def rewarded_difference(self) -> float:
        """Stay after a common minus after a rare reward: above 0 if model-based."""
        return float(self.probability[0] - self.probability[1])

    @property
    def unrewarded_difference(self) -> float:
        """Stay after a rare minus after a common failure: above 0 if model-based."""
        return float(self.probability[3] - self.probability[2])


def stay_probabilities(trials: TwoStepTrials) -> StayProfile:
    """Stay probabilities by reward and transition, within episodes.

    Args:
      trials: E episodes of N trials.

    Returns:
      the four probabilities with counts and standard errors.

    Source: Wang et al. 2016, section 3.2.1, figure 5.
    """
    is_stay = trials.first_action[:, 1:] == trials.first_action[:, :-1]
    kind = _outcome(trials)[:, :-1]
    cells = kind[..., None] == np.arange(4)  # [E, N-1, 4]
    counts = cells.sum(axis=1)  # [E, 4]
    stays = (cells & is_stay[..., None]).sum(axis=1)
    total, num_episodes = counts.sum(axis=0), len(counts)
    with np.errstate(invalid="ignore", divide="ignore"):
        probability = stays.sum(axis=0) / total
        residual = ((stays - probability * counts) ** 2).sum(axis=0)
        correction = num_episodes / (num_episodes - 1.0) if num_episodes > 1 else np.nan
        standard_error = np.sqrt(residual * correction) / total
    return StayProfile(probability, standard_error, total)


def _outcome(trials: TwoStepTrials) -> Array:
    """Index into `OUTCOMES` of each trial, [E, N]."""
    return 2 * (1 - trials.reward) + (1 - trials.transition_common)


# Lagged regression.


def lagged_regression(trials: TwoStepTrials, num_lags: int = 3) -> LogisticFit:
    """Regresses each choice on the outcomes of the choices before it.

    For lag k and each of `OUTCOMES`, the predictor is +1/2 if that outcome followed
    action 0, -1/2 if it followed action 1, and 0 otherwise or before the episode; a
    positive coefficient means repeating. "correct_side" is +-1/2 for the action that
    commonly leads to the better state; without it, any player that finds that action
    looks model-based. "bias" is a constant preference for action 0. First trials of an
    episode are not scored.

    Args:
      trials: E episodes of N trials. Without `rewarding_state`, the better state is
        estimated from all rewards of the episode; on a tie the control is 0.
      num_lags: trials looked back, 1 to N - 1.

    Returns:
      coefficients named "rewarded_common_1" (outcome and lag), "correct_side", "bias".

    Raises:
      ValueError: if `num_lags` is out of range.

    Source: Akam, Costa and Dayan 2015, lagged regression. Departure: no reversal within
      an episode, so the correct side is constant per episode.
    """
    num_episodes, num_trials = trials.first_action.shape
    if not 1 <= num_lags < num_trials:
        raise ValueError(
            f"num_lags={num_lags}: must be 1 to {num_trials - 1} with {num_trials} trials. "
            "Pass num_lags=3."
        )
    kinds = _outcome(trials)[..., None] == np.arange(4)  # [E, N, 4]
    signed = kinds * (0.5 - trials.first_action)[..., None]
    columns, names = [], []
    for lag in range(1, num_lags + 1):
        shifted = np.zeros_like(signed)
        shifted[:, lag:] = signed[:, :-lag]
        columns.append(shifted)
        names += [f"{outcome}_{lag}" for outcome in OUTCOMES]
    side = np.broadcast_to(_correct_side(trials)[:, None], (num_episodes, num_trials))
    ones = np.ones((num_episodes, num_trials))
    predictors = np.concatenate([*columns, side[..., None], ones[..., None]], axis=2)
    return fit_logistic(
        predictors[:, 1:].reshape(-1, predictors.shape[2]),
        (trials.first_action[:, 1:] == 0).ravel(),
        (*names, "correct_side", "bias"),
    )


def _correct_side(trials: TwoStepTrials) -> Array:
    """+1/2 where action 0 commonly leads to the better state, -1/2 for action 1: [E]."""
    if trials.rewarding_state is not None:
        return 0.5 - trials.rewarding_state
    evidence = (1 - 2 * trials.second_state) * (2 * trials.reward - 1)
    return 0.5 * np.sign(evidence.sum(axis=1))
