"""The two-step task: does a model-free learner come to behave in a model-based way?

The agent, trained by a model-free method, is then frozen and its choices are analysed as
a person's would be. A reward after a rare transition should make it *leave* the action
that led there. Two controls must fail the same checks: an agent without the reward input,
and one without memory. Two synthetic players, one model-free and one model-based, go
through the same analysis and must come out as what they are.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import numpy as np

from tolman.envs.meta_rl import TwoStep
from tolman.envs.meta_rl.two_step import TwoStepState
from tolman.launchers.device.episodes import Trajectory
from tolman.launchers.studies import figures
from tolman.launchers.studies.checks import standard_error
from tolman.launchers.studies.meta_rl import common, plots
from tolman.launchers.studies.meta_rl.two_step_analysis import (
    OUTCOMES,
    StayProfile,
    TwoStepTrials,
    lagged_regression,
    stay_probabilities,
)
from tolman.launchers.studies.meta_rl.two_step_models import MixtureFit, fit_mixture
from tolman.launchers.studies.meta_rl.two_step_players import simulate_agent
from tolman.launchers.studies.study import Study

TITLE = "Two-step task: model-based behaviour out of model-free training"
PAPER = "Wang et al. 2016, section 3.2.1, figure 5"

# Table 1, experiment 5: 48 units, unroll 20 (one row closes the episode), both costs 0.05.
AGENT: dict[str, Any] = {
    "unroll_length": 21,
    "entropy_cost": 0.05,
    "final_entropy_cost": 0.05,
}
QUICK = common.Sweep(4, 4, (2e-3, 4e-3), (0.9, 0.9), (0.05, 0.05))
FULL = common.Sweep(24, 5, (5e-4, 5e-3), (0.7, 0.95), (0.05, 0.05))
# Environment steps a member, closing rows counted: episodes x 21.
QUICK_STEPS, FULL_STEPS = 40_000 * 21, 80_000 * 21


class Player(NamedTuple):
    """One player's choices, analysed.

    Attributes:
      profiles: stay probabilities, one a member.
      mixture: fitted to the choices of all members together.
      reward: mean reward a trial, one a member.
    """

    profiles: list[StayProfile]
    trials: TwoStepTrials
    mixture: MixtureFit
    reward: np.ndarray


def run(study: Study) -> None:
    """Trains the agent and its controls, analyses all players, checks the claims."""
    sweep = QUICK if study.quick else FULL
    steps = QUICK_STEPS if study.quick else FULL_STEPS
    batch_size = 8
    environment = TwoStep()
    study.settings = {
        **sweep.describe(), **AGENT, "batch_size": batch_size, "env_steps": steps,
        "core": "lstm", "core_size": 48, "evaluation_episodes": common.EVALUATION_EPISODES,
    }  # fmt: skip

    players, curves = {}, {}
    for name, variant in {"meta-RL": {}, **common.CONTROLS}.items():
        agent = common.make_agent(environment, batch_size=batch_size, **AGENT, **variant)
        training = common.train(study, name, agent, environment, steps, sweep)
        played = common.evaluate(study, agent, environment, training, _record)
        shown, episodes = common.select(played.episode_return, sweep.num_shown)
        players[name] = _analyse([_trials(played, member, episodes) for member in shown])
        curves[name] = (training.env_steps, training.episode_return[:, shown] / 10)
    rng = np.random.default_rng(study.seed)
    for kind in ("model_free", "model_based"):
        trials = simulate_agent(kind, 4 * common.EVALUATION_EPISODES, rng)
        players[kind.replace("_", "-") + " player"] = _analyse([trials])

    _check(study, players)
    _report(study, players)
    plots.stay_profiles(study, {name: one.profiles for name, one in players.items()})
    figures.learning_curves(
        study, curves, "reward per trial", {"ceiling": 0.7, "chance": 0.5}
    )


def _record(state: TwoStepState) -> dict[str, jax.Array]:
    return {"position": state.position, "good_state": state.good_state}


def _trials(played: Trajectory, member: int, episodes: np.ndarray) -> TwoStepTrials:
    """One member's trials: `[E, N]` from rows that alternate between the two stages."""
    length = int(played.episode_length[member, 0])  # The same for every episode.
    position = played.record["position"][: length + 1, member, episodes]  # [2 N + 1, E]
    first_action = played.action[0:length:2, member, episodes]
    second_state = position[1:length:2] - 1
    return TwoStepTrials(
        first_action=first_action.T,
        transition_common=(first_action == second_state).T,
        second_state=second_state.T,
        reward=played.timestep.reward[2 : length + 1 : 2, member, episodes].T,
        rewarding_state=played.record["good_state"][0, member, episodes] - 1,
    )


def _analyse(members: list[TwoStepTrials]) -> Player:
    def pooled(name: str) -> np.ndarray:
        return np.concatenate([getattr(trials, name) for trials in members])

    together = TwoStepTrials(
        pooled("first_action"), pooled("transition_common"), pooled("second_state"),
        pooled("reward"), pooled("rewarding_state"),
    )  # fmt: skip
    return Player(
        profiles=[stay_probabilities(trials) for trials in members],
        trials=together,
        mixture=fit_mixture(together),
        reward=np.array([trials.reward.mean() for trials in members]),
    )


def _differences(player: Player) -> tuple[float, float]:
    """Medians over members of the two signatures of a model-based player."""
    rewarded = np.median([profile.rewarded_difference for profile in player.profiles])
    unrewarded = np.median([profile.unrewarded_difference for profile in player.profiles])
    return float(rewarded), float(unrewarded)


def _check(study: Study, players: dict[str, Player]) -> None:
    figure_5 = "figure 5c: model-based profile"
    rewarded, unrewarded = _differences(players["meta-RL"])
    study.check(
        "rewarded: stays more after a common than after a rare transition",
        rewarded, figure_5, above=0.3,
    )  # fmt: skip
    study.check(
        "unrewarded: stays more after a rare than after a common transition",
        unrewarded, figure_5, above=0.3,
    )  # fmt: skip
    reward = float(np.median(players["meta-RL"].reward))
    study.check("reward per trial", reward, "ceiling 0.70", above=0.62, below=0.71)
    weight = players["meta-RL"].mixture.weight
    study.check("weight of the model-based learner in the mixture", weight, "1", above=0.8)

    for control in ("no reward input", "no memory"):
        largest = max(map(abs, _differences(players[control])))
        study.check(f"{control}: either difference", largest, "none", below=0.1)
        reward = float(np.median(players[control].reward))
        error = standard_error(players[control].trials.reward.mean(1))
        study.check_chance(
            f"{control}: reward per trial is chance", reward, "0.50",
            expected=0.5, error=error,
        )  # fmt: skip
    for kind, bounds in (("model-free", {"below": 0.2}), ("model-based", {"above": 0.8})):
        weight = players[f"{kind} player"].mixture.weight
        study.check(f"{kind} player: fitted model-based weight", weight, "known", **bounds)


def _report(study: Study, players: dict[str, Player]) -> None:
    rows = []
    for name, player in players.items():
        stay = np.median([profile.probability for profile in player.profiles], axis=0)
        verdict, weight = player.mixture.verdict, player.mixture.weight
        rows.append(
            [name, *(f"{p:.2f}" for p in stay), f"{np.median(player.reward):.3f}", verdict,
             f"{weight:.2f}"]
        )  # fmt: skip
    columns = ["player", *(f"stay, {name.replace('_', ' ')}" for name in OUTCOMES)]
    study.table(
        "Stay probabilities (median of members), reward per trial and mixture fit",
        [*columns, "reward", "verdict", "model-based weight"],
        rows,
    )
    fit = lagged_regression(players["meta-RL"].trials)
    study.table(
        "Lagged regression of the choice, meta-RL (log-odds; correct side as a control)",
        ["predictor", "coefficient", "standard error"],
        [
            [name, round(float(value), 3), round(float(error), 3)]
            for name, value, error in zip(
                fit.names, fit.coefficients, fit.standard_errors, strict=True
            )
        ],
    )
