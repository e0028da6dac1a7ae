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
    """Means as metrics `PREFIX/...`: return and length, NaN for no episodes, and `info`.

    What an environment tells under one of the two names is left out.
    """
    own: dict[str, list[float]] = {
        "episode_return": [one.episode_return for one in episodes],
        "episode_length": [one.episode_length for one in episodes],
    }
    means = info_means(episodes)
    for name, values in own.items():
        means[name] = float(np.mean(values)) if values else float("nan")
    return {f"{prefix}/{name}": value for name, value in means.items()}


def info_means(episodes: Sequence[Episode]) -> dict[str, float]:
    """The mean of each number in `info`, over the episodes that told it."""
    told: dict[str, list[float]] = {}
    for episode in episodes:
        for name, value in episode.info.items():
            told.setdefault(name, []).append(value)
    return {name: float(np.mean(values)) for name, values in told.items()}
