"""The view from within a maze: a ray for every column, colours and depth for every pixel.

A ray meets each line of the grid once at most, so all meetings are computed at once and
the nearest with a wall is taken: nothing loops along the ray. Textures are bit patterns, so
that no pixel looks anything up; and of the items at most the nearest is drawn in a column.

The camera looks along the heading, at half the height of the walls, 90 degrees wide and
high. Depth is planar: along the heading, in cells. Shapes: R rows and S columns of pixels,
K items. Slopes are tangents of angles: of columns to the right, of rows upwards.
"""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import lax

from tolman.envs.environment import Array
from tolman.envs.maze.layout import Arrays
from tolman.envs.maze.motion import axes
from tolman.envs.maze.task import Pose

EYE = 0.5  # Height of the camera; walls have height 1.
NEAREST = 1e-6  # What is no further ahead is not in front.
FARTHEST = 64.0  # More than the diagonal of the largest maze.
SLACK = 1e-5  # A ray that meets the end of a wall so nearly meets the wall.
NUM_TEXTURES = 8
# Of goal, apple, strawberry: radius, height of the middle, colour.
ITEM_RADIUS = np.array([0.24, 0.12, 0.12], np.float32)
ITEM_HEIGHT = np.array([0.3, 0.25, 0.25], np.float32)


def _packed(colours: np.ndarray) -> np.ndarray:
    """`[..., 3]` bytes to uint32, red in the lowest byte."""
    return (np.asarray(colours).astype(np.uint32) << np.array([0, 8, 16], np.uint32)).sum(
        -1, dtype=np.uint32
    )


def _textures() -> tuple[np.ndarray, np.ndarray]:
    """Patterns `[T, 8]`, a byte a column, and packed colours `[2, T, 2]` by direction."""
    rng = np.random.default_rng(7)
    patterns = rng.integers(0, 256, (NUM_TEXTURES, 8), dtype=np.uint32)
    colours = rng.integers(40, 256, (NUM_TEXTURES, 2, 3))
    return patterns, _packed(np.stack([colours, colours * 3 // 4]))


PATTERNS, WALL_COLOURS = _textures()
FLOOR_COLOURS = _packed(np.array([[96, 96, 96], [128, 128, 128]]))
CEILING_COLOUR = _packed(np.array([60, 80, 130]))
ITEM_COLOURS = _packed(np.array([[40, 230, 60], [230, 30, 30], [250, 80, 200]]))


class View(NamedTuple):
    """Where pixels look.

    Attributes:
      rows: `[R]` slopes, upwards.
      columns: `[S]` slopes, to the right.
    """

    rows: np.ndarray
    columns: np.ndarray


class Items(NamedTuple):
    """What stands in the maze.

    Attributes:
      position: `[K, 2]`.
      kind: `[K]`, see `task.py`; constant.
      is_there: `[K]` bool.
    """

    position: Array
    kind: np.ndarray
    is_there: Array


class Columns(NamedTuple):
    """What is seen in each column, `[S]` each.

    Attributes:
      wall: depth of the nearest wall.
      pattern: uint32, a bit for each eighth of the wall's height, from below.
      colours: `[2, S]` uint32, where the bit is 0 and 1.
      item: depth of the nearest item in front of the wall.
      item_middle: slope of the item's middle.
      item_half: slope from there to its upper end here; negative where there is none.
      item_colour: uint32.
      direction: `[2, S]`, of the ray for a depth of 1.
    """

    wall: Array
    pattern: Array
    colours: Array
    item: Array
    item_middle: Array
    item_half: Array
    item_colour: Array
    direction: Array


def full_view(height: int, width: int) -> View:
    """Of an image of so many pixels; none looks exactly to the horizon."""
    rows = 1.0 - 2.0 * (np.arange(height) + 0.5) / height
    # The middle row of an odd number: floor and ceiling would be infinitely far there.
    rows = np.where(np.abs(rows) < 1e-6, 0.25 / height, rows)
    columns = 2.0 * (np.arange(width) + 0.5) / width - 1.0
    return View(rows.astype(np.float32), columns.astype(np.float32))


def look(arrays: Arrays, pose: Pose, items: Items, view: View) -> Columns:
    """Casts the rays; see `colours` and `depth` for what comes of them.

    Args:
      arrays: of one maze.
      pose: of the camera.
      items: in the maze.
      view: only its columns count.
    """
    along, across = axes(pose.heading)
    direction = along[:, None] + across[:, None] * view.columns  # [2, S]
    x, y = pose.position[0], pose.position[1]
    east_west, south_north = direction[0], direction[1]
    to_vertical = _meet(jnp.asarray(arrays.vertical), x, y, east_west, south_north)
    to_horizontal = _meet(jnp.asarray(arrays.horizontal), y, x, south_north, east_west)
    is_vertical = to_vertical < to_horizontal
    wall = jnp.minimum(jnp.minimum(to_vertical, to_horizontal), FARTHEST)

    met_x, met_y = x + wall * east_west, y + wall * south_north
    line = jnp.round(jnp.where(is_vertical, met_x, met_y))
    place = jnp.where(is_vertical, met_y, met_x)
    cell = jnp.floor(place)
    # Neighbouring walls differ; which of the eight is a matter of arithmetic alone.
    texture = (line * 3 + cell * 5 + is_vertical * 2).astype(jnp.int32) % NUM_TEXTURES
    eighth = jnp.clip((place - cell) * 8, 0, 7).astype(jnp.int32)
    pattern = jnp.asarray(PATTERNS)[texture, eighth]
    pair = jnp.asarray(WALL_COLOURS)[is_vertical.astype(jnp.int32), texture]  # [S, 2]
    item, middle, half, colour = _nearest_item(items, pose, along, across, view, wall)
    return Columns(wall, pattern, pair.T, item, middle, half, colour, direction)


def colours(columns: Columns, pose: Pose, view: View) -> Array:
    """`[R, S, 3]` uint8, red, green and blue."""
    up = jnp.asarray(view.rows)[:, None]  # [R, 1]
    height = EYE + up * columns.wall  # [R, S], where the ray meets the wall.
    eighth = jnp.clip(height * 8, 0, 7).astype(jnp.uint32)
    is_second = (columns.pattern >> eighth) & 1 == 1
    wall = jnp.where(is_second, columns.colours[1], columns.colours[0])
    ground = _ground_depth(view)[:, None]  # [R, 1]
    tile = [
        jnp.floor(2 * (pose.position[axis] + ground * columns.direction[axis])).astype(
            jnp.int32
        )
        for axis in (0, 1)
    ]
    floor = jnp.where((tile[0] + tile[1]) & 1 == 1, FLOOR_COLOURS[1], FLOOR_COLOURS[0])
    behind = jnp.where(up > 0, CEILING_COLOUR, floor)
    pixel = jnp.where(columns.wall <= ground, wall, behind)
    pixel = jnp.where(_is_item(columns, view), columns.item_colour, pixel)
    return lax.bitcast_convert_type(pixel, jnp.uint8)[..., :3]


def depth(columns: Columns, view: View) -> Array:
    """`[R, S]` float32, in cells: of the item, wall, floor or ceiling that is seen."""
    behind = jnp.minimum(columns.wall, _ground_depth(view)[:, None])
    return jnp.where(_is_item(columns, view), columns.item, behind)


def _ground_depth(view: View) -> Array:
    """`[R]`, of the floor or the ceiling; both are `EYE` away from the camera."""
    return EYE / jnp.abs(jnp.asarray(view.rows))


def _meet(walls: Array, start: Array, side: Array, speed: Array, drift: Array) -> Array:
    """`[S]`, depth at which rays meet the nearest wall on the lines across them.

    Args:
      walls: `[N]` uint32, of each line.
      start: `[]`, coordinate across the lines.
      side: `[]`, coordinate along the lines.
      speed: `[S]`, of the rays across the lines.
      drift: `[S]`, along them.
    """
    speed = jnp.where(jnp.abs(speed) < 1e-9, 1e-9, speed)
    lines = jnp.arange(len(walls), dtype=jnp.float32)[:, None]  # [N, 1]
    reached = (lines - start) / speed  # [N, S]
    place = side + reached * drift
    # Beyond the edge a bit of some cell is read; the wall of the edge was met before.
    low = jnp.clip(jnp.floor(place - SLACK), 0, 31).astype(jnp.uint32)
    high = jnp.clip(jnp.floor(place + SLACK), 0, 31).astype(jnp.uint32)
    is_wall = ((walls[:, None] >> low) | (walls[:, None] >> high)) & 1 == 1
    return jnp.min(jnp.where(is_wall & (reached > NEAREST), reached, jnp.inf), axis=0)


def _nearest_item(
    items: Items, pose: Pose, along: Array, across: Array, view: View, wall: Array
) -> tuple[Array, Array, Array, Array]:
    """Depth, slopes of middle and half height, and colour, `[S]` each."""
    offset = items.position - pose.position  # [K, 2]
    ahead, right = offset @ along, offset @ across  # [K]
    radius = jnp.asarray(ITEM_RADIUS)[items.kind]
    off_middle: Array = view.columns * ahead[:, None] - right[:, None]  # [K, S]
    rest = jnp.square(radius)[:, None] - jnp.square(off_middle)
    is_seen = items.is_there[:, None] & (rest > 0) & (ahead[:, None] > NEAREST)
    is_seen &= ahead[:, None] < wall
    depth = jnp.where(is_seen, ahead[:, None], jnp.inf)  # [K, S]
    nearest = jnp.min(depth, axis=0)
    is_nearest = (depth == nearest) & is_seen

    def of_nearest(values: Array) -> Array:
        return jnp.max(jnp.where(is_nearest, values, 0), axis=0)

    distance = jnp.maximum(jnp.where(jnp.isinf(nearest), 1.0, nearest), NEAREST)
    height = of_nearest(jnp.asarray(ITEM_HEIGHT)[items.kind][:, None])
    half = jnp.sqrt(of_nearest(rest)) / distance
    half = jnp.where(jnp.isinf(nearest), -1.0, half)
    colour = of_nearest(jnp.asarray(ITEM_COLOURS)[items.kind][:, None])
    return distance, (height - EYE) / distance, half, colour


def _is_item(columns: Columns, view: View) -> Array:
    """`[R, S]` bool."""
    up = jnp.asarray(view.rows)[:, None]
    return jnp.abs(up - columns.item_middle) < columns.item_half
