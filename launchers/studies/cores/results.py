"""What the comparison of cores finds."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tolman.launchers.measuring.core_tasks import Player


class Result(NamedTuple):
    """What one core did on one task.

    Attributes:
      player: the agent with that core.
      learning_rate: the one that did best in training.
      env_steps: `[C]`, of the learning curve.
      curve: `[C, S]`, score in training of each seed with that rate.
      score: `[S]`, of each seed in the test, with frozen weights.
      error: standard error of the mean of the test.
    """

    player: Player
    learning_rate: float
    env_steps: np.ndarray
    curve: np.ndarray
    score: np.ndarray
    error: float

    @property
    def mean(self) -> float:
        """Of the seeds' scores."""
        return float(self.score.mean())

    def steps_to(self, level: float) -> float:
        """Environment steps until the seeds' median curve first reaches it, or NaN."""
        reached = np.flatnonzero(np.median(self.curve, 1) >= level)
        return float(self.env_steps[reached[0]]) if len(reached) else float("nan")


Results = dict[str, dict[str, Result]]  # By task, then by core.
