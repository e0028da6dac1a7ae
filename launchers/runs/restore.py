"""Restores what plays: the agent and parameters of a run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import jax

from tolman.agents.agent import Params
from tolman.launchers.catalog import names
from tolman.launchers.host.state import HostRun
from tolman.launchers.runs import folder as run_folder
from tolman.launchers.runs.build import build_player, build_runner
from tolman.launchers.runs.checkpoints import Checkpoints, check_finite
from tolman.launchers.runs.protocol import Runner
from tolman.launchers.settings.config import TrainConfig, resolve


class Restored(NamedTuple):
    """A run as it stood at a checkpoint, to be played.

    Attributes:
      config: of the run, with its environment's settings for evaluation.
      runner: not prepared; its agent acts.
      params: of the network.
      env_steps: of the checkpoint.
    """

    config: TrainConfig
    runner: Runner
    params: Params
    env_steps: int


def restore(run: Path, checkpoint: int | None) -> Restored:
    """Restores what plays: agent and parameters.

    Args:
      run: the run folder.
      checkpoint: env steps of the one to take; None for the last that is sound.

    Raises:
      FileNotFoundError: if there is no such run or checkpoint.
      ValueError: if no checkpoint is sound.
    """
    folder = run_folder.open_run(run)
    config = resolve(folder.config())
    if config.launcher == "ray" and names.plays_games(config.agent):
        runner: Any = HostRun(build_player(config))
    else:
        if config.launcher == "ray":  # Its checkpoints are those of a local run.
            config = replace(config, launcher="local")
        runner = build_runner(config, folder)
    template = runner.init(jax.random.PRNGKey(config.seed)[None])

    def check(state: Any, path: Path) -> None:
        check_finite(runner.params(state), runner.num_members)

    restored = Checkpoints(folder.checkpoints).restore(template, checkpoint, check)
    params = runner.params(runner.place(restored.state))
    config = replace(config, env_config=evaluation_settings(config.env_config))
    return Restored(config, runner, params, restored.units)


def evaluation_settings(settings: Any) -> Any:
    """An environment's settings as it is judged by: those of its `for_evaluation()`.

    Where training has other rewards or shorter episodes than the score that is reported,
    the settings have that method; for all others they are the same.
    """
    method = getattr(settings, "for_evaluation", None)
    return settings if method is None else method()
