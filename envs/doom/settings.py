"""How a maze in ViZDoom is played and seen, and how to get the engine."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, get_args

from annotated_types import Ge, Gt

from tolman.envs.maze import Maze, environment
from tolman.envs.maze.fields import Field

MAZES = {
    "static_1": environment.static_1,
    "static_2": environment.static_2,
    "random_goal_1": environment.random_goal_1,
    "random_goal_2": environment.random_goal_2,
    "i_maze": environment.i_maze,
    "tiny": environment.tiny,
    "layout": environment.own,
}


@dataclass(frozen=True)
class DoomSettings:
    """A maze of `maze/...` in another engine: same walls, actions, fields and rewards.

    Source: Wydmuch et al. 2019, "ViZDoom competitions", for the engine.

    Attributes:
      num_frames: of an episode; 0 for as many as the maze has in `maze/...`.
      action_repeat: frames a decision; a frame is one of the engine's tics.
      image_size: pixels a side.
      fields: of the observation, those of `tolman.envs.maze.Maze`.
      reward_scale: what all rewards are multiplied with.
      layout: of `doom/layout` alone: a name, or the path of a text.
    """

    num_frames: Annotated[int, Ge(0)] = 0
    action_repeat: Annotated[int, Ge(1)] = 4
    image_size: Annotated[int, Ge(8)] = 84
    fields: tuple[Field, ...] = ("rgb", "velocity")
    reward_scale: Annotated[float, Gt(0)] = 1.0
    layout: str = "static_1"

    def setting_problems(self) -> Iterator[tuple[str, str]]:
        if not self.fields:
            yield "fields", f"at least one of {', '.join(get_args(Field))}"

    def maze(self, name: str) -> Maze:
        """The maze of an id, with its task.

        Raises:
          ValueError: for a layout that is none, or several mazes at once.
        """
        which = name.removeprefix("doom/")
        more: dict[str, Any] = {"layout": self.layout} if which == "layout" else {}
        if more and self.layout == environment.GENERATED:
            raise ValueError(
                f"env {name!r}: layout={self.layout!r} is many mazes, and ViZDoom gets "
                "one. Use maze/generated, or another --env.layout."
            )
        more |= {"num_frames": self.num_frames} if self.num_frames else {}
        return MAZES[which](
            action_repeat=self.action_repeat,
            image_size=self.image_size,
            fields=self.fields,
            reward_scale=self.reward_scale,
            **more,
        )


def check_doom_id(name: str) -> None:
    """Refuses an id that is no maze.

    Raises:
      ValueError: for such an id, or if ViZDoom is not installed.
    """
    which = name.removeprefix("doom/")
    if which not in MAZES:
        raise ValueError(f"env {name!r}: no such maze. Use doom/ and one of {[*MAZES]}.")
    if importlib.util.find_spec("vizdoom") is None:
        raise ValueError(
            f"env {name!r}: ViZDoom is not installed. Run pip install 'tolman[doom]', or "
            f"use maze/{which}, which is the same maze."
        )
