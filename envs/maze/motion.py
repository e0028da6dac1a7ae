"""How a body moves in a maze: eight actions, inertia, and walls of no thickness.

Lengths are in cells, times in frames of 1/60 s; headings as in `layout.py`. The body is a
disk. Its speeds are those of DeepMind Lab, whose cells measure 100 units: 320 units a
second, and 20 pixels of looking, which are about 8.4 degrees, in four frames.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from tolman.envs.environment import Array
from tolman.envs.maze import layout
from tolman.envs.maze.task import Pose

RADIUS = 0.16
FRAMES_PER_SECOND = 60
SPEED = 320 / 100 / FRAMES_PER_SECOND  # Cells a frame.
TURN = math.radians(8.4) / 4  # A frame.
INERTIA = 0.7  # What is left of the difference to the wanted velocity after a frame.
MARGIN = 1e-5  # Above the error of float32 at 32 cells.

# What each action asks for: turning right, going forward, going to the right.
ACTIONS = {
    "turn left": (-1, 0, 0),
    "turn right": (1, 0, 0),
    "forward": (0, 1, 0),
    "backward": (0, -1, 0),
    "left": (0, 0, -1),
    "right": (0, 0, 1),
    "forward and turn left": (-1, 1, 0),
    "forward and turn right": (1, 1, 0),
}
COMMANDS = np.array(list(ACTIONS.values()), np.float32)
# Of a person who plays: the key of each action, in their order.
KEYS = {key: action for action, key in enumerate("adwsqerf")}


class Body(NamedTuple):
    """Attributes:
    pose: where it is.
    velocity: `[2]`, cells a frame along x and y.
    """

    pose: Pose
    velocity: Array


def at_rest(pose: Pose) -> Body:
    """A body that does not move."""
    return Body(pose, jnp.zeros(2))


def move(body: Body, action: Array, faces: Array, width: int) -> Body:
    """One frame.

    The body moves less than its radius in a frame, so that its middle never gets to a wall
    before it is pushed back, and touches at most the walls and the ends of walls around the
    cell that its middle is in.

    Args:
      body: before.
      action: `[]` int32, one of `ACTIONS`.
      faces: `[C]` uint8, see `Arrays.faces`.
      width: W, columns of cells.
    """
    turn, forward, right = jnp.asarray(COMMANDS)[action]
    heading = body.pose.heading + TURN * turn
    heading = jnp.mod(heading + jnp.pi, 2 * jnp.pi) - jnp.pi
    along, across = axes(heading)
    wanted = SPEED * (forward * along + right * across)
    velocity = wanted + INERTIA * (body.velocity - wanted)
    before = body.pose.position
    position = _pushed_back(before + velocity, faces, width)
    return Body(Pose(position, heading), position - before)


def axes(heading: Array) -> tuple[Array, Array]:
    """The directions ahead and to the right, `[2]` each."""
    cosine, sine = jnp.cos(heading), jnp.sin(heading)
    return jnp.stack([cosine, sine]), jnp.stack([-sine, cosine])


def _pushed_back(position: Array, faces: Array, width: int) -> Array:
    """The nearest place at least RADIUS from all walls, and from their ends."""
    corner = jnp.floor(position)  # Of the cell.
    cell = (corner[1] * width + corner[0]).astype(jnp.int32)
    bits = (jnp.asarray(faces)[cell] >> np.arange(8, dtype=np.uint8)) & 1  # [8]
    away, far = RADIUS + MARGIN, 1.0 - RADIUS - MARGIN
    inside = position - corner  # [2], in [0, 1).
    low = jnp.stack([bits[layout.WEST], bits[layout.NORTH]])
    high = jnp.stack([bits[layout.EAST], bits[layout.SOUTH]])
    inside = jnp.where(low == 1, jnp.maximum(inside, away), inside)
    inside = jnp.where(high == 1, jnp.minimum(inside, far), inside)
    # The nearest corner is the only one that can be within the radius.
    side = (inside > 0.5).astype(jnp.float32)
    which = layout.NORTH_WEST + side[0] + 2 * side[1]
    is_end = bits[which.astype(jnp.int32)] == 1
    offset = inside - side
    apart = jnp.sqrt(jnp.maximum(jnp.square(offset).sum(), 1e-12))
    pushed = side + offset * (away / apart)
    inside = jnp.where(is_end & (apart < away), pushed, inside)
    return corner + inside
