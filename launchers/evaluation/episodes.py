"""Plays whole episodes with frozen parameters, wherever the environment runs."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
import numpy as np

from tolman.agents.agent import Agent, Array, Params
from tolman.launchers.runs.job import Job

EVALUATION = 2**31 - 1  # Folded into the key: no training run draws from it.
MAX_ENVS = 16  # On the host.
MAX_EPISODES = 1_000_000


class Episodes(NamedTuple):
    """What was played.

    Attributes:
      returns: `[E]` float64.
      lengths: `[E]`, decisions.
      trajectory: every row of it, from the device; None from the host.
      info: further numbers that the environment told, each a mean over the episodes at
        whose end it told it.
    """

    returns: np.ndarray
    lengths: np.ndarray
    trajectory: Any = None
    info: Mapping[str, float] = MappingProxyType({})


def check_num_episodes(num_episodes: int, least: int) -> None:
    """Raises ValueError for too few episodes, or more than anyone waits for."""
    if not least <= num_episodes <= MAX_EPISODES:
        raise ValueError(
            f"num_episodes={num_episodes}: must be in [{least}, {MAX_EPISODES}]. Set "
            "--num-episodes."
        )


def check_seed(seed: int) -> None:
    """Raises ValueError for a seed outside [0, 2**32)."""
    if not 0 <= seed < 2**32:
        raise ValueError(f"seed={seed}: must lie in [0, 2**32). Set --seed.")


def evaluation_key(seed: int) -> Array:
    """The key, `[2]`, of all chance in an evaluation.

    Raises:
      ValueError: for a seed outside [0, 2**32).
    """
    check_seed(seed)
    return jax.random.fold_in(jax.random.PRNGKey(seed), EVALUATION)


def environment_seed(key: Array) -> int:
    """The seed of the host environments of an evaluation with that key."""
    return int(jax.random.randint(key, (), 0, EVALUATION))


def play_episodes_of(
    job: Job,
    agent: Agent,
    params: Params,
    key: Array,
    num_episodes: int,
    vector: Any = None,
) -> Episodes:
    """Plays episodes of a job, sampling from the policy.

    Args:
      job: whose source makes the environment. On the device the parameters are a
        population's of one, and memory starts empty in each episode; on the host it is
        wiped where the environment says so.
      agent: whose `act` plays.
      params: of the network.
      key: `[2]`, of all chance.
      num_episodes: E.
      vector: to be played on the host, and left open; None for one of the source's.
    """
    if job.config.launcher == "on-device":
        from tolman.launchers.device.episodes import play_episodes

        environment = job.source.environment()
        played = play_episodes(agent, environment, params, key, num_episodes)
        returns, lengths = played.episode_return[0], played.episode_length[0]
        return Episodes(np.asarray(returns, np.float64), lengths, played)

    from tolman.launchers.host.episodes import info_means
    from tolman.launchers.host.evaluation import play_host_episodes

    with contextlib.ExitStack() as stack:
        if vector is None:
            num_envs = min(num_episodes, MAX_ENVS)
            vector = job.source.make_vector(environment_seed(key), num_envs)
            stack.callback(vector.close)
        episodes = play_host_episodes(agent, vector, params, key, num_episodes)
    returns = [each.episode_return for each in episodes]
    lengths = [each.episode_length for each in episodes]
    info = info_means(episodes)
    return Episodes(np.asarray(returns, np.float64), np.asarray(lengths), None, info)
