"""Episodes that ended, and their means."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Episode(NamedTuple):
    """An episode that ended.

    Attributes:
      environment: which of the E.
      episode_return: the sum of its rewards.
      episode_length: decisions.
    """

    environment: int
    episode_return: float
    episode_length: int


def episode_means(prefix: str, episodes: Sequence[Episode]) -> dict[str, float]:
    """Mean return and length as metrics `PREFIX/...`; NaN for no episodes."""
    means = np.mean(episodes, axis=0)[1:] if episodes else (np.nan, np.nan)
    return {
        f"{prefix}/episode_return": float(means[0]),
        f"{prefix}/episode_length": float(means[1]),
    }
