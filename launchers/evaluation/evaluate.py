"""Evaluates a run: whole episodes with the parameters of a checkpoint."""

from __future__ import annotations

import contextlib
from pathlib import Path

import jax
import numpy as np

from tolman.agents.agent import Array
from tolman.launchers.catalog import names
from tolman.launchers.device.episodes import play_episodes
from tolman.launchers.device.on_device import OnDeviceRunner
from tolman.launchers.runs import folder as run_folder
from tolman.launchers.runs.build import MAX_DEFAULT_ENVS, make_vector
from tolman.launchers.runs.restore import restore

EVALUATION = 2**31 - 1  # Folded into the key: no training run draws from it.


def check_plays_alone(run: Path) -> None:
    """Raises ValueError for the run of an agent that needs somebody to play against."""
    config = run_folder.open_run(run).config()
    if names.plays_games(config.agent):
        raise ValueError(
            f"{run}: agent {config.agent!r} plays against others, and has no return to "
            "report. Use tolman tournament."
        )


def evaluation_key(seed: int) -> Array:
    """The key, `[2]`, of all chance in an evaluation.

    Raises:
      ValueError: for a seed outside [0, 2**32).
    """
    if not 0 <= seed < 2**32:
        raise ValueError(f"seed={seed}: must lie in [0, 2**32). Set --seed.")
    return jax.random.fold_in(jax.random.PRNGKey(seed), EVALUATION)


def environment_seed(key: Array) -> int:
    """The seed of the host environments of an evaluation with that key."""
    return int(jax.random.randint(key, (), 0, EVALUATION))


def evaluate(
    run: Path, num_episodes: int = 100, seed: int = 0, checkpoint: int | None = None
) -> dict[str, float]:
    """Plays episodes with frozen parameters, sampling from the policy.

    The environment has its settings for evaluation; see `evaluation_settings`.

    Args:
      run: the run folder.
      num_episodes: at least 2, so that there is a standard error.
      seed: of the episodes, independent of the run's.
      checkpoint: env steps of the one to take; None for the last that is sound.

    Returns:
      `env_steps` of the checkpoint, `eval/episode_return` and `eval/episode_length`
      (means), `eval/episode_return_standard_error` and `num_episodes`; in an Atari game
      that a human's score is known for also `eval/human_normalized_score`.

    Raises:
      FileNotFoundError: if there is no such run or checkpoint.
      ValueError: for fewer than 2 episodes, or if no checkpoint is sound.
    """
    if num_episodes < 2:
        raise ValueError(
            f"num_episodes={num_episodes}: must be at least 2. Set --num-episodes."
        )
    key = evaluation_key(seed)
    check_plays_alone(run)
    restored = restore(run, checkpoint)
    config, agent, params = restored.config, restored.runner.agent, restored.params
    if isinstance(restored.runner, OnDeviceRunner):
        environment = names.make_environment(config.env, config.env_config)
        played = play_episodes(agent, environment, params, key, num_episodes)
        returns, lengths = played.episode_return[0], played.episode_length[0]
    else:
        from tolman.launchers.host.evaluation import play_host_episodes

        num_envs = min(num_episodes, MAX_DEFAULT_ENVS)
        vector = make_vector(config, num_envs, environment_seed(key))
        with contextlib.closing(vector):
            episodes = play_host_episodes(agent, vector, params, key, num_episodes)
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
        **_human_normalized(config.env, float(returns.mean())),
    }


def _human_normalized(env: str, score: float) -> dict[str, float]:
    """The score beside a human's; nothing where none is known."""
    if not env.startswith("ALE/"):
        return {}
    from tolman.envs import atari

    if atari.check_atari_id(env) not in atari.GAMES:
        return {}
    return {"eval/human_normalized_score": atari.human_normalized_score(env, score)}
