"""What may be observed in a maze: the fields that every engine delivers alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import numpy as np
from annotated_types import Interval, MinLen
from dm_env import specs

from tolman.envs.environment import as_target
from tolman.envs.maze.depth_target import CLASSES_SHAPE, NUM_CLASSES
from tolman.envs.maze.render import FARTHEST

Field = Literal[
    "rgb", "rgbd", "depth", "depth_classes", "pose", "velocity", "respawned", "loop_closure"
]
Fields = Annotated[tuple[Field, ...], MinLen(1)]
ImageSize = Annotated[int, Interval(ge=8, le=1_024)]  # Pixels a side.
INPUTS = ("rgb", "rgbd", "velocity")  # The others are targets: losses read them alone.


def field_specs(
    fields: Sequence[Field], size: int, width: int, height: int
) -> dict[str, specs.Array]:
    """The specs of these fields, in their order; `Maze` says what each of them is.

    Args:
      fields: of an observation.
      size: S, pixels a side.
      width: columns of cells of the maze.
      height: rows of cells.
    """
    every: dict[str, specs.Array] = {
        "rgb": specs.BoundedArray((size, size, 3), np.uint8, 0, 255, "rgb"),
        "rgbd": specs.BoundedArray((size, size, 4), np.uint8, 0, 255, "rgbd"),
        "velocity": specs.BoundedArray((6,), np.float32, -1.0, 1.0, "velocity"),
        "depth": specs.BoundedArray((size, size), np.float32, 0.0, FARTHEST, "depth"),
        "depth_classes": specs.BoundedArray(
            CLASSES_SHAPE, np.uint8, 0, NUM_CLASSES - 1, "depth_classes"
        ),
        "pose": specs.BoundedArray(
            (3,), np.float32, [0.0, 0.0, -np.pi], [width, height, np.pi], "pose"
        ),
        "respawned": specs.BoundedArray((), np.bool_, False, True, "respawned"),
        "loop_closure": specs.BoundedArray((), np.bool_, False, True, "loop_closure"),
    }
    return {
        name: every[name] if name in INPUTS else as_target(every[name]) for name in fields
    }
