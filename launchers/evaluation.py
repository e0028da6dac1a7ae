"""Evaluates a run: whole episodes with the parameters of a checkpoint."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import jax
import numpy as np

from tolman.launchers import run_folder
from tolman.launchers.checkpoints import Checkpoints
from tolman.launchers.config import resolve
from tolman.launchers.episodes import play_episodes
from tolman.launchers.runner import (
    MAX_DEFAULT_ENVS,
    OnDeviceRun,
    build_runner,
    make_vector,
)

EVALUATION = 2**31 - 1  # Folded into the key: no training run draws from it.


def evaluate(
    run: Path, num_episodes: int = 100, seed: int = 0, checkpoint: int | None = None
) -> dict[str, float]:
    """Plays episodes with frozen parameters, sampling from the policy.

    Args:
      run: the run folder.
      num_episodes: at least 2, so that there is a standard error.
      seed: of the episodes, independent of the run's.
      checkpoint: env steps of the one to take; None for the last that is sound.

    Returns:
      `env_steps` of the checkpoint, `eval/episode_return` and `eval/episode_length`
      (means), `eval/episode_return_standard_error` and `num_episodes`.

    Raises:
      FileNotFoundError: if there is no such run or checkpoint.
      ValueError: for fewer than 2 episodes, or if no checkpoint is sound.
    """
    if num_episodes < 2:
        raise ValueError(
            f"num_episodes={num_episodes}: must be at least 2. Set --num-episodes."
        )
    if not 0 <= seed < 2**32:
        raise ValueError(f"seed={seed}: must lie in [0, 2**32). Set --seed.")
    folder = run_folder.open_run(run)
    config = resolve(folder.config())
    if config.launcher == "ray":  # Its checkpoints are those of a local run.
        config = replace(config, launcher="local")
    runner = build_runner(config, folder)
    template = runner.init(jax.random.PRNGKey(config.seed))
    restored = Checkpoints(folder.checkpoints).restore(template, checkpoint)
    params = runner.params(runner.place(restored.state))
    key = jax.random.fold_in(jax.random.PRNGKey(seed), EVALUATION)
    if isinstance(runner, OnDeviceRun):
        environment = runner.population.environment
        played = play_episodes(runner.agent, environment, params, key, num_episodes)
        returns, lengths = played.episode_return[0], played.episode_length[0]
    else:
        from tolman.launchers.host.evaluation import play_host_episodes

        env_seed = int(jax.random.randint(key, (), 0, EVALUATION))
        vector = make_vector(config, min(num_episodes, MAX_DEFAULT_ENVS), env_seed)
        episodes = play_host_episodes(runner.agent, vector, params, key, num_episodes)
        vector.close()
        _, returns, lengths = zip(*episodes, strict=True)
    returns = np.asarray(returns, np.float64)
    return {
        "env_steps": restored.env_steps,
        "eval/episode_return": float(returns.mean()),
        "eval/episode_return_standard_error": float(
            returns.std(ddof=1) / np.sqrt(num_episodes)
        ),
        "eval/episode_length": float(np.mean(lengths)),
        "num_episodes": num_episodes,
    }
