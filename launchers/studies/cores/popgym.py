"""POPGym's tasks by memory core: one table of what each core reaches, feedforward beside.

PPO with the same settings for every core and task. Widths are such that all networks have
about as many parameters on `repeat_first`; a core's other settings are its defaults. A cell
is one core on one task: its seeds are trained as one population, then play with frozen
weights. It is written when it is done, so that a study that was killed goes on with the
next one, and a core or task that is named later, with the same `--out`, adds only its own.

The paper's score is the maximum over training of the mean return of an epoch. It is the
first table here, without the first epoch, in which long episodes cannot have ended yet. As
a maximum of noisy means it lies above what a policy is worth, the more the fewer episodes
an epoch has. The checks are therefore about the second table, frozen weights at the end of
training. What random actions return stands below them.

Source: Morad et al. 2023, "POPGym: Benchmarking Partially Observable Reinforcement
  Learning". Departures: smaller networks and batches; the last action is an input only
  where the row does not show what was chosen, for in `repeat_first` it is a notepad; and no
  flag tells an episode's start.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import jax
import numpy as np
from annotated_types import Ge

from tolman.envs.popgym.deck import DECK_SIZE, NUM_SUITS
from tolman.launchers.catalog.names import ENV, registered
from tolman.launchers.evaluation.episodes import EVALUATION
from tolman.launchers.measuring.rollouts import random_returns
from tolman.launchers.studies.checks import SIGMAS
from tolman.launchers.studies.cores import popgym_cells as cells
from tolman.launchers.studies.cores import popgym_plots
from tolman.launchers.studies.cores.choosing import CONTROL, choose_cores, choose_tasks
from tolman.launchers.studies.cores.popgym_cells import Cells, Setting
from tolman.launchers.studies.study import Study

TITLE = "POPGym's tasks by memory core"
PAPER = "Morad et al. 2023"

REMEMBERS = "gru"
MUST_REMEMBER = ("repeat_first", "repeat_previous", "count_recall")
QUICK_CORES, QUICK_TASKS = (REMEMBERS,), MUST_REMEMBER
QUICK_ENV_STEPS, FULL_ENV_STEPS = 200_000, 15_000_000  # The paper's: 15 million.


@dataclass(frozen=True)
class Options:
    """What this study takes beside what every study takes.

    Attributes:
      cores: names, or module:attribute of your own, with commas; "all", or "" for the
        setting's own. `feedforward` is always among them.
      tasks: names with commas, such as "repeat_first,autoencode"; "all", or "" for the
        setting's own.
      size: of the tasks.
      num_env_steps: of each seed in a cell; 0 for the setting's own number.
      num_seeds: in a cell; at least 2, for a standard error.
    """

    selects: ClassVar[tuple[str, ...]] = ("cores", "tasks")

    cores: str = ""
    tasks: str = ""
    size: Literal["easy", "medium", "hard"] = "easy"
    num_env_steps: Annotated[int, Ge(0)] = 0
    num_seeds: Annotated[int, Ge(2)] = 3


def run(study: Study, options: Options) -> None:
    """Makes the cells that are asked for and not there yet; then the page of all there are.

    Raises:
      ValueError: for an unknown task or core, a core that cannot be sized, or a cell of
        other settings.
    """
    own_tasks, own_cores = (QUICK_TASKS, QUICK_CORES) if study.quick else ((), ())
    tasks = choose_tasks(options.tasks, tasks_of_suite(), own_tasks)
    cores = choose_cores(options.cores, own_cores)
    env_steps = options.num_env_steps or (
        QUICK_ENV_STEPS if study.quick else FULL_ENV_STEPS
    )
    setting = Setting(options.size, env_steps, options.num_seeds)
    # Sizes first: a core that cannot be compared is refused before anything is trained.
    configs = {core: cells.matched_config(core, setting) for core in cores}
    number = 0
    for core in cores:
        for task in tasks:
            number += 1
            if cells.is_made(study, setting, task, core):
                continue
            cell = cells.make_cell(study, setting, task, core, configs[core])
            print(
                f"Cell {number} of {len(cores) * len(tasks)}: {core} on {task}, "
                f"{cells.with_error(cell.scores)}; with frozen weights "
                f"{cells.with_error(cell.frozen)}; {cell.seconds:.0f} s of processor time",
                flush=True,
            )
    made = cells.read_cells(study, setting)
    study.settings = {
        **cells.made_with(study, setting),
        "last_action_in": list(cells.CHOICE_UNSEEN),
        "epoch": setting.epoch,
    }
    _check(study, made, setting)
    _report(study, made, setting)
    popgym_plots.learning_curves(study, made)


def tasks_of_suite() -> list[str]:
    """Names of POPGym's tasks, without the suite's."""
    return sorted(
        {name.split("/")[1] for name in registered(ENV) if name.startswith("popgym/")}
    )


def chance(task: str, size: str) -> tuple[float, float] | None:
    """The least and the most that any policy without memory returns; None where unknown.

    Of n cards 13 in 52 have a suit. Where one of that suit is seen, another card has it
    with probability (n/4 - 1) / (n - 1), where none is, with (n/4) / (n - 1). In
    `repeat_first` one of the n - 1 decisions sees the card that is asked for.
    """
    if task not in ("repeat_first", "repeat_previous"):
        return None
    num_cards = cells.make_environment(task, size).num_decks * DECK_SIZE
    same = (num_cards / NUM_SUITS - 1) / (num_cards - 1)
    other = (num_cards / NUM_SUITS) / (num_cards - 1)
    if task == "repeat_first":
        share = 1 / (num_cards - 1)
        same, other = share + (1 - share) * same, (1 - share) * other
    least, most = sorted((2 * same - 1, 2 * other - 1))
    return least, most


def _check(study: Study, made: Cells, setting: Setting) -> None:
    for task, row in made.items():
        control = row.get(CONTROL)
        bounds = chance(task, setting.size)
        if control is None:
            continue
        if bounds is not None:
            margin = SIGMAS * control.frozen_error
            study.check(
                f"{CONTROL} is at chance on {task}, with frozen weights",
                control.frozen.mean(), f"{bounds[0]:.3f} to {bounds[1]:.3f} without memory",
                above=bounds[0] - margin, below=bounds[1] + margin,
            )  # fmt: skip
        others = sorted(row.keys() - {CONTROL}, key=lambda core: (core != REMEMBERS, core))
        core = others[0] if others else None
        if core is not None and task in MUST_REMEMBER:
            study.check(
                f"{core} returns more than {CONTROL} on {task}, in standard errors",
                cells.difference_in_errors(row[core], control), "-",
                above=SIGMAS,
            )  # fmt: skip


def _report(study: Study, made: Cells, setting: Setting) -> None:
    cores = [CONTROL, *sorted({core for row in made.values() for core in row} - {CONTROL})]
    seeds = f"mean of {setting.num_seeds} seeds ± standard error"
    for title, scores in (
        (
            f"Maximum over epochs of {setting.epoch:,} steps, after the first, of the mean "
            f"return while training, {setting.num_env_steps:,} steps a seed: {seeds}",
            lambda cell: cell.scores,
        ),
        (
            f"Return with frozen weights at the end, {cells.NUM_EPISODES} episodes a seed: "
            f"{seeds}",
            lambda cell: cell.frozen,
        ),
    ):
        study.table(title, ["task", *cores], cells.score_rows(made, cores, scores))
    num_episodes = cells.NUM_EPISODES * setting.num_seeds
    study.table(
        f"For comparison: return of uniformly random actions, {num_episodes} episodes: "
        "mean ± standard error",
        ["task", "random actions"],
        [
            [task, cells.with_error(_random_returns(study, setting, task, num_episodes))]
            for task in sorted(made)
        ],
    )
    found = [
        [made[task][core] for task in sorted(made) if core in made[task]] for core in cores
    ]
    study.table(
        "Cores: their settings, parameters of the network, and what a cell takes",
        ["core", "cells", "parameters", "seconds of processor time a cell", "settings"],
        [
            [
                core,
                len(row),
                _range([cell.num_parameters for cell in row]),
                _range([round(cell.seconds) for cell in row]),
                row[0].core_settings,
            ]
            for core, row in zip(cores, found, strict=True)
            if row
        ],
    )


def _random_returns(
    study: Study, setting: Setting, task: str, num_episodes: int
) -> np.ndarray:
    key = jax.random.fold_in(jax.random.PRNGKey(study.seed), EVALUATION)
    environment = cells.make_environment(task, setting.size)
    return random_returns(environment, key, num_episodes)


def _range(numbers: list[int]) -> str:
    least, most = min(numbers), max(numbers)
    return f"{least:,}" if least == most else f"{least:,} to {most:,}"
