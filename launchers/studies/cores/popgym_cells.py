"""The cells of the table of POPGym's tasks: one core on one task, made once and kept.

Shapes: C epochs, S seeds.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from tolman.agents.ppo import PPO, PPOConfig
from tolman.envs.environment import Environment
from tolman.launchers.catalog.names import CORE, ENV, find, make_core
from tolman.launchers.device.episodes import play_episodes
from tolman.launchers.device.on_device import OnDeviceRunner
from tolman.launchers.evaluation.episodes import EVALUATION
from tolman.launchers.measuring.core_tasks import REFERENCE, REFERENCE_CONFIG
from tolman.launchers.measuring.matching import match_parameters
from tolman.launchers.report.whole import replace_text
from tolman.launchers.studies.checks import standard_error
from tolman.launchers.studies.stages import run_stage
from tolman.launchers.studies.study import Study

FOLDER = "cells"
NUM_EPISODES = 256  # A seed plays with frozen weights.
PAPER_EPOCH = 65_536  # Environment steps that one mean of the paper's is taken over.
MIN_EPOCHS = 16
SIZED_ON = "repeat_first"  # The task on which all cores get as many parameters.

# All cores, all tasks; the rest are PPO's defaults. As many decisions an update as by
# default, in unrolls of half the length, take two thirds of the time.
AGENT: dict[str, Any] = {"batch_size": 16, "learning_rate": 1e-3}
# No gradient crosses the start of an unroll: about as long as most episodes of the size.
UNROLL_LENGTHS = {"easy": 64, "medium": 256, "hard": 1024}
# Where no row shows what was chosen before: the last action is an input.
CHOICE_UNSEEN = ("battleship", "concentration", "minesweeper", "multiarmed_bandit")


class Setting(NamedTuple):
    """What all cells of a table share.

    Attributes:
      size: of the tasks.
      num_env_steps: of each seed.
      num_seeds: S.
    """

    size: str
    num_env_steps: int
    num_seeds: int

    @property
    def num_epochs(self) -> int:
        """C, about: those of the paper's length, and no fewer than `MIN_EPOCHS`."""
        return max(MIN_EPOCHS, round(self.num_env_steps / PAPER_EPOCH))

    @property
    def epoch(self) -> int:
        """Environment steps, about."""
        return round(self.num_env_steps / self.num_epochs)


@dataclass(frozen=True)
class Cell:
    """One core on one task.

    Attributes:
      task: without its size.
      core: its name.
      core_settings: in words.
      num_parameters: of the network.
      env_steps: `[C]`, of one seed, at the end of each epoch.
      curve: `[C, S]`, mean return of the episodes that ended in the epoch; NaN of none.
      frozen: `[S]`, mean return of each seed with frozen weights.
      episode_error: of the mean of `frozen`, from the scatter of all episodes.
      seconds: of processor time, compilation included.
    """

    task: str
    core: str
    core_settings: str
    num_parameters: int
    env_steps: np.ndarray
    curve: np.ndarray
    frozen: np.ndarray
    episode_error: float
    seconds: float

    @property
    def scores(self) -> np.ndarray:
        """`[S]`, maximum over epochs of the mean return: the paper's score.

        The first epoch does not count where there are more: it may be over before long
        episodes are, so that its mean is of short ones alone.
        """
        return max_mean_returns(self.curve[1:] if len(self.curve) > 1 else self.curve)

    @property
    def frozen_error(self) -> float:
        """Of the mean of `frozen`: three seeds may agree by luck, 768 episodes do not."""
        return max(standard_error(self.frozen), self.episode_error)


Cells = dict[str, dict[str, Cell]]  # By task, then by core.


def max_mean_returns(curve: np.ndarray) -> np.ndarray:
    """The largest entry of each column of `[C, S]`; NaN where a column has none."""
    told = np.where(np.isnan(curve), -np.inf, curve).max(0)
    return np.where(np.isinf(told), np.nan, told)


def difference_in_errors(cell: Cell, other: Cell) -> float:
    """How much more a cell returns with frozen weights, in standard errors of that."""
    difference = cell.frozen.mean() - other.frozen.mean()
    return float(difference / math.hypot(cell.frozen_error, other.frozen_error))


def with_error(values: np.ndarray) -> str:
    """The mean of the seeds' values `[S]`, and its standard error."""
    return f"{values.mean():.3f} ± {standard_error(values):.3f}"


def score_rows(
    cells: Cells, cores: Sequence[str], scores: Callable[[Cell], np.ndarray]
) -> list[list[str]]:
    """A table's rows: each task's scores, and their means over the tasks that all have.

    Args:
      cells: at least one.
      cores: of the columns; a dash stands where one has no cell.
      scores: `[S]` of a cell.
    """
    rows, whole = [], []
    for task in sorted(cells):
        row = cells[task]
        told = {core: scores(cell) for core, cell in row.items()}
        rows.append(
            [task, *(with_error(told[core]) if core in told else "-" for core in cores)]
        )
        if all(core in told for core in cores):
            whole.append([told[core] for core in cores])  # [cores][S]
    if len(whole) > 1:
        means = np.mean(whole, 0)  # [cores, S], each seed's mean over the tasks.
        rows.append([f"mean of {len(whole)} tasks", *map(with_error, means)])
    return rows


def make_environment(task: str, size: str) -> Any:
    """An environment of POPGym's."""
    return find(ENV, f"popgym/{task}/{size}").thing()


def matched_config(core: str, setting: Setting) -> Any:
    """A core's defaults at the width that gives the network the reference's size.

    Raises:
      ValueError: if the name stands for no core, or its size cannot be matched.
    """
    environment = make_environment(SIZED_ON, setting.size)

    def count(name: str, config: Any) -> int:
        return count_parameters(make_agent(setting, SIZED_ON, environment, name, config))

    target = count(REFERENCE, REFERENCE_CONFIG)
    config = find(CORE, core).default_settings()
    return match_parameters(core, config, lambda own: count(core, own), target).config


def make_cell(study: Study, setting: Setting, task: str, core: str, config: Any) -> Cell:
    """Trains, plays, and writes the cell.

    Args:
      study: whose folder and seed it has.
      setting: of the table.
      task: without its size.
      core: its name.
      config: of the core.
    """
    start = time.process_time()
    environment = make_environment(task, setting.size)
    agent = make_agent(setting, task, environment, core, config)
    done = run_stage(
        study.folder / "training" / task / _file_name(core),
        OnDeviceRunner(agent, environment, setting.num_seeds),
        study.member_keys(setting.num_seeds),
        setting.num_env_steps,
        num_rows=setting.num_epochs,
    )
    key = jax.random.fold_in(jax.random.PRNGKey(study.seed), EVALUATION)
    played = play_episodes(agent, environment, done.params, key, NUM_EPISODES)
    returns = played.episode_return  # [S, E]
    shown = {name: value for name, value in asdict(config).items() if name != "scan"}
    none = np.full((len(done.units), setting.num_seeds), np.nan)
    cell = Cell(
        task,
        core,
        ", ".join(f"{name} {value}" for name, value in shown.items()),
        count_parameters(agent),
        done.units,
        done.curves.get("train/episode_return", none),
        returns.mean(1),
        standard_error(returns.ravel()),
        time.process_time() - start,
    )
    _write(study, setting, cell)
    return cell


def is_made(study: Study, setting: Setting, task: str, core: str) -> bool:
    """Whether the cell is in the study's folder.

    Raises:
      ValueError: if it is there and of other settings, or cannot be read.
    """
    path = _path(study, task, core)
    if not path.exists():
        return False
    _read(path, made_with(study, setting))
    return True


def read_cells(study: Study, setting: Setting) -> Cells:
    """All cells in the study's folder, by task and core in the order of their names.

    Raises:
      ValueError: if one is of other settings, or cannot be read.
    """
    cells: Cells = {}
    for path in sorted((study.folder / FOLDER).glob("*/*.json")):
        cell = _read(path, made_with(study, setting))
        cells.setdefault(cell.task, {})[cell.core] = cell
    return cells


def make_agent(
    setting: Setting, task: str, environment: Environment, core: str, config: Any
) -> PPO:
    """What is trained in a cell."""
    return PPO(
        PPOConfig(
            unroll_length=UNROLL_LENGTHS[setting.size],
            use_previous_action=task in CHOICE_UNSEEN,
            **AGENT,
        ),
        environment.observation_spec(),
        environment.action_spec(),
        make_core(core, config),
    )


def count_parameters(agent: PPO) -> int:
    """Of its network."""
    params = jax.eval_shape(agent.network.init, jax.random.PRNGKey(0))
    return sum(leaf.size for leaf in jax.tree.leaves(params.network))


def _file_name(core: str) -> str:
    return core.replace(":", ".")


def _path(study: Study, task: str, core: str) -> Path:
    return study.folder / FOLDER / task / f"{_file_name(core)}.json"


def made_with(study: Study, setting: Setting) -> dict[str, Any]:
    """What a cell must have been made with to stand in this table."""
    return {
        **setting._asdict(),
        **AGENT,
        "unroll_length": UNROLL_LENGTHS[setting.size],
        "episodes": NUM_EPISODES,
        "seed": study.seed,
    }


def _write(study: Study, setting: Setting, cell: Cell) -> None:
    told = {
        **asdict(cell),
        "env_steps": cell.env_steps.tolist(),
        "curve": [[x if x == x else None for x in row] for row in cell.curve.tolist()],
        "frozen": cell.frozen.tolist(),
        "made_with": made_with(study, setting),
    }
    path = _path(study, cell.task, cell.core)
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_text(path, json.dumps(told, indent=1))


def _read(path: Path, asked: dict[str, Any]) -> Cell:
    try:
        told = json.loads(path.read_text())
        found = told.pop("made_with")
        for name in ("env_steps", "curve", "frozen"):
            told[name] = np.array(told[name], float)
        cell = Cell(**told)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise ValueError(
            f"{path}: is no cell ({reason}). Delete it to have it made again."
        ) from None
    if found != asked:
        raise ValueError(
            f"{path}: was made with {found}, not {asked}. Choose another --out."
        )
    return cell
