"""How a level of DeepMind Lab is played and seen, and how to get the engine."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Interval

from tolman.envs.maze.fields import Fields, ImageSize

OWN_CONFIG = ("width", "height")  # Set by `image_size`.


@dataclass(frozen=True)
class LabSettings:
    """A level as the mazes of `maze/...` are: same actions, same fields, same clock.

    Source: Beattie et al. 2016, "DeepMind Lab"; Mirowski et al. 2016, section 4.

    Attributes:
      num_frames: of an episode at most, 60 a second, where the level does not end it
        before: nav_maze levels last 3,600, 9,000 and 18,000.
      action_repeat: frames a decision.
      image_size: pixels a side.
      fields: of the observation, those of `tolman.envs.maze.Maze`.
      reward_scale: what all rewards are multiplied with.
      width: columns of cells of the level; with `height` the bounds of "pose". nav_maze
        levels have 10 x 5, 15 x 9 and 20 x 13 cells.
      height: rows of cells.
      renderer: "software", or "hardware" by EGL or GLX, as the engine was built.
      config: further settings of the level, such as `mixerSeed=0`.
      level_cache: a folder that keeps generated levels, which take minutes to compile; ""
        for none.
    """

    num_frames: Annotated[int, Ge(1)] = 18_000
    action_repeat: Annotated[int, Ge(1)] = 4
    image_size: ImageSize = 84
    fields: Fields = ("rgb", "velocity")
    reward_scale: Annotated[float, Gt(0)] = 1.0
    width: Annotated[int, Interval(ge=1, le=1000)] = 20
    height: Annotated[int, Interval(ge=1, le=1000)] = 13
    renderer: Literal["software", "hardware"] = "software"
    config: tuple[str, ...] = ()
    level_cache: str = ""

    def setting_problems(self) -> Iterator[tuple[str, str]]:
        for item in self.config:
            key, sign, _ = item.partition("=")
            if not (key and sign):
                yield "config", "KEY=VALUE each"
            elif key in OWN_CONFIG:
                yield "config", f"without {key}, which image_size sets"

    @property
    def num_decisions(self) -> int:
        """Of an episode at most."""
        return -(-self.num_frames // self.action_repeat)

    def lab_config(self) -> dict[str, str]:
        """What the engine is given: strings alone."""
        size = str(self.image_size)
        further = dict(item.split("=", 1) for item in self.config)
        return {"width": size, "height": size, **further}


def check_lab_id(name: str) -> str:
    """What DeepMind Lab calls a level: `nav_maze_static_01` for `lab/nav_maze_static_01`.

    Raises:
      ValueError: if its module is not installed. Which levels there are only it can tell.
    """
    if importlib.util.find_spec("deepmind_lab") is None:
        raise ValueError(
            f"env {name!r}: the module deepmind_lab is not installed, and no package "
            "index has it. Build its wheel from github.com/google-deepmind/lab "
            "(python/pip_package; Python 3.11 at most) and pip install that, or use the "
            "mazes maze/..., which have the same fields."
        )
    return name.removeprefix("lab/")
