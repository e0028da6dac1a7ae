"""Synthetic two-step players of known kind, to see what an analysis makes of them."""

import numpy as np

from tolman.launchers.studies.meta_rl.logistic import sigmoid
from tolman.launchers.studies.meta_rl.two_step_analysis import TwoStepTrials
from tolman.launchers.studies.meta_rl.two_step_models import (
    COMMON_PROBABILITY,
    value_difference,
)

GOOD_PROBABILITY, BAD_PROBABILITY = 0.9, 0.1
NUM_TRIALS = 10
AGENT_KINDS = {"model_free": 0.0, "model_based": 1.0, "mixed": 0.5}


def simulate_agent(
    kind: str,
    num_episodes: int,
    generator: np.random.Generator,
    num_trials: int = NUM_TRIALS,
    learning_rate: float = 0.5,
    inverse_temperature: float = 8.0,
    perseveration: float = 0.0,
    is_opposite: bool = False,
) -> TwoStepTrials:
    """Plays the paper's two-step task as a learner of known kind.

    Args:
      kind: a key of `AGENT_KINDS`; "mixed" weighs both learners 1/2.
      num_episodes: E.
      generator: source of randomness.
      num_trials: N; 10 trials are the paper's 20 steps.
      learning_rate: of both learners.
      inverse_temperature: 0 plays at random.
      perseveration: log-odds for repeating the last action.
      is_opposite: whether an outcome also moves the other entry's value, as in the
        learners of `fit_mixture`; by default the learners are the simpler, standard ones.

    Returns:
      the trials, with `rewarding_state`.

    Raises:
      ValueError: if the kind is unknown.

    Source: Wang et al. 2016, section 3.2.1, the task.
    """
    if kind not in AGENT_KINDS:
        raise ValueError(
            f"kind={kind!r}: must be one of {sorted(AGENT_KINDS)}. Chance level is any "
            "kind with inverse_temperature=0."
        )
    weight = AGENT_KINDS[kind]
    shape = (num_episodes, num_trials)
    rewarding_state = generator.integers(0, 2, num_episodes)
    is_common = generator.random(shape) < COMMON_PROBABILITY
    uniform_choice, uniform_reward = generator.random(shape), generator.random(shape)
    action, state, reward = (np.zeros(shape, dtype=np.int64) for _ in range(3))
    for trial in range(num_trials):
        past = slice(0, trial + 1)  # the entry of this trial is not used for its own value
        based = value_difference(
            state[:, past], reward[:, past], learning_rate, is_opposite
        )
        free = value_difference(
            action[:, past], reward[:, past], learning_rate, is_opposite
        )
        contrast = 2 * COMMON_PROBABILITY - 1
        value = weight * contrast * based[:, -1] + (1.0 - weight) * free[:, -1]
        logits = inverse_temperature * value
        if trial:
            logits = logits + perseveration * (1 - 2 * action[:, trial - 1])
        action[:, trial] = uniform_choice[:, trial] >= sigmoid(logits)
        common = is_common[:, trial]
        state[:, trial] = np.where(common, action[:, trial], 1 - action[:, trial])
        is_good = state[:, trial] == rewarding_state
        pays = np.where(is_good, GOOD_PROBABILITY, BAD_PROBABILITY)
        reward[:, trial] = uniform_reward[:, trial] < pays
    return TwoStepTrials(action, is_common, state, reward, rewarding_state)
