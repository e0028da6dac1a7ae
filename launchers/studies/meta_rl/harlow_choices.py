"""What is read from the choices of players of Harlow's task."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tolman.launchers.studies.checks import standard_error
from tolman.launchers.studies.meta_rl import common

CEILING = 0.9  # Share of correct choices from the second trial on.
# The best shares of a player that knows its last reward alone, trials 2 to 10 and trial 3.
NOTEPAD_LATER, NOTEPAD_THIRD = 7 / 9, 5 / 8


@dataclass(frozen=True)
class Player:
    """What one population did on held-out pictures; P members, E episodes, N trials.

    Attributes:
      correct: `[P, E, N]` bool, all members and episodes.
      shown: indices of the members shown, best first.
      episodes: indices of the episodes shown; the others chose the members.
    """

    correct: np.ndarray
    shown: np.ndarray
    episodes: np.ndarray

    @property
    def by_trial(self) -> np.ndarray:
        """`[M, N]`, share of correct choices of the members shown."""
        return self.correct[self.shown][:, self.episodes].mean(1)

    @property
    def first(self) -> float:
        """Share correct in the first trial, median of the members shown."""
        return float(np.median(self.by_trial[:, 0]))

    @property
    def later(self) -> float:
        """Share correct from the second trial on, median of the members shown."""
        return float(np.median(self.by_trial[:, 1:].mean(1)))

    @property
    def share_at_ceiling(self) -> float:
        """Share of ALL members that are right from the second trial on."""
        return float((self.correct[:, :, 1:].mean((1, 2)) > CEILING).mean())

    def error(self, trials: slice) -> float:
        """Standard error of the share correct in some trials, mean of the members shown."""
        correct = self.correct[self.shown][:, self.episodes, trials]  # [M, E, ...]
        return standard_error(correct.mean(axis=(0, 2)))

    def second_trial(self, after_correct: bool) -> float:
        """Share correct in the second trial after a right or a wrong first one."""
        correct = self.correct[self.shown][:, self.episodes]  # [M, E, N]
        is_counted = correct[:, :, 0] == after_correct
        right = (correct[:, :, 1] & is_counted).sum(1)
        return float(np.median(right / np.maximum(is_counted.sum(1), 1)))


def choose(correct: np.ndarray, num_shown: int) -> Player:
    """Chooses the members to show by their later trials in the first half of episodes."""
    return Player(correct, *common.select(correct[:, :, 1:].mean(2), num_shown))
