"""Memory cores side by side: what each remembers, how fast it learns, what it costs.

One agent, the advantage actor-critic, is trained with every registered core, or with those
that are named, a user's among them, on tasks that differ in what must be kept: one bit over
growing delays (T-maze, memory length), which of several pairs is asked for (associative
recall), what was tried (a bandit), which of two pictures paid (Harlow).

Fair means: widths are chosen so that all networks have about as many parameters; every
core tries the same learning rates with the same seeds, and shows the rate that did best in
training; all other settings are the same. Three things differ because they must. The window
of `gtrxl` and the store of `memo` are as long as the delay, for what lies further back is
out of their reach whatever they learn. The gates of `lstm` and `gru` start so that they
keep a content for as long, for what has decayed gives no gradient. And unrolls are as long
as an episode, so that gradients reach its first row; a core whose unroll is cut shorter
would have to find by chance what it cannot be told.

In the tasks of pure recall the last action and reward are no inputs. With them an agent
without memory solves the T-maze: it answers the sign at once, by an action that has no
effect there, and then repeats its last action up to the junction.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Annotated, Any, ClassVar

import jax
import numpy as np
from annotated_types import Ge

from tolman.launchers.device.episodes import play_episodes
from tolman.launchers.evaluation.episodes import EVALUATION
from tolman.launchers.measuring import core_tasks as tasks
from tolman.launchers.measuring.core_speed import measure
from tolman.launchers.measuring.core_tasks import Player, Task
from tolman.launchers.studies.cores import recall_plots
from tolman.launchers.studies.cores.choosing import CONTROL, choose_cores, choose_tasks
from tolman.launchers.studies.cores.results import Result, Results
from tolman.launchers.studies.study import Study, Training

TITLE = "Memory cores side by side: what each remembers, how fast, at what cost"
PAPER = "tasks of Bakker 2002, Osband et al. 2020 and Wang et al. 2016"

QUICK_RATES, FULL_RATES = (1e-3, 3e-3), (1e-3, 3e-3)
QUICK_SEEDS, FULL_SEEDS = 1, 3
TIMED_TASK = "T-maze 30"
MUST_SOLVE = {  # By task: cores whose score must be above 0.9, where they take part.
    "T-maze 30": ("lstm", "gru", "gtrxl", "memo", "dnc"),
    "T-maze 100": ("gru", "lstm", "lru", "mingru"),
    "T-maze 300": ("gru", "lstm", "lru", "mingru"),
}


@dataclass(frozen=True)
class Options:
    """What this study takes beside what every study takes.

    Attributes:
      cores: names, or module:attribute of your own, with commas; "all", or "" for every
        registered one. `feedforward` is always among them.
      tasks: names with commas, such as "T-maze 100,T-maze 300"; "all", or "" for all of the
        setting.
      num_env_steps: of each member; 0 for each task's own number.
      num_seeds: for each learning rate; 0 for the setting's own number.
    """

    selects: ClassVar[tuple[str, ...]] = ("cores", "tasks")

    cores: str = ""
    tasks: str = ""
    num_env_steps: Annotated[int, Ge(0)] = 0
    num_seeds: Annotated[int, Ge(0)] = 0


def run(study: Study, options: Options) -> None:
    """Trains every core on every task, compares them, checks the claims.

    Raises:
      ValueError: for an unknown task or core, or a core that cannot be sized.
    """
    cores = choose_cores(options.cores)
    rates = QUICK_RATES if study.quick else FULL_RATES
    num_seeds = options.num_seeds or (QUICK_SEEDS if study.quick else FULL_SEEDS)
    compared = _choose(tasks.tasks(study.quick), options)
    # Sizes first: a core that cannot be compared is refused before anything is trained.
    players = {
        task.name: {core: tasks.make_player(task, core) for core in cores}
        for task in compared
    }
    study.settings = {
        **tasks.AGENT, "learning_rates": list(rates), "seeds": num_seeds,
        "recall_tasks": tasks.RECALL, "cores": cores,
        "env_steps": {task.name: task.num_env_steps for task in compared},
        "unroll_lengths": {task.name: task.num_decisions for task in compared},
    }  # fmt: skip
    results: Results = {
        task.name: {
            core: _compare(study, task, core, players[task.name][core], rates, num_seeds)
            for core in cores
        }
        for task in compared
    }
    _check(study, {task.name: task for task in compared}, results)
    timed = next((task for task in compared if task.name == TIMED_TASK), compared[0])
    timed_players = players[timed.name]
    if tasks.REFERENCE not in timed_players:  # Speeds are ratios to it.
        reference = tasks.make_player(timed, tasks.REFERENCE)
        timed_players = {tasks.REFERENCE: reference, **timed_players}
    _report(study, compared, results, timed, measure(timed_players, timed))
    recall_plots.learning_curves(study, compared, results)
    recall_plots.delays(study, compared, results)


def _choose(every: list[Task], options: Options) -> list[Task]:
    """Those that are named, or all, in the setting's order, with the steps asked for."""
    chosen = choose_tasks(options.tasks, [task.name for task in every])
    return [
        replace(task, num_env_steps=options.num_env_steps or task.num_env_steps)
        for task in every
        if task.name in chosen
    ]


def _compare(
    study: Study,
    task: Task,
    core: str,
    player: Player,
    rates: tuple[float, ...],
    num_seeds: int,
) -> Result:
    label = f"{task.name}/{core}".replace(" ", "_").replace(":", ".").replace(",", "")
    hyperparameters = tasks.make_hyperparameters(player.agent, rates, num_seeds)
    training = study.train(
        label.lower(), player.agent, task.environment, task.num_env_steps,
        len(rates) * num_seeds, hyperparameters,
    )  # fmt: skip
    key = jax.random.fold_in(jax.random.PRNGKey(study.seed), EVALUATION)
    played = play_episodes(
        player.agent, task.test or task.environment, training.params, key,
        task.num_episodes, chunk_length=task.num_decisions - 1,
    )  # fmt: skip
    best = choose_rate(training, num_seeds)
    members = slice(best * num_seeds, (best + 1) * num_seeds)
    scores = task.score(played.episode_return[members])  # [S, E]
    return Result(
        player,
        rates[best],
        training.env_steps,
        task.score(training.episode_return[:, members]),
        scores.mean(1),
        float(scores.std() / np.sqrt(scores.size)),
    )


def choose_rate(training: Training, num_seeds: int) -> int:
    """The index of the learning rate with the best last fifth of training.

    Args:
      training: of members in groups of `num_seeds`, one group a rate.
      num_seeds: members with the same rate.
    """
    returns = training.episode_return  # [C, P]
    last = np.ma.masked_invalid(returns[-max(1, len(returns) // 5) :]).mean(axis=0)
    each = np.ma.filled(last, -np.inf)  # Where no episode ended.
    return int(each.reshape(-1, num_seeds).mean(1).argmax())


def _check(study: Study, compared: dict[str, Task], results: Results) -> None:
    for name, task in compared.items():
        for core in MUST_SOLVE.get(name, ()):
            if core in results[name]:
                study.check(
                    f"{core} solves {name}: mean return", results[name][core].mean,
                    "at most 1", above=0.9,
                )  # fmt: skip
        if np.isnan(task.chance):
            continue
        result = results[name][CONTROL]
        study.check_chance(
            f"{CONTROL} is at chance on {name}", result.mean, f"{task.chance:.3g}",
            expected=task.chance, error=result.error,
        )  # fmt: skip


def _report(
    study: Study,
    compared: list[Task],
    results: Results,
    timed: Task,
    speeds: list[dict[str, Any]],
) -> None:
    cores = list(results[compared[0].name])
    names = [task.name for task in compared]
    headings = [f"{task.name} ({_chance(task)})" for task in compared]
    study.table(
        "Score with frozen weights, mean of the seeds ± standard error of the episodes",
        ["core", *headings],
        [[core, *(_with_error(results[name][core]) for name in names)] for core in cores],
    )
    study.table(
        "Sample efficiency: thousands of environment steps to the stated score in training",
        ["core", *(f"{task.name} ({task.solved:g})" for task in compared)],
        [
            [
                core,
                *(_thousands(results[t.name][core].steps_to(t.solved)) for t in compared),
            ]
            for core in cores
        ],
    )
    study.table(
        f"Cost on {timed.name}: speeds in turns in one process, ratios to lstm",
        list(speeds[0]),
        [list(row.values()) for row in speeds],
    )
    _report_sizes(study, compared, results)


def _report_sizes(study: Study, compared: list[Task], results: Results) -> None:
    """Parameters, what widths they came from, and the learning rate that was chosen."""
    rows = []
    for task in compared:
        for core, result in results[task.name].items():
            config = ", ".join(
                f"{key} {value}" for key, value in asdict(result.player.config).items()
            )
            rows.append(
                [
                    task.name,
                    core,
                    result.player.num_parameters,
                    result.learning_rate,
                    config,
                ]
            )
    study.table(
        "Sizes: parameters of the whole network, learning rate chosen, the core's settings",
        ["task", "core", "parameters", "learning rate", "settings"],
        rows,
    )


def _chance(task: Task) -> str:
    return task.unit if np.isnan(task.chance) else f"chance {task.chance:.2g}"


def _with_error(result: Result) -> str:
    return f"{result.mean:.2f} ± {result.error:.2f}"


def _thousands(steps: float) -> str:
    return "-" if np.isnan(steps) else f"{steps / 1000:.0f}"
