"""Episodes that ended, and their means."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np


class Episode(NamedTuple):
    """An episode that ended.

    Attributes:
      environment: which of the E.
      episode_return: the sum of its rewards.
      episode_length: decisions.
      info: further numbers that the environment told at its end.
    """

    environment: int
    episode_return: float
    episode_length: int
    info: Mapping[str, float]


def episode_means(prefix: str, episodes: Sequence[Episode]) -> dict[str, float]:
    """Means as metrics `PREFIX/...`: return and length, NaN for no episodes, and `info`."""
    told: dict[str, list[float]] = {"episode_return": [], "episode_length": []}
    for episode in episodes:
        told["episode_return"].append(episode.episode_return)
        told["episode_length"].append(episode.episode_length)
        for name, value in episode.info.items():
            told.setdefault(name, []).append(value)
    return {
        f"{prefix}/{name}": float(np.mean(values)) if values else float("nan")
        for name, values in told.items()
    }
