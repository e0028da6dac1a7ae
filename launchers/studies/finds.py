"""How long agents search for a goal: to the first find of an episode and to later ones.

Latencies are compared within episodes. Pooled over episodes they would compare easy goals
with hard ones, for an agent that goes to one place alone finds the goal there many times
and others never.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tolman.launchers.device.episodes import Trajectory

NUM_FINDS = 3  # Of an episode that counts.


class Finds(NamedTuple):
    """When members found the goal; M of them, E episodes, T steps.

    Attributes:
      found: `[T, M, E]` bool, the step led to the goal.
    """

    found: np.ndarray

    def latencies(self) -> np.ndarray:
        """`[N, NUM_FINDS]`, steps to each of the first finds, of episodes with so many."""
        episodes = self.found.reshape(len(self.found), -1).T  # [M E, T]
        times = [np.flatnonzero(finds) for finds in episodes if finds.sum() >= NUM_FINDS]
        steps = [np.diff(one[:NUM_FINDS], prepend=-1) for one in times]
        return np.array(steps).reshape(-1, NUM_FINDS)

    def latency(self) -> tuple[float, float]:
        """Mean steps to the first find and to the later ones; nan without such episodes."""
        latencies = self.latencies()
        if not len(latencies):
            return float("nan"), float("nan")
        return float(latencies[:, 0].mean()), float(latencies[:, 1:].mean())

    @property
    def ratio(self) -> float:
        """First latency over later; 1 for one who does not remember."""
        first, later = self.latency()
        return first / later

    @property
    def share_found(self) -> float:
        """Of episodes in which the goal was found at all."""
        return float(self.found.any(axis=0).mean())

    @property
    def per_episode(self) -> float:
        """Finds of an episode."""
        return float(self.found.sum(axis=0).mean())


def read_finds(
    played: Trajectory, members: np.ndarray, episodes: np.ndarray, goal_reward: float
) -> Finds:
    """Finds, in the steps of the episodes' own, which all end by the clock.

    Args:
      played: by all members.
      members: which of them.
      episodes: which of theirs.
      goal_reward: rewards from here on tell of a find.
    """
    num_steps = int(played.episode_length.max())
    rewards = played.timestep.reward[1 : num_steps + 1]  # [T, P, E]
    return Finds(rewards[:, members][:, :, episodes] >= goal_reward)
