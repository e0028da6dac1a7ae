"""Dependent arms: does the agent learn the structure of the bandits it is trained on?

Five distributions of two-armed bandits: independent arms, and arms that pay with
probabilities p and 1 - p, where p is uniform, easy (0.1 or 0.9), medium (0.25 or 0.75) or
hard (0.4 or 0.6) to tell. An agent is trained on each and tested on all. One trained on
dependent arms should beat Thompson sampling, which does not know that one arm tells of
the other, and should pay for that knowledge where it does not hold. An agent without the
reward input and one without memory must fail.

Source: Wang et al. 2016, section 3.1.2.
  Departure: the paper trains 100 settings on each distribution for 20,000 episodes and
  shows the best five; here fewer, with 16 episodes an update, and the independent and the
  hard distribution for longer. As in the independent study the best are chosen and shown
  on thousands of tasks in place of 150 each.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any, NamedTuple

import jax
import numpy as np

from tolman.envs.environment import Environment
from tolman.envs.meta_rl import DependentBandit, IndependentBandit
from tolman.envs.meta_rl.bandits import easy, hard, medium
from tolman.launchers.studies import figures
from tolman.launchers.studies.checks import SIGMAS
from tolman.launchers.studies.meta_rl import bandit_baselines as baselines
from tolman.launchers.studies.meta_rl import bandit_optima as optima
from tolman.launchers.studies.meta_rl import common, plots
from tolman.launchers.studies.meta_rl.independent_bandits import (
    BATCH_SIZE,
    NUM_TRIALS,
    Player,
    choose,
    make_policies,
    play_baselines,
    play_held_out,
    regret_of,
)
from tolman.launchers.studies.study import Study, Training

TITLE = "Dependent bandits: an agent that learns and exploits the structure of its tasks"
PAPER = "Wang et al. 2016, section 3.1.2, figure 2b to 2f"


class Plan(NamedTuple):
    """How the agents of one distribution are trained.

    Attributes:
      sweep: settings drawn and shown.
      updates: of each member.
    """

    sweep: common.Sweep
    updates: int


def _quick(entropy_cost: float, updates: int) -> Plan:
    rate = 1.2e-2
    entropy = (entropy_cost, entropy_cost)
    return Plan(common.Sweep(2, 1, (rate, rate), (0.9, 0.9), entropy), updates)


def _full(entropy_cost: float, updates: int) -> Plan:
    entropy = (entropy_cost / 1.5, entropy_cost * 1.5)
    return Plan(common.Sweep(6, 3, (6e-3, 1.6e-2), (0.87, 0.93), entropy), updates)


# No pull of dependent arms explores more than another: a short horizon does.
AGENT: dict[str, Any] = {"unroll_length": NUM_TRIALS + 1, "final_learning_rate_scale": 0.0}
# The larger the entropy cost, the later the hard arms, which differ little, are learned.
QUICK = {
    "independent": _quick(0.2, 3_000),
    "uniform": _quick(0.1, 1_500),
    "easy": _quick(0.1, 1_000),
    "medium": _quick(0.1, 1_500),
    "hard": _quick(0.05, 3_000),
}
FULL = {
    "independent": _full(0.2, 6_000),
    "uniform": _full(0.1, 3_000),
    "easy": _full(0.1, 1_500),
    "medium": _full(0.1, 3_000),
    "hard": _full(0.06, 6_000),
}
# Regret over 100 trials, 50,000 simulated episodes: the level that the agents beat.
THOMPSON = {
    "independent": 2.79, "uniform": 2.79, "easy": 2.12, "medium": 3.01, "hard": 4.08,
}  # fmt: skip
HELD_OUT_EPISODES = 2_000
CONTROL_TASK = "easy"
STRUCTURED = ("uniform", "easy", "medium", "hard")
# Without memory, but still with its last action and reward: it can win, stay; lose, shift.
CONTROLS: dict[str, dict[str, Any]] = {
    "no reward input": {"use_previous_reward": False},
    "no memory": {"core": "feedforward"},
}


def run(study: Study) -> None:
    """Trains on each distribution, tests on all, checks the claims."""
    plans = QUICK if study.quick else FULL
    tasks: dict[str, Environment] = {
        "independent": IndependentBandit(NUM_TRIALS),
        "uniform": DependentBandit(NUM_TRIALS),
        "easy": easy(NUM_TRIALS),
        "medium": medium(NUM_TRIALS),
        "hard": hard(NUM_TRIALS),
    }
    study.settings = {
        **AGENT, "batch_size": BATCH_SIZE, "core": "lstm", "core_size": 48,
        "training": {
            name: {**plan.sweep.describe(), "updates": plan.updates}
            for name, plan in plans.items()
        },
    }  # fmt: skip
    # One agent object for all five: what differs is in the hyper-parameters, and what
    # plays one of them plays all, compiled once a test distribution.
    agent = common.make_agent(tasks["independent"], batch_size=BATCH_SIZE, **AGENT)
    shown_params, curves = [], {}
    for name, environment in tasks.items():
        training = _train(study, name, agent, environment, plans[name])
        num_shown = plans[name].sweep.num_shown
        shown, _ = choose(study, agent, environment, training, num_shown)
        shown_params.append(jax.tree.map(lambda x, at=shown: x[at], training.params))
        gained = training.episode_return[:, shown]
        curves[name] = (training.env_steps, best_return(name) - gained)
    params = jax.tree.map(lambda *parts: np.concatenate(parts), *shown_params)

    players: dict[str, dict[str, Player]] = {}  # Test distribution to the players on it.
    everyone = np.arange(len(tasks) * num_shown)
    rng, policies = np.random.default_rng(study.seed), make_policies()
    for name, environment in tasks.items():
        played = play_held_out(
            study, agent, environment, params, everyone, HELD_OUT_EPISODES
        )
        regret = regret_of(played).reshape(len(tasks), num_shown, -1, NUM_TRIALS)
        players[name] = dict(zip(tasks, map(Player, regret), strict=True))
        players[name] |= play_baselines(policies, played.record[0, 0], rng)
    controls = _run_controls(study, tasks[CONTROL_TASK], plans[CONTROL_TASK])

    _check(study, players, controls)
    _report(study, players, controls)
    figures.learning_curves(study, curves, "regret per episode while training", {})


def _train(
    study: Study, label: str, agent: Any, environment: Environment, plan: Plan
) -> Training:
    env_steps = plan.updates * BATCH_SIZE * AGENT["unroll_length"]
    return common.train(study, label, agent, environment, env_steps, plan.sweep)


def _run_controls(study: Study, environment: Environment, plan: Plan) -> dict[str, Player]:
    plan = plan._replace(sweep=replace(plan.sweep, num_members=2, num_shown=1))
    players = {}
    for name, variant in CONTROLS.items():
        agent = common.make_agent(environment, batch_size=BATCH_SIZE, **AGENT, **variant)
        training = _train(study, name, agent, environment, plan)
        shown, _ = choose(study, agent, environment, training, plan.sweep.num_shown)
        played = play_held_out(
            study, agent, environment, training.params, shown, HELD_OUT_EPISODES
        )
        players[name] = Player(regret_of(played))
    return players


@cache
def optimum(task: str) -> float:
    """The least expected regret on a distribution, exactly."""
    if task == "independent":
        return optima.finite_horizon_regret(NUM_TRIALS)
    return optima.dependent_optimum(task, NUM_TRIALS)


def best_return(task: str) -> float:
    """The expected return of an episode with the better arm known from the start."""
    if task == "independent":
        return NUM_TRIALS * 2 / 3
    return NUM_TRIALS * (baselines.dependent_probability(task) or 0.75)


def chance(task: str) -> float:
    """The expected regret of choices that know nothing."""
    if task == "independent":
        return NUM_TRIALS / 6
    larger = baselines.dependent_probability(task)
    gap = 0.5 if larger is None else 2 * larger - 1
    return NUM_TRIALS * gap / 2


def _check(
    study: Study, players: dict[str, dict[str, Player]], controls: dict[str, Player]
) -> None:
    for task in STRUCTURED:
        agent, lowest = players[task][task], optimum(task)
        study.check(
            f"{task}: regret below Thompson sampling, not below the optimum ({lowest:.2f})",
            agent.median, "figure 2b to 2e: beats Thompson, Gittins and UCB",
            above=lowest - SIGMAS * agent.standard_error, below=THOMPSON[task],
        )  # fmt: skip
    easy_to_hard = [players[task][task].median for task in ("easy", "medium", "hard")]
    study.check(
        "regret grows from easy through medium to hard: the smaller step",
        float(np.diff(easy_to_hard).min()), "figure 2b to 2e", above=0.0,
    )  # fmt: skip
    study.check(
        "trained on hard arms: largest share of Thompson's regret on structured arms",
        max(players[task]["hard"].median / THOMPSON[task] for task in STRUCTURED),
        "figure 2f: structure carries over", below=1.0,
    )  # fmt: skip
    on_independent = players["independent"]
    margin = SIGMAS * on_independent["independent"].standard_error
    study.check(
        "independent arms: regret of the agent trained on them",
        on_independent["independent"].median, "figure 2a: beats Thompson",
        above=optimum("independent") - margin, below=THOMPSON["independent"],
    )  # fmt: skip
    study.check(
        "independent arms: what training on hard arms costs there",
        on_independent["hard"].median - on_independent["independent"].median,
        "figure 2f: structured training does worse", above=0.0,
    )  # fmt: skip
    blind, level = controls["no reward input"], chance(CONTROL_TASK)
    study.check_chance(
        f"no reward input, {CONTROL_TASK}: regret is chance", blind.median, f"{level:g}",
        expected=level, error=blind.standard_error,
    )  # fmt: skip
    study.check(
        f"no memory, {CONTROL_TASK}: regret above Thompson sampling",
        controls["no memory"].median, "none given", above=THOMPSON[CONTROL_TASK],
    )  # fmt: skip


def _report(
    study: Study, players: dict[str, dict[str, Player]], controls: dict[str, Player]
) -> None:
    names = {f"trained on {task}": task for task in players}
    names |= {policy: policy for policy in ("UCB1", "Gittins", "Thompson")}
    matrix = [[players[task][key].median for task in players] for key in names.values()]
    matrix.append([optimum(task) for task in players])
    labels = [*names, "optimum, exact"]
    rows: list[list[Any]] = [
        [label, *(round(value, 2) for value in values)]
        for label, values in zip(labels, matrix, strict=True)
    ]
    errors = [
        max(players[task][key].standard_error for key in names.values()) for task in players
    ]
    rows.append(["largest standard error", *(round(error, 2) for error in errors)])
    study.table(
        f"Expected regret over {NUM_TRIALS} trials on {HELD_OUT_EPISODES} held-out tasks",
        ["player", *(f"on {task}" for task in players)],
        rows,
    )
    study.table(
        f"Controls, trained and tested on the {CONTROL_TASK} arms",
        ["player", "regret", "standard error", "chance"],
        [
            [name, round(player.median, 2), round(player.standard_error, 2),
             chance(CONTROL_TASK)]
            for name, player in controls.items()
        ],
    )  # fmt: skip
    plots.regret_matrix(study, np.array(matrix), labels, list(players), len(players))
