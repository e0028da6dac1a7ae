"""Restless bandits: does the agent learn how fast to learn?

The arms wander slowly in some episodes and quickly in others. The trained agent is frozen
and its choices are fitted, as a person's would be, with Rescorla-Wagner models: a player
that adapts is described better by a learning rate of its own for each block of episodes,
and that rate is higher where the arms move faster. A Rescorla-Wagner player of fixed rate
goes through the same analysis and must come out as fixed. An agent without the reward
input must stay at chance, and so, nearly, must one without memory: where the clock alone
says which arm was pulled, the last reward tells it a little. A feed-forward agent that also
sees its last action can do no better than win-stay, lose-shift: it must stay behind
Rescorla-Wagner, and its learning rate is 1 throughout. The first two controls are judged by
their regret alone: where rewards do not guide the choices, Rescorla-Wagner describes
nothing and its fitted rates mean nothing; the table has them all the same.

All players meet the same walks, so that differences between them are not luck.

Source: Wang et al. 2016, section 3.1.4.
  Departure: the paper's text gives no volatilities; 0.02 and 0.2, reflected at 0 and 1,
  are this implementation's choice, so its regrets cannot be compared with the paper's
  number for number. The unroll covers the 100 pulls and the closing row (table 1: 150
  steps), 8 sequences make an update (table 1: 1), learning rate, discount and the
  entropy cost at the start are drawn (table 1: 0.001, 0.8, 1), fewer settings are drawn
  than the paper's 100, and 600 tasks are evaluated in place of 300.
"""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from tolman.envs.meta_rl.restless import (
    HIGH_VOLATILITY,
    LOW_VOLATILITY,
    RestlessBandit,
    RestlessState,
)
from tolman.launchers.device.episodes import Trajectory
from tolman.launchers.studies import figures
from tolman.launchers.studies.checks import SIGMAS, standard_error
from tolman.launchers.studies.meta_rl import common, restless_plots
from tolman.launchers.studies.meta_rl.bandit_baselines import (
    Pulls,
    expected_regret,
    play_bernoulli,
    ucb_policy,
)
from tolman.launchers.studies.meta_rl.rescorla_wagner import simulate_rescorla_wagner
from tolman.launchers.studies.meta_rl.restless_analysis import Player, Tasks, analyse
from tolman.launchers.studies.meta_rl.structured_baselines import play_walk_filter
from tolman.launchers.studies.study import Study

TITLE = "Restless bandits: a learning rate that follows the volatility"
PAPER = "Wang et al. 2016, section 3.1.4, figure 4"

NUM_TRIALS = 100
AGENT = {"unroll_length": NUM_TRIALS + 1, "batch_size": 8, "value_cost": 0.4}
QUICK = common.Sweep(4, 4, (3e-3, 6e-3), (0.6, 0.8), (0.05, 0.15))
FULL = common.Sweep(20, 5, (1e-3, 1e-2), (0.6, 0.9), (0.05, 0.5))
QUICK_EPISODES, FULL_EPISODES = 8_000, 16_000
EVALUATION_EPISODES = 600
NUM_CONTROLS = 6  # Members of each control; their settings are the first of the sweep's.

AGENT_NAME, CONTROL_NAME = "meta-RL", "Rescorla-Wagner"
VARIANTS: dict[str, dict[str, Any]] = {
    AGENT_NAME: {},
    "no reward input": {"use_previous_reward": False},
    "no memory": {"core": "feedforward", "use_previous_action": False},
    "action as notepad": {"core": "feedforward"},
}
# How often a baseline plays each walk, so that its own luck averages out.
REPETITIONS, FILTER_REPETITIONS = 40, 10


def run(study: Study) -> None:
    """Trains the agent and its controls, fits all players, checks the claims."""
    sweep = QUICK if study.quick else FULL
    episodes = QUICK_EPISODES if study.quick else FULL_EPISODES
    environment = RestlessBandit(NUM_TRIALS)
    study.settings = {
        **sweep.describe(), **AGENT, "episodes": episodes, "core": "lstm", "core_size": 48,
        "volatilities": list(environment.volatilities),
        "evaluation_episodes": EVALUATION_EPISODES,
    }  # fmt: skip

    players, curves = {}, {}
    for name, variant in VARIANTS.items():
        num_members = sweep.num_members
        if name != AGENT_NAME:
            num_members = min(num_members, NUM_CONTROLS)
        agent = common.make_agent(environment, **{**AGENT, **variant})
        training = common.train(
            study, name, agent, environment, episodes * (NUM_TRIALS + 1), sweep, num_members
        )
        played = common.evaluate(
            study, agent, environment, training, _record, EVALUATION_EPISODES
        )
        regret = _regret(played)
        shown, half = common.select(-regret, sweep.num_shown)
        tasks = _tasks(played, half)
        pulls = [_pulls(played, member, half) for member in shown]
        players[name] = analyse(pulls, tasks)
        curves[name] = (training.env_steps, training.episode_return[:, shown] / NUM_TRIALS)

    rng = np.random.default_rng(study.seed)
    control = simulate_rescorla_wagner(tasks.means, rng)
    players[CONTROL_NAME] = analyse([control], tasks)
    baselines = play_baselines(tasks, rng)
    _check(study, players, baselines)
    _report(study, players, baselines)
    restless_plots.adaptation(study, tasks, players, baselines)
    best = float(tasks.means.max(2).mean())
    levels = {"optimum": best - baselines["optimum"].mean() / NUM_TRIALS, "chance": 0.5}
    figures.learning_curves(study, curves, "reward per trial", levels)


def _record(state: RestlessState) -> dict[str, jax.Array]:
    return {"means": state.means, "volatility": state.volatility}


def _regret(played: Trajectory) -> np.ndarray:
    """`[P, E]` expected regret of every episode."""
    num_members = played.action.shape[1]
    episodes = np.arange(played.action.shape[2])
    means = _tasks(played, episodes).means
    pulls = [_pulls(played, member, episodes) for member in range(num_members)]
    return np.stack([expected_regret(means, one.actions) for one in pulls])


def _tasks(played: Trajectory, episodes: np.ndarray) -> Tasks:
    """The tasks of some episodes; all members meet the same."""
    means = played.record["means"][:NUM_TRIALS, 0, episodes]  # [T, E, 2]
    volatility = played.record["volatility"][0, 0, episodes]
    return Tasks(np.moveaxis(means, 0, 1), np.round(volatility.astype(np.float64), 6))


def _pulls(played: Trajectory, member: int, episodes: np.ndarray) -> Pulls:
    """One member's actions and rewards, `[E, T]`."""
    rewards = played.timestep.reward[1 : NUM_TRIALS + 1, member, episodes]
    return Pulls(played.action[:NUM_TRIALS, member, episodes].T, rewards.T)


def play_baselines(tasks: Tasks, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """`[E]` expected regret of each baseline, averaged over repeated plays of a walk."""
    often = np.repeat(tasks.means, REPETITIONS, axis=0)
    few = np.repeat(tasks.means, FILTER_REPETITIONS, axis=0)
    volatilities = (LOW_VOLATILITY, HIGH_VOLATILITY)
    played = {
        CONTROL_NAME: (often, simulate_rescorla_wagner(often, rng)),
        "UCB, chi 1": (often, play_bernoulli(ucb_policy(1.0), often, rng)),
        **{
            f"Thompson, walk {volatility:g}": (
                few, play_walk_filter(few, rng, (volatility,))
            )
            for volatility in volatilities
        },
        "Rescorla-Wagner, one shared value": (
            often, simulate_rescorla_wagner(often, rng, is_shared=True)
        ),
        "win-stay, lose-shift": (
            often, simulate_rescorla_wagner(often, rng, 1.0, np.inf, is_shared=True)
        ),
        "optimum": (few, play_walk_filter(few, rng, volatilities, is_greedy=True)),
    }  # fmt: skip
    return {
        name: expected_regret(means, pulls.actions).reshape(len(tasks.means), -1).mean(1)
        for name, (means, pulls) in played.items()
    }


def distance_to_optimum(player: Player, optimum: np.ndarray) -> tuple[float, float]:
    """Regret above the optimum's on the same walks, and its standard error.

    The members' plays are averaged, as the optimum's repetitions are.
    """
    difference = player.regret.mean(0) - optimum  # [E]
    return float(difference.mean()), standard_error(difference)


def _check(
    study: Study, players: dict[str, Player], baselines: dict[str, np.ndarray]
) -> None:
    agent, control = players[AGENT_NAME], players[CONTROL_NAME]
    regret = {name: float(values.mean()) for name, values in baselines.items()}
    figure, fits = "figure 4: lower", "section 3.1.4: model abe preferred"
    thompson = min(value for name, value in regret.items() if name.startswith("Thompson"))
    for claim, bar in (
        ("Rescorla-Wagner's of learning rate 0.5", regret[CONTROL_NAME]),
        ("UCB's", regret["UCB, chi 1"]),
        ("Thompson sampling's that knows the walk at one volatility", thompson),
    ):
        study.check(f"regret is below {claim}", agent.median_regret, figure, below=bar)
    above, error = distance_to_optimum(agent, baselines["optimum"])
    study.check(
        f"regret minus the optimum's (bar: {SIGMAS:g} standard errors below)",
        above, "none can be lower", above=-SIGMAS * error,
    )  # fmt: skip
    study.check(
        "fitted learning rate: high minus low volatility",
        agent.rate_difference, "figure 4: follows the volatility", above=0.05,
    )  # fmt: skip
    study.check("BIC(abe) - BIC(be)", agent.adaptation_bic, fits, below=0.0)
    study.check(
        "Rescorla-Wagner of fixed rate: BIC(abe) - BIC(be)",
        control.adaptation_bic, "section 3.1.4: model be preferred", above=0.0,
    )  # fmt: skip
    study.check(
        "Rescorla-Wagner of fixed rate: high minus low volatility",
        abs(control.rate_difference), "none", below=0.05,
    )  # fmt: skip
    for name, bar in (("no reward input", 22.0), ("no memory", 15.0)):
        study.check(f"{name}: regret", players[name].median_regret, "chance 25", above=bar)
    notepad = players["action as notepad"]
    study.check(
        "action as notepad: regret is above Rescorla-Wagner's", notepad.median_regret,
        "win-stay, lose-shift at best", above=regret[CONTROL_NAME],
    )  # fmt: skip
    study.check(
        "action as notepad: high minus low volatility",
        abs(notepad.rate_difference), "none: its rate is 1", below=0.05,
    )  # fmt: skip


def _report(
    study: Study, players: dict[str, Player], baselines: dict[str, np.ndarray]
) -> None:
    optimum = baselines["optimum"]
    rows = [
        [name, f"{values.mean():.2f}", f"{values.mean() - optimum.mean():.2f}",
         f"{standard_error(values - optimum):.2f}"]
        for name, values in baselines.items()
    ]  # fmt: skip
    for name in VARIANTS:
        above, error = distance_to_optimum(players[name], optimum)
        median = players[name].median_regret
        rows.insert(0, [name, f"{median:.2f}", f"{above:.2f}", f"{error:.2f}"])
    study.table(
        "Expected regret over 100 trials (members: median), and above the optimum's on the "
        "same walks",
        ["player", "regret", "above the optimum", "standard error"],
        sorted(rows, key=lambda row: float(row[1])),
    )
    study.table(
        "Rescorla-Wagner fits to blocks of ten episodes of a volatility (members: median)",
        ["player", "preferred model", "learning rate, low", "learning rate, high",
         "difference", "BIC(abe) - BIC(be)"],
        [
            [name, ", ".join(sorted({fit.preferred for fit in player.fits})),
             *(f"{rate:.2f}" for rate in np.median(player.rates, axis=0)),
             f"{player.rate_difference:.2f}", f"{player.adaptation_bic:.0f}"]
            for name, player in players.items()
        ],
    )  # fmt: skip
