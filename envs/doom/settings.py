"""How a maze in ViZDoom is played and seen, and how to get the engine."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass, fields
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Interval

from tolman.envs.maze import Maze, environment
from tolman.envs.maze.fields import Fields, ImageSize
from tolman.envs.spelling import suggest

MAZES = {
    "static_1": environment.static_1,
    "static_2": environment.static_2,
    "random_goal_1": environment.random_goal_1,
    "random_goal_2": environment.random_goal_2,
    "i_maze": environment.i_maze,
    "tiny": environment.tiny,
    "generated": environment.generated,
    "layout": environment.own,
}
GENERATED = ("num_mazes", "split", "height", "width")
# Settings that only some mazes have.
OWN = {"generated": GENERATED, "layout": ("layout", *GENERATED)}


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
      num_mazes: of `doom/generated`, as are the rest: how many there are; one is drawn for
        each episode.
      split: "held_out" has other mazes than any "train" has.
      height: rows of cells.
      width: columns of cells.
    """

    num_frames: Annotated[int, Ge(0)] = 0
    action_repeat: Annotated[int, Ge(1)] = 4
    image_size: ImageSize = 84
    fields: Fields = ("rgb", "velocity")
    reward_scale: Annotated[float, Gt(0)] = 1.0
    layout: str = "static_1"
    num_mazes: Annotated[int, Interval(ge=1, le=1_000)] = 100
    split: Literal["train", "held_out"] = "train"
    height: Annotated[int, Interval(ge=2, le=32)] = 9
    width: Annotated[int, Interval(ge=2, le=32)] = 15

    def maze(self, name: str) -> Maze:
        """The maze of an id, with its task.

        Raises:
          ValueError: for a layout that is none, or a setting that this maze lacks.
        """
        which = name.removeprefix("doom/")
        own = OWN.get(which, ())
        for other in fields(self):
            is_set = getattr(self, other.name) != other.default
            if other.name in OWN["layout"] and other.name not in own and is_set:
                user = "layout" if other.name == "layout" else "generated"
                raise ValueError(
                    f"{other.name}={getattr(self, other.name)!r}: is no setting of {name}. "
                    f"Use doom/{user}, or leave --env.{other.name.replace('_', '-')} out."
                )
        more: dict[str, Any] = {key: getattr(self, key) for key in own}
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
        known = [f"doom/{maze}" for maze in MAZES]
        raise ValueError(
            f"env {name!r}: no such maze{suggest(name, known)}. Use one of "
            f"{', '.join(known)}."
        )
    if importlib.util.find_spec("vizdoom") is None:
        raise ValueError(
            f"env {name!r}: ViZDoom is not installed. Run: uv sync --extra doom, in a "
            "clone, or pip install 'tolman[doom]', where pip installed Tolman. Or use "
            f"maze/{which}, the same maze."
        )
