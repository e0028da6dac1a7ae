"""What a navigating agent knows: its place, depth, loops, and the way to a known goal.

The agent with D1, D2 and L learns a maze, and linear probes, whose gradients stop at what
they read, learn to tell its cell from its memory. A feed-forward agent with such a probe
learns beside it. Both then play episodes that nothing was learnt from, and their heads are
read there: depth against the most frequent class of each pixel, loop closure, the cell,
and the steps to the first find of the goal against later ones. A third agent, whose heads
learn like the first one's, walks at random in training and after it, as nothing pays: its
heads are read on frames that no policy chose. A control that must fail: the first agent
with all pixels black, from which D1 can tell nothing.

Source: Mirowski et al. 2016, section 5.3, table 1.
  Departure: the probes learn with the agent rather than after it. The quick setting is the
  I-maze at 21 x 21 pixels with decisions of 12 frames, which turn the agent by 25 degrees,
  where the paper's are of 4.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from tolman.agents.actor_critic import ActorCritic
from tolman.envs.environment import Array, Environment, TimeStep
from tolman.envs.maze import Maze, MazeState
from tolman.envs.maze.fields import Field
from tolman.envs.maze.task import GOAL_REWARD
from tolman.launchers.device.episodes import Trajectory, play_episodes
from tolman.launchers.evaluation.episodes import EVALUATION
from tolman.launchers.studies import figures
from tolman.launchers.studies.finds import Finds, read_finds
from tolman.launchers.studies.navigation import agents
from tolman.launchers.studies.navigation.pictures import draw_depth, draw_paths
from tolman.launchers.studies.navigation.reading import (
    Reading,
    accuracy,
    accuracy_of_majority,
    cells,
    evenness,
    f1,
    read_predictions,
)
from tolman.launchers.studies.study import Study, Training

TITLE = "What a navigating agent knows: its place, depth, closed loops"
PAPER = "Mirowski et al. 2016, section 5.3, table 1"

NAV, FF, RANDOM = "Nav + D1 D2 L", "FF", "Nav + D1 D2 L, at random"
BLACK = f"{NAV}, black frames"


@dataclass(frozen=True)
class Variant:
    """One agent.

    Attributes:
      core: its memory.
      settings: of `NavigationConfig`, besides the common ones.
      is_paid: whether rewards are those of the maze, or next to nothing, so that entropy
        alone shapes the policy and all actions stay alike.
    """

    core: str
    settings: dict[str, Any]
    is_paid: bool = True


PROBED = {"decodes_position": True}
VARIANTS = {
    NAV: Variant("lstm", PROBED),
    FF: Variant(
        "feedforward",
        {"wiring": "plain", "depth_1_cost": 0.0, "depth_2_cost": 0.0, "loop_cost": 0.0}
        | PROBED,
    ),
    RANDOM: Variant(
        "lstm", {"entropy_cost": 1.0, "final_entropy_cost": -1.0} | PROBED, is_paid=False
    ),
}
NOTHING = 1e-6  # What rewards are multiplied with where nothing is paid.


@dataclass(frozen=True)
class Setting:
    """How much is done.

    Attributes:
      maze: what is learnt; its fields include all targets.
      agent: settings that the agents share, where a variant has no others.
      core_size: units of their cores.
      num_members: of each agent, seeds of their own.
      num_decisions: of each member.
      num_episodes: that are read.
    """

    maze: Maze
    agent: dict[str, Any]
    core_size: int
    num_members: int
    num_decisions: int
    num_episodes: int


FIELDS: tuple[Field, ...] = (
    "rgb", "velocity", "depth_classes", "pose", "respawned", "loop_closure",
)  # fmt: skip
AGENT: dict[str, Any] = {
    "batch_size": 16, "gae_lambda": 0.95, "optimizer": "adam",
    "final_learning_rate_scale": 0.1,
}  # fmt: skip
# The memory is to reach from a find to the next: 8 decisions in the I-maze at best, 70 for
# the furthest alcove of who tries one after another.
QUICK = Setting(
    Maze(
        layout="i_maze", image_size=21, num_frames=2_400, action_repeat=12,
        reward_scale=0.1, fields=FIELDS,
    ),
    {
        **AGENT, "unroll_length": 100, "discount": 0.98, "learning_rate": 1e-3,
        "entropy_cost": 1e-3, "final_entropy_cost": 3e-4, "max_gradient_norm": 1.0,
        "depth_1_cost": 0.3, "depth_2_cost": 0.3, "loop_cost": 3.0,
    },
    128, 1, 2_500_000, 64,
)  # fmt: skip
FULL = Setting(
    Maze(layout="random_goal_1", fruit_density=0.1, min_start_distance=5, fields=FIELDS),
    {
        **AGENT, "unroll_length": 50, "discount": 0.99, "learning_rate": 7e-4,
        "entropy_cost": 5e-3, "depth_1_cost": 1.0, "depth_2_cost": 1.0, "loop_cost": 0.3,
    },
    256, 3, 10_000_000, 100,
)  # fmt: skip


@dataclass(frozen=True)
class Black:
    """A maze of which nothing is seen: every pixel is black.

    Attributes:
      inner: the maze.
    """

    inner: Any

    def reset(self, key: Array) -> tuple[Any, TimeStep]:
        """As the inner one's, but for the image."""
        return self._darken(*self.inner.reset(key))

    def step(self, state: Any, action: Array) -> tuple[Any, TimeStep]:
        """As the inner one's, but for the image."""
        return self._darken(*self.inner.step(state, action))

    def observation_spec(self) -> Any:
        return self.inner.observation_spec()

    def action_spec(self) -> Any:
        return self.inner.action_spec()

    def _darken(self, state: Any, timestep: TimeStep) -> tuple[Any, TimeStep]:
        seen: Any = timestep.observation
        dark = {**seen, "rgb": jnp.zeros_like(seen["rgb"])}
        return state, timestep._replace(observation=dark)


def run(study: Study) -> None:
    """Trains the agents, plays held-out episodes, reads their heads, checks the claims."""
    setting = QUICK if study.quick else FULL
    study.settings = {
        **setting.agent, "core_size": setting.core_size, "members": setting.num_members,
        "decisions": setting.num_decisions, "maze": repr(setting.maze),
        "episodes": setting.num_episodes,
    }  # fmt: skip
    readings, finds, curves, even = {}, {}, {}, float("nan")
    for name in VARIANTS:
        agent, maze = make_agent(setting, name), make_maze(setting, name)
        stage = name.replace(" + ", "_").replace(" ", "_").replace(",", "").lower()
        training = study.train(
            stage, agent, maze, setting.num_decisions, setting.num_members
        )
        ways: dict[str, Any] = {name: maze}
        if name == NAV:
            ways[BLACK] = Black(maze)
        if name != RANDOM:
            curves[name] = (training.env_steps, training.episode_return)
        for label, environment in ways.items():
            played = _play(study, setting, environment, agent, training)
            members = np.arange(setting.num_members)
            readings[label] = [
                read_predictions(agent, training.params, played, one) for one in members
            ]
            finds[label] = read_finds(
                played, members, np.arange(setting.num_episodes),
                0.9 * GOAL_REWARD * maze.reward_scale,  # In float32 it may be a bit less.
            )  # fmt: skip
            if label == RANDOM:
                even = evenness(agent, played)
            if label == NAV:
                _draw(study, maze, readings[label][0], played)
    told = {name: _mean(read, setting.maze.rules.width) for name, read in readings.items()}
    told[RANDOM]["evenness"] = even
    _check(study, told, finds)
    _tabulate(study, told, finds)
    figures.learning_curves(study, curves, "return per episode", {})


def make_maze(setting: Setting, name: str) -> Maze:
    """The maze that the variant learns in."""
    if VARIANTS[name].is_paid:
        return setting.maze
    return replace(setting.maze, reward_scale=NOTHING)


def make_agent(setting: Setting, name: str) -> ActorCritic:
    """The named variant."""
    variant = VARIANTS[name]
    settings = {**setting.agent, **variant.settings}
    return agents.make_agent(setting.maze, variant.core, setting.core_size, **settings)


def where(state: MazeState) -> tuple[Any, Any]:
    """The maze of an episode, and the cell of its goal."""
    return state.task.maze, state.task.cells[-1]


def _play(
    study: Study,
    setting: Setting,
    environment: Environment,
    player: Any,
    training: Training,
) -> Trajectory:
    """Episodes that nothing was learnt from: the key is no training key's."""
    key = jax.random.fold_in(jax.random.PRNGKey(study.seed), EVALUATION)
    return play_episodes(
        player, environment, training.params, key, setting.num_episodes, where,
        chunk_length=setting.maze.num_decisions,
    )  # fmt: skip


def _draw(study: Study, maze: Maze, reading: Reading, played: Trajectory) -> None:
    number, goals = (one[0, 0] for one in played.record)  # [E] of the first member.
    faces = np.asarray(maze.rules.arrays.faces)[number]
    draw_depth(study, reading)
    draw_paths(study, reading, faces, maze.rules.width, goals)


def _check(
    study: Study, told: dict[str, dict[str, float]], finds: dict[str, Finds]
) -> None:
    """Of `told` see `_mean`; of `finds`, those of the same agents."""
    of_nav, of_random, of_black = told[NAV], told[RANDOM], told[BLACK]
    study.check(
        "D1: right pixels over the most frequent class of each",
        of_nav["depth_1"] - of_nav["majority"], "none given", above=0.2,
    )  # fmt: skip
    study.check(
        "D2: right pixels over the most frequent class of each",
        of_nav["depth_2"] - of_nav["majority"], "none given", above=0.2,
    )  # fmt: skip
    study.check("loop closure, F1", of_nav["loop"], "0.83", above=0.6)
    study.check(
        "the agent's cell from its memory, share told right", of_nav["position"],
        "0.86 to 0.95 static, 0.84 random goal",
        above=min(0.6, 2 * told[FF]["position"]),
    )  # fmt: skip
    study.check(
        "at random: entropy of the policy, of the largest there is",
        of_random["evenness"], "1", above=0.99,
    )  # fmt: skip
    study.check(
        "at random: D1's right pixels over the most frequent class of each",
        of_random["depth_1"] - of_random["majority"], "none given", above=0.2,
    )  # fmt: skip
    study.check("at random: loop closure, F1", of_random["loop"], "none given", above=0.6)
    study.check(
        "black frames: D1's right pixels over the most frequent class of each",
        of_black["depth_1"] - of_black["majority"], "none: must tell nothing", below=0.01,
    )  # fmt: skip
    if not study.quick:
        study.check(
            "steps to the first find over later ones", finds[NAV].ratio, "14.0 / 7.1",
            above=1.2,
        )  # fmt: skip


def _tabulate(
    study: Study, told: dict[str, dict[str, float]], finds: dict[str, Finds]
) -> None:
    rows = []
    for name, scores in told.items():
        first, later = finds[name].latency()
        rows.append([
            name, f"{finds[name].per_episode:.1f}", f"{first:.1f}", f"{later:.1f}",
            f"{scores['position']:.2f}", f"{scores['position_of_features']:.2f}",
        ])  # fmt: skip
    study.table(
        "Held-out episodes: finds of the goal, steps to the first and to later ones, "
        "share of cells told right",
        ["agent", "finds", "first", "later", "cell from memory", "cell from features"],
        rows,
    )
    for name in (NAV, RANDOM):
        scores = told[name]
        always = 2 * scores["loop_share"] / (1 + scores["loop_share"])
        majority = f"{scores['majority']:.2f}"
        study.table(
            f"Heads of {name}, and of who always says the same",
            ["what", "agent", "always the same"],
            [
                ["D1, right pixels", f"{scores['depth_1']:.2f}", majority],
                ["D2, right pixels", f"{scores['depth_2']:.2f}", majority],
                ["loop closure, F1", f"{scores['loop']:.2f}", f"{always:.2f}"],
            ],
        )


def _mean(readings: list[Reading], width: int) -> dict[str, float]:
    """How right each head is, by its name; the mean of the members."""
    members = [_measure(reading, width) for reading in readings]
    return {name: float(np.mean([one[name] for one in members])) for name in members[0]}


def _measure(reading: Reading, width: int) -> dict[str, float]:
    """How right each head is."""
    observation, predicted = reading
    here, classes = cells(observation["pose"], width), observation["depth_classes"]
    closed = observation["loop_closure"]
    scores = {
        "majority": accuracy_of_majority(classes),
        "loop_share": float(closed.mean()),
    }
    if "loop" in predicted:
        scores["loop"] = f1(predicted["loop"], closed)
    for name, told in predicted.items():
        if name != "loop":
            scores[name] = accuracy(told, here if "position" in name else classes)
    return scores
