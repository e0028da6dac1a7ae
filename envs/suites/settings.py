"""Settings of the environments of other JAX suites."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge


@dataclass(frozen=True)
class SuiteSettings:
    """Settings of a task of another suite.

    Attributes:
      max_episode_steps: after which an episode is cut off, for learners to bootstrap; None
        for the task's own.
    """

    max_episode_steps: Annotated[int, Ge(1)] | None = None


@dataclass(frozen=True)
class XMiniGridSettings(SuiteSettings):
    """Settings of a task of XLand-MiniGrid.

    Attributes:
      max_episode_steps: after which an episode is cut off, for learners to bootstrap; None
        for the task's own. What a goal pays falls with the share of them that was used.
      benchmark: of rules and goals, such as "trivial-21k", of which each episode of an
        XLand task draws its own; the package fetches it once. None for a grid without a
        goal.
    """

    benchmark: str | None = None


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
class BraxSettings:
    """Settings of a task of Brax.

    Attributes:
      max_episode_steps: after which an episode is cut off, for learners to bootstrap.
      backend: what computes the physics; None for the task's own choice.
    """

    max_episode_steps: Annotated[int, Ge(1)] = 1000
    backend: Literal["generalized", "mjx", "positional", "spring"] | None = None
