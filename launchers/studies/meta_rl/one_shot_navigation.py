"""One-shot navigation: is a goal that was found once found again at once?

In the I-maze the goal is in one of four alcoves, drawn for each episode, and the agent is
put back to the middle whenever it has found it. With a memory it searches once and then
walks straight there; without one every search is as long as the first. Two controls must
not get faster: an agent without memory, and the agent itself with its memory wiped whenever
it is put back. On the grid an agent without the reward input is shown too, but it is no
control: to be put back tells as much as the reward.

The quick setting is on a grid, cells in place of pixels: what a memory is worth where there
is nothing to learn to see. The full one is from pixels, with the agent of Mirowski et al.
2016, whose features are also trained by predictions of depth and of closed loops.

Latencies are compared within episodes; see `tolman.launchers.studies.finds`.

Source: Wang et al. 2016, section 3.2.3.
  Departure: the full setting is 21 x 21 pixels, decisions of 12 frames and two LSTMs, of 64
  and 128 units, with auxiliary losses, where the paper has one LSTM, decisions of 4 frames
  and larger images. On the grid there is no fruit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Annotated, Any, NamedTuple

import numpy as np
from annotated_types import Ge

from tolman.agents.actor_critic import ActorCritic
from tolman.envs.environment import Array, Environment, TimeStep
from tolman.envs.maze import Maze
from tolman.envs.maze.grid import GridMaze
from tolman.launchers.studies import figures
from tolman.launchers.studies.finds import NUM_FINDS, Finds, read_finds
from tolman.launchers.studies.meta_rl import common
from tolman.launchers.studies.navigation.agents import make_agent
from tolman.launchers.studies.study import Study, Training

TITLE = "One-shot navigation: a goal that was found once is found again at once"
PAPER = "Wang et al. 2016, section 3.2.3"

AGENT_NAME, WIPED = "agent", "memory wiped at every find"
NO_MEMORY, NO_REWARD = "no memory", "no reward input"


@dataclass(frozen=True)
class Options:
    """What may be chosen of the study.

    Attributes:
      num_members: of each agent, seeds of their own; 0 for all that the setting has.
    """

    num_members: Annotated[int, Ge(0)] = 0


class Setting(NamedTuple):
    """How much is done.

    Attributes:
      environment: the maze.
      sweep: of hyper-parameters.
      make: an agent from the environment and `agent`, in which a variant changes some.
      agent: core, its size and settings, besides the sweep's.
      others: by name, what the variants change.
      num_env_steps: of each member.
      goal_reward: rewards from here on tell of a find.
      most_found: by who has no memory, of episodes; None where nothing can be said.
    """

    environment: Any
    sweep: common.Sweep
    make: Callable[..., ActorCritic]
    agent: dict[str, Any]
    others: dict[str, dict[str, Any]]
    num_env_steps: int
    goal_reward: float
    most_found: float | None


QUICK = Setting(
    GridMaze(),
    common.Sweep(2, 2, (3e-3, 3e-3), (0.95, 0.95), (0.05, 0.05)),
    common.make_agent,
    {
        "core": "lstm", "core_size": 64, "unroll_length": 121, "batch_size": 16,
        "optimizer": "adam", "final_entropy_cost": 0.005, "final_learning_rate_scale": 0.1,
    },
    {
        # On a grid who has no memory stays with one alcove.
        NO_MEMORY: {"core": "feedforward", "use_previous_action": False},
        NO_REWARD: {"use_previous_reward": False},
    },
    5_000_000, 0.5, 0.75,
)  # fmt: skip
# A high entropy that falls late, and a horizon of one find: with less entropy, or with a
# discount of 0.98, the agent goes round the alcoves in one order, whatever it found before.
FULL = Setting(
    Maze(
        layout="i_maze", image_size=21, num_frames=1_800, action_repeat=12,
        reward_scale=0.1,
        fields=("rgb", "velocity", "depth_classes", "loop_closure"),
    ),
    common.Sweep(3, 3, (2e-3, 2e-3), (0.95, 0.95), (0.03, 0.03)),
    make_agent,
    {
        "core": "lstm", "core_size": 128, "unroll_length": 75, "batch_size": 16,
        "optimizer": "adam", "gae_lambda": 0.95, "final_entropy_cost": 4e-3,
        "final_learning_rate_scale": 0.1, "max_gradient_norm": 1.0,
        "depth_1_cost": 0.3, "depth_2_cost": 0.3, "loop_cost": 0.3,
    },
    {
        NO_MEMORY: {
            "core": "feedforward", "wiring": "plain", "depth_1_cost": 0.0,
            "depth_2_cost": 0.0, "loop_cost": 0.0,
        },
    },
    9_000_000, 0.9, None,
)  # fmt: skip


@dataclass(frozen=True)
class Wiped:
    """An environment in which every find opens a new task, so that memories are wiped.

    Attributes:
      inner: the environment.
      goal_reward: rewards from here on tell of a find.
    """

    inner: Any
    goal_reward: float

    def reset(self, key: Array) -> tuple[Any, TimeStep]:
        """As the inner one's."""
        return self.inner.reset(key)

    def step(self, state: Any, action: Array) -> tuple[Any, TimeStep]:
        """As the inner one's, but for `new_task`."""
        state, timestep = self.inner.step(state, action)
        is_find = timestep.reward >= self.goal_reward
        return state, timestep._replace(new_task=timestep.new_task | is_find)

    def observation_spec(self) -> Any:
        return self.inner.observation_spec()

    def action_spec(self) -> Any:
        return self.inner.action_spec()


def run(study: Study, options: Options) -> None:
    """Trains the agent and its controls, measures latencies, checks the claims."""
    setting = choose(QUICK if study.quick else FULL, options)
    study.settings = {
        **setting.sweep.describe(), **setting.agent, "env_steps": setting.num_env_steps,
        "environment": repr(setting.environment),
        "evaluation_episodes": common.EVALUATION_EPISODES,
    }  # fmt: skip
    players, curves = {}, {}
    for name, variant in {AGENT_NAME: {}, **setting.others}.items():
        agent = setting.make(setting.environment, **{**setting.agent, **variant})
        training = common.train(
            study, name, agent, setting.environment, setting.num_env_steps, setting.sweep
        )
        played = common.evaluate(study, agent, setting.environment, training)
        shown, episodes = common.select(played.episode_return, setting.sweep.num_shown)
        players[name] = read_finds(played, shown, episodes, setting.goal_reward)
        curves[name] = (training.env_steps, training.episode_return[:, shown])
        if name == AGENT_NAME:
            players[WIPED] = _play_wiped(study, setting, agent, training, shown, episodes)
    _check(study, players, setting.most_found)
    _tabulate(study, players)
    _draw(study, players)
    figures.learning_curves(study, curves, "return per episode", {})


def choose(setting: Setting, options: Options) -> Setting:
    """The setting with what was chosen of it."""
    count = options.num_members or setting.sweep.num_members
    sweep = replace(setting.sweep, num_members=count, num_shown=count)
    return setting._replace(sweep=sweep)


def _play_wiped(
    study: Study,
    setting: Setting,
    agent: ActorCritic,
    training: Training,
    shown: np.ndarray,
    episodes: np.ndarray,
) -> Finds:
    environment: Environment = Wiped(setting.environment, setting.goal_reward)
    played = common.evaluate(study, agent, environment, training)
    return read_finds(played, shown, episodes, setting.goal_reward)


def _check(study: Study, players: dict[str, Finds], most_found: float | None) -> None:
    agent = players[AGENT_NAME]
    study.check(
        "first latency over later ones", agent.ratio, "about 100 / 30 = 3.3", above=2.0
    )
    study.check("episodes in which the goal is found", agent.share_found, "all", above=0.95)
    for name in (NO_MEMORY, WIPED):
        study.check(
            f"{name}: first latency over later ones", players[name].ratio,
            "no memory: no decrease", above=0.9, below=1.1,
        )  # fmt: skip
    if most_found is not None:
        study.check(
            "no memory: episodes in which the goal is found",
            players[NO_MEMORY].share_found, "none given", below=most_found,
        )  # fmt: skip


def _tabulate(study: Study, players: dict[str, Finds]) -> None:
    rows = []
    for name, player in players.items():
        first, later = player.latency()
        rows.append([
            name, f"{first:.1f}", f"{later:.1f}", f"{player.ratio:.2f}",
            f"{player.share_found:.0%}", f"{player.per_episode:.1f}",
        ])  # fmt: skip
    study.table(
        f"Steps to a find, mean of the episodes with {NUM_FINDS} or more",
        ["player", "first", "later", "ratio", "episodes with a find", "finds an episode"],
        rows,
    )


def _draw(study: Study, players: dict[str, Finds]) -> None:
    """Steps to each find, by its number in the episode."""
    figure, (one,) = figures.axes(width=6.0)
    for colour, (name, player) in zip(figures.COLOURS, players.items(), strict=False):
        latencies = player.latencies()
        if len(latencies):
            numbers, means = np.arange(1, NUM_FINDS + 1), latencies.mean(axis=0)
            one.plot(numbers, means, "o-", color=colour, label=name, markersize=4)
    one.set_xticks(range(1, NUM_FINDS + 1))
    one.set_xlabel("find of an episode")
    one.set_ylabel("steps")
    one.set_ylim(bottom=0)
    one.legend(frameon=False, fontsize=8)
    caption = f"Steps to each find, of episodes with {NUM_FINDS} finds or more."
    study.figure(figure, "latency", caption)
