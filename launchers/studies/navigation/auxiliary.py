"""Auxiliary predictions: does an agent that predicts depth learn to navigate sooner?

The same actor-critic learns mazes with and without further losses: depth from the features
(D1), depth from the memory (D2), loop closure (L). All see the same images; what is
predicted is no input. Two controls: as the target the depth that another copy sees, which
has the same distribution and tells nothing, and depth as an input in place of a target.

Source: Mirowski et al. 2016, sections 3 and 5, table 1 and figures 3 to 5.
  Departure: the mazes are this project's, so scores compare agents with one another. All
  variants have the same settings, and all seeds are shown: the paper draws 64 settings of
  each and shows the best five. Batches are synchronous, and the optimiser is Adam. The
  quick setting is a maze of 3 x 4 cells at 21 x 21 pixels, the LSTM agent with and without
  D2, and covers the start of the learning curve; its batch is small, so that there are
  enough updates in so few decisions for anyone to learn.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Annotated, Any

import jax.numpy as jnp
import numpy as np
from annotated_types import Ge

from tolman.agents.actor_critic import ActorCritic
from tolman.agents.agent import Unroll
from tolman.agents.auxiliary import AuxiliaryTask
from tolman.agents.navigation import NavigationConfig
from tolman.agents.navigation.tasks import make_tasks
from tolman.envs.maze import Maze
from tolman.envs.spelling import suggest
from tolman.launchers.catalog.names import ENV, find
from tolman.launchers.report.curves import seed_interval
from tolman.launchers.studies import figures
from tolman.launchers.studies.navigation import agents
from tolman.launchers.studies.study import Study, Training

TITLE = "Auxiliary predictions: who foresees depth learns to navigate sooner"
PAPER = "Mirowski et al. 2016, table 1, figures 3 to 5"

AGENT: dict[str, Any] = {
    "unroll_length": 20, "batch_size": 8, "discount": 0.97, "gae_lambda": 0.95,
    "entropy_cost": 0.01, "optimizer": "adam", "learning_rate": 1e-3,
    "final_learning_rate_scale": 1.0, "depth_1_cost": 0.0, "depth_2_cost": 0.0,
}  # fmt: skip
FULL_AGENT = {
    **AGENT, "batch_size": 16, "discount": 0.99, "entropy_cost": 5e-3,
    "learning_rate": 7e-4,
}  # fmt: skip

NONE, D2, SHUFFLED = "LSTM", "LSTM + D2", "LSTM + D2, shuffled"


@dataclass(frozen=True)
class Variant:
    """One agent of the comparison.

    Attributes:
      core: its memory.
      settings: of `NavigationConfig`, besides the common ones.
      is_shuffled: the depth that it is to predict is that of another environment's place.
    """

    core: str
    settings: dict[str, Any]
    is_shuffled: bool = False


QUICK_VARIANTS = {
    NONE: Variant("lstm", {"wiring": "plain"}),
    D2: Variant("lstm", {"wiring": "plain", "depth_2_cost": 1.0}),
    SHUFFLED: Variant("lstm", {"wiring": "plain", "depth_2_cost": 1.0}, is_shuffled=True),
}
NAV, NAV_D2, NAV_RGBD = "Nav", "Nav + D2", "Nav, depth as input"
REGRESSION = "Nav + D2, regression"
FULL_VARIANTS = {
    "FF": Variant("feedforward", {"wiring": "plain"}),
    NONE: Variant("lstm", {"wiring": "plain"}),
    NAV: Variant("lstm", {}),
    "Nav + D1": Variant("lstm", {"depth_1_cost": 1.0}),
    NAV_D2: Variant("lstm", {"depth_2_cost": 1.0}),
    "Nav + L": Variant("lstm", {"loop_cost": 0.3}),
    "Nav + D1 D2 L": Variant(
        "lstm", {"depth_1_cost": 1.0, "depth_2_cost": 1.0, "loop_cost": 0.3}
    ),
    NAV_RGBD: Variant("lstm", {"is_depth_input": True}),
    REGRESSION: Variant("lstm", {"depth_2_cost": 1.0, "depth_target": "regression"}),
    "Nav + D2, shuffled": Variant("lstm", {"depth_2_cost": 1.0}, is_shuffled=True),
}


@dataclass(frozen=True)
class Setting:
    """How much is done.

    Attributes:
      mazes: names of environments, with what is set of them.
      variants: the agents, by name.
      agent: settings that all of them share.
      core_size: units of every core.
      num_seeds: of each.
      num_decisions: of each seed, closing rows counted.
      baseline: the variant without, and
      foreseer: the one with D2, that the first claim compares.
      score: return of an episode, of which the decisions to it are counted.
      window: decisions that such a return is a mean of.
    """

    mazes: dict[str, dict[str, Any]]
    variants: dict[str, Variant]
    agent: dict[str, Any]
    core_size: int
    num_seeds: int
    num_decisions: int
    baseline: str
    foreseer: str
    score: float
    window: int


# Nobody starts in the goal's cell: there two in five of a random walk's rewards were got.
QUICK = Setting(
    {"maze/tiny": {"image_size": 21, "num_frames": 400, "min_start_distance": 2}},
    QUICK_VARIANTS, AGENT, 128, 3, 127_000, NONE, D2, 3.0, 21_000,
)  # fmt: skip
FULL = Setting(
    {
        "maze/static_1": {}, "maze/static_2": {}, "maze/random_goal_1": {},
        "maze/i_maze": {},
    },
    FULL_VARIANTS, FULL_AGENT, 256, 3, 10_000_000, NAV, NAV_D2, 30.0, 100_000,
)  # fmt: skip


@dataclass(frozen=True)
class Options:
    """What may be chosen of the study; none, or 0, for all that the setting has.

    Attributes:
      mazes: of the setting's.
      agents: of the setting's, such as Nav and "Nav + D2"; what compares others is left
        out.
      num_decisions: of each seed.
      num_seeds: of each agent.
    """

    mazes: tuple[str, ...] = ()
    agents: tuple[str, ...] = ()
    num_decisions: Annotated[int, Ge(0)] = 0
    num_seeds: Annotated[int, Ge(0)] = 0

    def setting_problems(self) -> Iterator[tuple[str, str]]:
        for field, known in (
            ("mazes", {**QUICK.mazes, **FULL.mazes}),
            ("agents", {**QUICK.variants, **FULL.variants}),
        ):
            for name in getattr(self, field):
                if name not in known:
                    yield (
                        field,
                        f"of {', '.join(map(repr, known))}{suggest(name, list(known))}",
                    )


def choose(setting: Setting, options: Options) -> Setting:
    """The setting with what was chosen of it.

    Raises:
      ValueError: for a maze or an agent that only the other setting has.
    """
    chosen: dict[str, Any] = {}
    for flag, field in (("mazes", "mazes"), ("agents", "variants")):
        has = getattr(setting, field)
        for name in getattr(options, flag):
            if name not in has:
                raise ValueError(
                    f"--{flag} {name!r}: must be of {', '.join(map(repr, has))} in this "
                    "setting. Choose one of these, or change --quick."
                )
        names = getattr(options, flag) or has
        chosen[field] = {name: has[name] for name in names}
    for field in ("num_decisions", "num_seeds"):
        chosen[field] = getattr(options, field) or getattr(setting, field)
    return replace(setting, **chosen)


def run(study: Study, options: Options) -> None:
    """Trains every variant in every maze, compares them, checks the claims."""
    setting = choose(QUICK if study.quick else FULL, options)
    study.settings = {
        **setting.agent, "core_size": setting.core_size, "seeds": setting.num_seeds,
        "decisions": setting.num_decisions, "mazes": setting.mazes,
    }  # fmt: skip
    for name, changed in setting.mazes.items():
        curves = {
            label: _train(study, setting, make_maze(name, variant, changed), label, name)
            for label, variant in setting.variants.items()
        }
        returns = {label: one.episode_return for label, one in curves.items()}
        _check(study, setting, name, returns)
        _check_decisions(study, setting, name, curves)
        _tabulate(study, name, curves)
        lines = {
            label: (training.env_steps, training.episode_return)
            for label, training in curves.items()
        }
        file = f"curves_{name.split('/')[1]}"
        figures.learning_curves(study, lines, "return per episode", {}, file)


def make_maze(name: str, variant: Variant, changed: dict[str, Any]) -> Maze:
    """The environment, with the fields that the variant asks for and no others."""
    fields = ["rgb"]
    if variant.settings.get("is_depth_input"):
        fields = ["rgbd"]
    if variant.settings.get("wiring") != "plain":
        fields.append("velocity")
    if any(variant.settings.get(f"depth_{number}_cost") for number in (1, 2)):
        fields.append("depth_classes")
    if variant.settings.get("loop_cost"):
        fields.append("loop_closure")
    return find(ENV, name).thing(fields=tuple(fields), **changed)


def make_agent(setting: Setting, variant: Variant, maze: Maze) -> ActorCritic:
    """The variant's agent in the maze."""
    settings = {**setting.agent, **variant.settings}
    tasks = make_tasks(NavigationConfig(**settings), maze.observation_spec())
    if variant.is_shuffled:
        tasks = [_shuffled(task) for task in tasks]
    return agents.make_agent(maze, variant.core, setting.core_size, tasks, **settings)


def _train(study: Study, setting: Setting, maze: Maze, label: str, name: str) -> Training:
    agent = make_agent(setting, setting.variants[label], maze)
    stage = f"{name}/{label}".replace(" ", "_").replace(",", "").replace("+", "and")
    return study.train(stage.lower(), agent, maze, setting.num_decisions, setting.num_seeds)


def _shuffled(task: AuxiliaryTask) -> AuxiliaryTask:
    """The same task with the targets of the next environment of the batch."""

    def of_another(unroll: Unroll) -> Unroll:
        observation = dict(unroll.timestep.observation)
        for name in task.targets:
            observation[name] = jnp.roll(observation[name], 1, axis=1)
        return unroll._replace(timestep=unroll.timestep._replace(observation=observation))

    metrics = task.metrics
    return replace(
        task,
        loss=lambda guess, unroll: task.loss(guess, of_another(unroll)),
        metrics=metrics
        and (lambda guess, unroll, mask: metrics(guess, of_another(unroll), mask)),
    )


def area(returns: np.ndarray) -> np.ndarray:
    """`[P]`, the mean of a learning curve `[C, P]` over its points, which are even."""
    return np.nanmean(returns, axis=0)


def decisions_to(score: float, window: int, training: Training) -> np.ndarray:
    """`[P]`, decisions until the mean of a curve over its last `window` is at the score.

    One that never gets there counts with all its decisions, which is too few.
    """
    curve, steps = np.nan_to_num(training.episode_return), training.env_steps  # [C, P]
    width = min(max(1, round(window * len(steps) / steps[-1])), len(steps))
    means = np.lib.stride_tricks.sliding_window_view(curve, width, axis=0).mean(axis=-1)
    is_there = means >= score
    first = np.where(is_there.any(axis=0), is_there.argmax(axis=0), len(means) - 1)
    return steps[width - 1 :][first]


def _check_decisions(
    study: Study, setting: Setting, maze: str, curves: dict[str, Training]
) -> None:
    """Decisions to the score, of each seed as a share of those of the baseline's seed."""
    decisions = {
        label: decisions_to(setting.score, setting.window, training)
        for label, training in curves.items()
    }
    both = [
        decisions[label]
        for label in (setting.foreseer, setting.baseline)
        if label in decisions
    ]
    last = max(training.env_steps[-1] for training in curves.values())
    if len(both) == 2 and np.min(both) == last:
        study.note(
            f"{maze}: with no seed at a return of {setting.score:g}, it tells nothing."
        )
    elif len(both) == 2:
        logs = np.log(both[0] / both[1])[:, None]
        ratio, low, high = (float(np.exp(value[0])) for value in seed_interval(logs))
        study.check(
            f"{maze}: decisions to a return of {setting.score:g}, {setting.foreseer} over "
            f"{setting.baseline}, geometric mean of the seeds ({low:.2f} to {high:.2f})",
            ratio, "figure 3: fewer", below=0.7,
        )  # fmt: skip
    study.table(
        f"{maze}: decisions to a return of {setting.score:g}",
        ["agent", "by seed"],
        [[label, " ".join(map(str, values))] for label, values in decisions.items()],
    )


def _check(
    study: Study, setting: Setting, maze: str, returns: dict[str, np.ndarray]
) -> None:
    """What compares agents that were left out is left out too."""
    areas = {label: area(values) for label, values in returns.items()}
    base, foreseer = areas.get(setting.baseline), areas.get(setting.foreseer)
    bar = 1.3 if study.quick else 1.2
    if base is not None and foreseer is not None:
        study.check(
            f"{maze}: area under the curve, {setting.foreseer} over {setting.baseline}",
            foreseer.mean() / base.mean(), "2.4 (static 1), 1.5 (random goal 1)",
            above=bar,
        )  # fmt: skip
        study.check(
            f"{maze}: the worst seed with D2 less the best without",
            float(foreseer.min() - base.max()), "no overlap of the means of five",
            above=0.0,
        )  # fmt: skip
    for label in areas:
        if "shuffled" in label and base is not None:
            study.check(
                f"{maze}: the same ratio with shuffled depth",
                areas[label].mean() / base.mean(), "none: must not help",
                below=(1.0 + bar) / 2,
            )  # fmt: skip
    for label, claim, paper in (
        (NAV_RGBD, "depth as an input over depth as a target", "section 5.2: below 1"),
        (REGRESSION, "regression over classification", "section 5.1: below 1"),
    ):
        if label in areas and foreseer is not None:
            ratio = areas[label].mean() / foreseer.mean()
            study.check(f"{maze}: {claim}", ratio, paper, below=1.0)


def _tabulate(study: Study, maze: str, curves: dict[str, Training]) -> None:
    rows = []
    for label, training in curves.items():
        areas = area(training.episode_return)
        last = training.episode_return[-max(1, len(training.episode_return) // 10) :]
        rows.append([
            label, f"{areas.mean():.3f}", " ".join(f"{value:.3f}" for value in areas),
            f"{np.nanmean(last):.3f}",
        ])  # fmt: skip
    study.table(
        f"{maze}: return of an episode",
        ["agent", "area under the curve", "by seed", "last tenth"],
        rows,
    )
