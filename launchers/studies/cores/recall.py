"""Memory cores side by side: what each remembers, how fast it learns, what it costs.

One agent, the advantage actor-critic, is trained with every registered core, and with any
of a user's (`--core my_package:MyCore`), on tasks that differ in what must be kept: one bit
over growing delays (T-maze, memory length), which of several pairs is asked for
(associative recall), what was tried (a bandit), which of two pictures paid (Harlow).

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

from dataclasses import asdict, dataclass
from typing import Annotated, Any

import jax
import numpy as np
import tyro
from annotated_types import Ge

from tolman.launchers.catalog.names import CORE, registered
from tolman.launchers.device.episodes import play_episodes
from tolman.launchers.evaluation.episodes import EVALUATION
from tolman.launchers.measuring import core_tasks as tasks
from tolman.launchers.measuring.core_speed import measure
from tolman.launchers.measuring.core_tasks import Player, Task
from tolman.launchers.studies.cores import recall_plots
from tolman.launchers.studies.cores.results import Result, Results
from tolman.launchers.studies.study import Study, Training

TITLE = "Memory cores side by side: what each remembers, how fast, at what cost"
PAPER = "tasks of Bakker 2002, Osband et al. 2020 and Wang et al. 2016"

QUICK_RATES, FULL_RATES = (1e-3, 3e-3), (1e-3, 3e-3)
QUICK_SEEDS, FULL_SEEDS = 1, 3
MUST_SOLVE = ("lstm", "gru", "gtrxl", "memo", "dnc")
BARRED_TASK = "T-maze 30"
CONTROL = "feedforward"


@dataclass(frozen=True)
class Options:
    """What this study takes beside what every study takes.

    Attributes:
      core: a core of your own, module:attribute, to be compared too; may be repeated.
      task: only this task of the setting, such as "T-maze 300"; may be repeated.
      num_seeds: for each learning rate; 0 for the setting's own number.
    """

    core: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = ()
    task: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = ()
    num_seeds: Annotated[int, Ge(0)] = 0


def run(study: Study, options: Options) -> None:
    """Trains every core on every task, compares them, checks the claims.

    Raises:
      ValueError: for a task that the setting does not have.
    """
    cores = tuple(dict.fromkeys((*sorted(registered(CORE)), *options.core)))
    rates = QUICK_RATES if study.quick else FULL_RATES
    num_seeds = options.num_seeds or (QUICK_SEEDS if study.quick else FULL_SEEDS)
    compared = choose_tasks(tasks.tasks(study.quick), options.task)
    # Sizes first: a core that cannot be compared is refused before anything is trained.
    players = {
        task.name: {core: tasks.make_player(task, core) for core in cores}
        for task in compared
    }
    study.settings = {
        **tasks.AGENT, "learning_rates": list(rates), "seeds": num_seeds,
        "recall_tasks": tasks.RECALL, "cores": list(cores),
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
    timed = next((task for task in compared if task.name == BARRED_TASK), compared[0])
    _report(study, compared, results, timed, measure(players[timed.name], timed))
    recall_plots.learning_curves(study, compared, results)
    recall_plots.delays(study, compared, results)


def choose_tasks(every: list[Task], names: tuple[str, ...]) -> list[Task]:
    """Those that are named, in their order; all where none is.

    Raises:
      ValueError: if there is none of a name.
    """
    known = [task.name for task in every]
    for name in names:
        if name not in known:
            raise ValueError(f"--task {name!r}: must be one of " + ", ".join(known) + ".")
    return [task for task in every if not names or task.name in names]


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
    for core in MUST_SOLVE if BARRED_TASK in compared else ():
        study.check(
            f"{core} solves {BARRED_TASK}: mean return",
            results[BARRED_TASK][core].mean, "at most 1", above=0.9,
        )  # fmt: skip
    for name, task in compared.items():
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
