"""Two independent arms: does the agent learn to explore as well as policies made for it?

The agent is trained on bandits, frozen, and then compared with UCB, Thompson sampling and
Gittins indices on bandits it has not met, beside the regret that no policy can beat. An
agent without the reward input must stay at chance. One without memory must stay behind
Thompson sampling, even where its last action and reward serve it as a notepad.

Source: Wang et al. 2016, section 3.1.1.
  Departure: the paper trains 100 settings for 20,000 episodes each and shows the best
  five; `FULL` trains fewer for longer, with 16 episodes an update, a higher learning rate
  that decays to 0, entropy costs below 1 and a trace of 0.9. The best are chosen and
  shown on thousands of tasks in place of 150 each, which would leave a standard error of
  about 0.3.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from tolman.agents.actor_critic import ActorCritic
from tolman.envs.environment import Environment
from tolman.envs.meta_rl import IndependentBandit
from tolman.envs.meta_rl.bandits import BanditState
from tolman.launchers.device.episodes import Trajectory, play_episodes
from tolman.launchers.studies import figures
from tolman.launchers.studies.checks import SIGMAS, standard_error
from tolman.launchers.studies.meta_rl import bandit_baselines as baselines
from tolman.launchers.studies.meta_rl import bandit_optima as optima
from tolman.launchers.studies.meta_rl import common, plots
from tolman.launchers.studies.study import Study, Training

TITLE = "Independent bandits: a learned policy beside Thompson sampling and Gittins"
PAPER = "Wang et al. 2016, section 3.1.1, figure 2a"

NUM_TRIALS = 100
# Exploring pays late: with a discount of 0.9 the best policy's regret is 2.0, with 0.97
# it is 1.8. A short trace keeps the long horizon's variance down.
AGENT: dict[str, Any] = {
    "unroll_length": NUM_TRIALS + 1, "final_learning_rate_scale": 0.0, "gae_lambda": 0.9,
}  # fmt: skip
BATCH_SIZE = 16
QUICK = common.Sweep(4, 3, (1.2e-2, 1.2e-2), (0.96, 0.96), (0.2, 0.2))
FULL = common.Sweep(8, 3, (8e-3, 1.6e-2), (0.94, 0.97), (0.1, 0.18))
QUICK_UPDATES, FULL_UPDATES = 3_000, 13_000
NUM_CONTROLS = 2  # Members of each control; their settings are the first of the sweep's.
CHOICE_EPISODES, HELD_OUT_EPISODES = 1_000, 4_000

# Regret over 100 trials, 50,000 simulated episodes: the level that the paper's agent beats.
THOMPSON = 2.79


@dataclass(frozen=True)
class Player:
    """One player on the held-out tasks.

    Attributes:
      regret: `[P, E, T]`, expected regret of each trial; P is 1 for a baseline.
    """

    regret: np.ndarray

    @property
    def median(self) -> float:
        """Of the members, the regret of an episode."""
        return float(np.median(self.regret.sum(2).mean(1)))

    @property
    def standard_error(self) -> float:
        """Of the mean over episodes, which all members share."""
        return standard_error(self.regret.sum(2).mean(0))

    @property
    def suboptimal_pulls(self) -> float:
        """Of the members, the median number of pulls of the worse arm in an episode."""
        return float(np.median((self.regret > 0).sum(2).mean(1)))


def run(study: Study) -> None:
    """Trains the agent and its controls, plays all policies, checks the claims."""
    sweep, updates = (QUICK, QUICK_UPDATES) if study.quick else (FULL, FULL_UPDATES)
    env_steps = updates * BATCH_SIZE * AGENT["unroll_length"]
    environment = IndependentBandit(NUM_TRIALS)
    study.settings = {
        **sweep.describe(), **AGENT, "batch_size": BATCH_SIZE, "env_steps": env_steps,
        "core": "lstm", "core_size": 48, "held_out_episodes": HELD_OUT_EPISODES,
    }  # fmt: skip
    players, curves, drawn = {}, {}, {}
    for name, variant in {"meta-RL": {}, **common.CONTROLS}.items():
        agent = common.make_agent(environment, batch_size=BATCH_SIZE, **AGENT, **variant)
        members = NUM_CONTROLS if name in common.CONTROLS else sweep.num_members
        training = common.train(study, name, agent, environment, env_steps, sweep, members)
        num_shown = min(members, sweep.num_shown)
        shown, drawn[name] = choose(study, agent, environment, training, num_shown)
        played = play_held_out(study, agent, environment, training.params, shown)
        players[name] = Player(regret_of(played))
        curves[name] = (training.env_steps, training.episode_return[:, shown])
        means = played.record[0, 0]  # [E, K], the same for every player.
    rng = np.random.default_rng(study.seed)
    players |= play_baselines(make_policies(), means, rng)

    _check(study, players)
    _report(study, players, drawn["meta-RL"])
    plots.regret_curves(study, {name: player.regret for name, player in players.items()})
    ceiling = NUM_TRIALS * 2 / 3
    levels = {
        "optimum": ceiling - optima.finite_horizon_regret(NUM_TRIALS),
        "chance": NUM_TRIALS / 2,
    }
    figures.learning_curves(study, curves, "reward per episode", levels)


def record_means(state: BanditState) -> jax.Array:
    """What a regret needs of a bandit's state."""
    return state.means


def regret_of(played: Trajectory) -> np.ndarray:
    """Expected regret of every trial, `[P, E, T]`, of bandits that record their means."""
    num_trials = int(played.episode_length[0, 0])  # The same for every episode.
    return np.array([
        baselines.regret_per_trial(means, actions.T)
        for means, actions in zip(
            played.record[0], played.action[:num_trials].swapaxes(0, 1), strict=True
        )
    ])  # fmt: skip


def choose(
    study: Study,
    agent: ActorCritic,
    environment: Environment,
    training: Training,
    num_shown: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Chooses the members with the least regret on tasks that are not shown.

    Returns:
      Their indices, best first, and the mean regret on those tasks of all, `[P]`.
    """
    played = common.evaluate(
        study, agent, environment, training, record_means, 2 * CHOICE_EPISODES
    )
    regret = regret_of(played).sum(2)  # [P, E]
    return common.select(-regret, num_shown)[0], regret[:, :CHOICE_EPISODES].mean(1)


def play_held_out(
    study: Study,
    agent: ActorCritic,
    environment: Environment,
    params: Any,
    members: np.ndarray,
    num_episodes: int = HELD_OUT_EPISODES,
) -> Trajectory:
    """Plays tasks that served neither training nor the choice of the members."""
    key = jax.random.fold_in(jax.random.PRNGKey(study.seed), 2**31 - 2)
    params = jax.tree.map(lambda leaf: np.asarray(leaf)[members], params)
    return play_episodes(agent, environment, params, key, num_episodes, record_means)


def make_policies() -> dict[str, baselines.Policy]:
    """The hand-made policies, worst first; the last is optimal on independent arms."""
    # A discount of 0.97 does best over 100 trials; the index knows no horizon.
    gittins = optima.gittins_index_table(0.97, NUM_TRIALS - 1)
    return {
        "random": baselines.random_policy,
        "UCB1": baselines.ucb_policy(2.0),
        "UCB (chi = 1)": baselines.ucb_policy(1.0),
        "Thompson": baselines.thompson_policy,
        "Gittins": baselines.gittins_policy(gittins),
        "Bayes optimum": optima.finite_horizon_policy(NUM_TRIALS),
    }


def play_baselines(
    policies: Mapping[str, baselines.Policy], means: np.ndarray, rng: np.random.Generator
) -> dict[str, Player]:
    """Plays each policy on `[E, 2]` arms."""
    players = {}
    for name, policy in policies.items():
        pulls = baselines.play_bernoulli(policy, means, rng, NUM_TRIALS)
        players[name] = Player(baselines.regret_per_trial(means, pulls.actions)[None])
    return players


def _check(study: Study, players: Mapping[str, Player]) -> None:
    agent, optimum = players["meta-RL"], optima.finite_horizon_regret(NUM_TRIALS)
    # What lies further below the optimum would see the arms.
    lowest = optimum - SIGMAS * agent.standard_error
    study.check(
        f"regret: below Thompson sampling, not below the optimum ({optimum:.2f})",
        agent.median, "figure 2a: between Gittins and Thompson (2.79)",
        above=lowest, below=THOMPSON,
    )  # fmt: skip
    if not study.quick:
        study.check(
            "regret: closer to the optimum than a quarter of Thompson's distance",
            agent.median, "figure 2a: close to Gittins", above=lowest, below=2.01,
        )  # fmt: skip
    control, chance = players["no reward input"], NUM_TRIALS / 6
    study.check_chance(
        "no reward input: regret is chance", control.median, "16.7",
        expected=chance, error=control.standard_error,
    )  # fmt: skip
    for name in ("no memory", "action as notepad"):
        study.check(
            f"{name}: regret above Thompson sampling",
            players[name].median, "none given", above=THOMPSON,
        )  # fmt: skip


def _report(study: Study, players: Mapping[str, Player], drawn: np.ndarray) -> None:
    rows = []
    for name, player in players.items():
        regrets = np.sort(player.regret.sum(2).mean(1))
        rows.append([
            name, round(player.median, 2), round(player.standard_error, 2),
            f"{regrets[0]:.2f} to {regrets[-1]:.2f}" if len(regrets) > 1 else "",
            round(player.suboptimal_pulls, 1),
        ])  # fmt: skip
    exact = optima.finite_horizon_regret(NUM_TRIALS)
    rows.append(["Bayes optimum, exact", round(exact, 2), 0.0, "", ""])
    members = f"{drawn.min():.2f} to {drawn.max():.2f}"
    median = round(float(np.median(drawn)), 2)
    rows.append([f"meta-RL, all {len(drawn)} settings drawn", median, "", members, ""])
    study.table(
        f"Expected regret over {NUM_TRIALS} trials, {HELD_OUT_EPISODES} held-out tasks",
        ["player", "regret (median)", "standard error", "members", "suboptimal pulls"],
        rows,
    )
