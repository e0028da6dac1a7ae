"""Settings of the environments of other JAX suites."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge


@dataclass(frozen=True)
class GymnaxSettings:
    """Settings of a task of gymnax.

    Attributes:
      max_episode_steps: after which an episode is cut off, for learners to bootstrap; None
        for the task's own.
    """

    max_episode_steps: Annotated[int | None, Ge(1)] = None


@dataclass(frozen=True)
class ArcadeSettings:
    """Settings of a game of POPGym Arcade.

    Attributes:
      partially_observed: hide what the game hides in its partially observed form.
      image_size: of its square pictures, in pixels.
    """

    partially_observed: bool = True
    image_size: Literal[128, 256] = 128


@dataclass(frozen=True)
class NavixSettings:
    """Settings of a task of navix.

    Attributes:
      max_episode_steps: after which an episode is cut off, for learners to bootstrap; None
        for the task's own.
    """

    max_episode_steps: Annotated[int | None, Ge(1)] = None
