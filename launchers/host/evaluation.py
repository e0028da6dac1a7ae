"""Plays whole episodes on environments of the host with frozen parameters."""

from __future__ import annotations

import jax
import numpy as np

from tolman.agents.agent import Agent, Params
from tolman.envs.host import HostVector
from tolman.launchers.host.actor import EnvironmentLoop, VectorActor
from tolman.launchers.host.episodes import Episode


class Frozen:
    """Parameters that stay as they are: a `ParameterSource` for evaluation."""

    def __init__(self, params: Params) -> None:
        self._params = params

    def get(self, num_unrolls: int) -> tuple[int, Params]:
        """Returns the parameters; their version does not matter."""
        return 0, self._params


def play_host_episodes(
    agent: Agent, vector: HostVector, params: Params, key: jax.Array, num_episodes: int
) -> list[Episode]:
    """Plays `num_episodes` episodes; every environment plays its share of them.

    A fixed share for each, and not the episodes that end first, which would favour short
    ones.

    Args:
      agent: whose `act` plays.
      vector: what is played.
      params: of the network.
      key: `[2]`, of all chance in acting.
      num_episodes: over all environments.
    """
    actor = VectorActor(agent, vector.num_envs, key, Frozen(params), writer=None)
    loop = EnvironmentLoop([(vector, actor)], agent.data.unroll_length)
    share = np.full(vector.num_envs, num_episodes // vector.num_envs)
    share[: num_episodes % vector.num_envs] += 1
    played = np.zeros_like(share)
    episodes: list[Episode] = []
    while (played < share).any():
        loop.unroll()
        for episode in loop.take_episodes():
            if played[episode.environment] < share[episode.environment]:
                played[episode.environment] += 1
                episodes.append(episode)
    return episodes
