"""Is a two-step player model-based or model-free? Stay profile, lagged regression, mixture.

Shapes: E episodes, N trials of two environment steps, P predictors, M scored choices.
In the paper's task a first-stage action leads to its *common* second-stage state with
probability 0.75 and to the other with 0.25; one second-stage state pays 1 with
probability 0.9, the other with 0.1, drawn once per episode. Nothing reverses within an
episode, so a model-free player that merely finds the good side also stays after common
rewards: the stay profile is read together with the regression, which controls for the
correct side, and with the mixture, which compares the two learning rules.

Source: Wang et al. 2016, "Learning to reinforcement learn", section 3.2.1; Akam, Costa
  and Dayan 2015, "Simple plans or sophisticated habits?" (the controls); Daw et al. 2011
  (the mixture).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import optimize

Array = np.ndarray

COMMON_PROBABILITY = 0.75
GOOD_PROBABILITY, BAD_PROBABILITY = 0.9, 0.1
NUM_TRIALS = 10
OUTCOMES = ("rewarded_common", "rewarded_rare", "unrewarded_common", "unrewarded_rare")
AGENT_KINDS = {"model_free": 0.0, "model_based": 1.0, "mixed": 0.5}
MIXED_WEIGHTS = (0.2, 0.8)  # weights in between count as mixed


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

    @property
    def interaction(self) -> float:
        """Reward x transition, 0 to 2: the mark of model-based choice."""
        return self.rewarded_difference + self.unrewarded_difference

    @property
    def reward_effect(self) -> float:
        """Stay after reward minus after failure, over transitions: the model-free mark."""
        rewarded, unrewarded = self.probability[:2], self.probability[2:]
        return float(rewarded.mean() - unrewarded.mean())


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


# Logistic regression.


@dataclass(frozen=True)
class LogisticFit:
    """A logistic regression.

    Attributes:
      names: P predictor names.
      coefficients: [P] log-odds per unit.
      covariance: [P, P], inverse of the penalised information.
      log_likelihood: nats, without the penalty.
      num_choices: M.
    """

    names: tuple[str, ...]
    coefficients: Array
    covariance: Array
    log_likelihood: float
    num_choices: int

    @property
    def standard_errors(self) -> Array:
        """[P] standard errors of the coefficients."""
        return np.sqrt(np.diag(self.covariance))

    def coefficient(self, name: str) -> float:
        """The coefficient of one predictor."""
        return float(self.coefficients[self.names.index(name)])


def fit_logistic(
    predictors: Array, is_first: Array, names: tuple[str, ...], ridge: float = 1e-3
) -> LogisticFit:
    """Logistic regression by Newton's method with step halving.

    Args:
      predictors: [M, P].
      is_first: [M] booleans, the event whose log-odds are modelled.
      names: P names.
      ridge: penalty of half a squared coefficient, in nats; keeps separable data finite.

    Returns:
      the fit.

    Raises:
      ValueError: if there are no choices, or the shapes do not fit together.
    """
    if predictors.ndim != 2 or predictors.shape != (len(is_first), len(names)):
        raise ValueError(
            f"predictors has shape {predictors.shape}: must be [{len(is_first)}, "
            f"{len(names)}], choices by names. Transpose or rename."
        )
    if not len(is_first):
        raise ValueError("0 choices: must have at least one. Pass episodes of 2 trials.")
    target = np.asarray(is_first, dtype=np.float64)
    coefficients = np.zeros(len(names))

    def objective(candidate: Array) -> float:
        likelihood = _log_likelihood(predictors @ candidate, target)
        return likelihood - 0.5 * ridge * float(candidate @ candidate)

    current = objective(coefficients)
    for _ in range(50):
        probability = _sigmoid(predictors @ coefficients)
        gradient = predictors.T @ (target - probability) - ridge * coefficients
        weights = probability * (1.0 - probability)
        information = (predictors * weights[:, None]).T @ predictors
        information += ridge * np.eye(len(names))
        step = np.linalg.solve(information, gradient)
        while (proposal := objective(coefficients + step)) < current - 1e-12:
            step = 0.5 * step
        coefficients, gain = coefficients + step, proposal - current
        current = proposal
        if gain < 1e-9:
            break
    return LogisticFit(
        names=names,
        coefficients=coefficients,
        covariance=np.linalg.inv(information),
        log_likelihood=_log_likelihood(predictors @ coefficients, target),
        num_choices=len(target),
    )


def _sigmoid(logits: Array) -> Array:
    return 0.5 * (1.0 + np.tanh(0.5 * logits))


def _log_likelihood(logits: Array, target: Array) -> float:
    return float(-np.logaddexp(0.0, np.where(target > 0, -logits, logits)).sum())


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


# The mixture of model-based and model-free learning.


@dataclass(frozen=True)
class MixtureModel:
    """One of the fitted models.

    Attributes:
      name: "neither", "model-free", "model-based" or "hybrid".
      learning_rate: nan for "neither".
      regression: of the choices given the learning rate.
      bic: Bayesian information criterion, nats.
    """

    name: str
    learning_rate: float
    regression: LogisticFit
    bic: float


@dataclass(frozen=True)
class MixtureFit:
    """Which learning rule explains the choices.

    Attributes:
      verdict: "model-based", "model-free", "mixed", or "neither" where no learning from
        reward is seen, as in the control without reward input.
      weight: w of the model-based values in the hybrid, 0 to 1; nan if the
        verdict is "neither".
      weight_standard_error: given the learning rate; nan on the bounds.
      models: all four by name.
    """

    verdict: str
    weight: float
    weight_standard_error: float
    models: dict[str, MixtureModel]


_VALUES = {
    "neither": (),
    "model-free": ("model_free",),
    "model-based": ("model_based",),
    "hybrid": ("model_based", "model_free"),
}


def fit_mixture(trials: TwoStepTrials) -> MixtureFit:
    """Fits model-free, model-based and hybrid learners by maximum likelihood.

    The log-odds of action 0 are

        inverse_temperature * (w * Q_mb + (1 - w) * Q_mf) + perseveration + bias

    with Q the value of action 0 minus that of action 1. Both learners average what they
    see with the same learning rate: the model-based one per second-stage state, weighed
    by the known transition matrix, the model-free one per action. As one state pays where
    the other does not, an outcome moves both values in opposite directions.

    What ten trials can tell: model-based and model-free values agree after common
    transitions, so only what follows the rare quarter tells them apart; learning rate and
    inverse temperature trade off, and a rate per learner would leave the weight undefined.
    Hence one rate, pooled episodes, and per rate a concave problem (no local optima). The
    weight of a hybrid is never read alone: the verdict is the single learner of lowest
    BIC unless the hybrid is better still and its weight lies within `MIXED_WEIGHTS`.

    Args:
      trials: E episodes of N trials. Values restart and first trials are not scored.

    Returns:
      the fit.

    Source: Daw et al. 2011, the hybrid learner. Departure: no second-stage choice, no
      eligibility trace (the last reward reaches the action fully), opposite updates.
    """
    models = {name: _fit_model(trials, name) for name in _VALUES}
    hybrid = models["hybrid"].regression
    weight, error = _model_based_weight(hybrid)
    single = min(
        ("neither", "model-free", "model-based"), key=lambda name: models[name].bic
    )
    verdict = single
    if models["hybrid"].bic < models[single].bic:
        if MIXED_WEIGHTS[0] < weight < MIXED_WEIGHTS[1]:
            verdict = "mixed"
        else:
            verdict = "model-based" if weight > 0.5 else "model-free"
    if verdict == "neither":
        weight = error = float("nan")
    return MixtureFit(verdict, weight, error, models)


def _model_based_weight(hybrid: LogisticFit) -> tuple[float, float]:
    """Weight w and its standard error, from temperatures b * w and b * (1 - w)."""
    based, free = (
        hybrid.coefficient(name) if name in hybrid.names else 0.0
        for name in ("model_based", "model_free")
    )
    if based + free <= 0:
        return float("nan"), float("nan")
    weight = based / (based + free)
    if based == 0 or free == 0:
        return weight, float("nan")
    gradient = np.array([free, -based]) / (based + free) ** 2
    return weight, float(np.sqrt(gradient @ hybrid.covariance[:2, :2] @ gradient))


def _fit_model(trials: TwoStepTrials, name: str) -> MixtureModel:
    """Best learning rate and coefficients of one model."""
    values = _VALUES[name]
    if not values:
        regression, rate = _regress(trials, 0.0, values), float("nan")
    else:
        rate = _best_rate(lambda rate: _regress(trials, rate, values).log_likelihood)
        regression = _regress(trials, rate, values)
    # Perseveration and bias, a temperature per learner, and the learning rate.
    num_parameters = 2 + len(values) + (1 if values else 0)
    bic = num_parameters * np.log(regression.num_choices) - 2 * regression.log_likelihood
    return MixtureModel(name, rate, regression, float(bic))


def _best_rate(likelihood: Callable[[float], float]) -> float:
    """Learning rate in (0, 1) of the highest likelihood: a grid, then the best cell."""
    grid = np.linspace(0.02, 0.98, 17)
    best = int(np.argmax([likelihood(rate) for rate in grid]))
    low, high = grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)]
    result = optimize.minimize_scalar(
        lambda rate: -likelihood(rate), bounds=(low, high), options={"xatol": 1e-3}
    )
    return float(result.x)


def _regress(trials: TwoStepTrials, rate: float, values: tuple[str, ...]) -> LogisticFit:
    """Choices on the learners' values; a learner of negative temperature is dropped."""
    action, state = trials.first_action, trials.second_state
    tables = {
        "model_based": (2 * COMMON_PROBABILITY - 1)
        * _value_difference(state, trials.reward, rate, is_opposite=True),
        "model_free": _value_difference(action, trials.reward, rate, is_opposite=True),
    }
    perseveration = 1.0 - 2.0 * action[:, :-1]
    columns = [*(tables[value][:, 1:] for value in values), perseveration]
    predictors = np.stack([*columns, np.ones_like(perseveration)], axis=2)
    fit = fit_logistic(
        predictors.reshape(-1, predictors.shape[2]),
        (action[:, 1:] == 0).ravel(),
        (*values, "perseveration", "bias"),
    )
    if not values or fit.coefficients[: len(values)].min() >= 0:
        return fit
    # The likelihood is concave: its constrained optimum lies on the bound.
    subsets = [tuple(v for v in values if v != dropped) for dropped in values]
    fits = [_regress(trials, rate, subset) for subset in subsets]
    return max(fits, key=lambda candidate: candidate.log_likelihood)


def _value_difference(index: Array, reward: Array, rate: float, is_opposite: bool) -> Array:
    """Value of entry 0 minus entry 1 before each trial, [E, N]; values start at 1/2.

    Args:
      index: [E, N] entry whose value moves to the reward.
      reward: [E, N].
      rate: learning rate.
      is_opposite: whether the other entry moves to 1 - reward at the same rate.
    """
    values = np.full((len(index), 2), 0.5)
    differences = np.empty(index.shape)
    for trial in range(index.shape[1]):
        differences[:, trial] = values[:, 0] - values[:, 1]
        is_seen = np.arange(2) == index[:, trial, None]
        gain = reward[:, trial, None]
        goal = np.where(is_seen, gain, 1.0 - gain)
        values += rate * (is_seen | is_opposite) * (goal - values)
    return differences


# Synthetic players.


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
        based = _value_difference(
            state[:, past], reward[:, past], learning_rate, is_opposite
        )
        free = _value_difference(
            action[:, past], reward[:, past], learning_rate, is_opposite
        )
        contrast = 2 * COMMON_PROBABILITY - 1
        value = weight * contrast * based[:, -1] + (1.0 - weight) * free[:, -1]
        logits = inverse_temperature * value
        if trial:
            logits = logits + perseveration * (1 - 2 * action[:, trial - 1])
        action[:, trial] = uniform_choice[:, trial] >= _sigmoid(logits)
        common = is_common[:, trial]
        state[:, trial] = np.where(common, action[:, trial], 1 - action[:, trial])
        is_good = state[:, trial] == rewarding_state
        pays = np.where(is_good, GOOD_PROBABILITY, BAD_PROBABILITY)
        reward[:, trial] = uniform_reward[:, trial] < pays
    return TwoStepTrials(action, is_common, state, reward, rewarding_state)
