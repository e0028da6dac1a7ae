"""Mazes by the hunt-and-kill algorithm, one random walk after the other.

A maze of n by n cells is a grid of `2 n + 1` squares a side. Cells stand at odd rows and
columns; the square between two of them is open where a walk went from one to the other.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from tolman.envs.environment import Array

NORTH, SOUTH, WEST, EAST = range(4)
STEPS = np.array([[-1, 0], [1, 0], [0, -1], [0, 1]], np.int32)  # Rows and columns.


class _Walk(NamedTuple):
    """Attributes:
    is_open: `[2 n + 1, 2 n + 1]` bool.
    cell: `[2]` int32, the square of the cell that the walk is at.
    num_hunts: `[]` int32, ended walks.
    time: `[]` int32, entries of the random numbers that are used up.
    """

    is_open: Array
    cell: Array
    num_hunts: Array
    time: Array


def carve(key: Array, num_cells: int) -> Array:
    """`[2 n + 1, 2 n + 1]` bool, the open squares of a maze of n by n cells.

    A walk begins at a random cell and goes on to random neighbours that are not yet in the
    maze, until there are none. Then the hunt draws any cell at all, and from one in the
    maze the next walk begins. After as many hunts as there are squares it is over, whether
    or not all cells are in the maze by then; those that are not stay closed.

    Args:
      key: of the chance.
      num_cells: n.
    """
    side = 2 * num_cells + 1
    max_num_hunts = side**2
    max_num_steps = max_num_hunts + num_cells**2
    cell_key, way_key = jax.random.split(key)
    # A number for every step: cells of the hunts, and ways among the free neighbours.
    cells = 2 * jax.random.randint(cell_key, (max_num_steps + 1, 2), 0, num_cells) + 1
    luck = jax.random.uniform(way_key, (max_num_steps + 1, 4))

    def goes_on(walk: _Walk) -> Array:
        is_whole = walk.is_open[1::2, 1::2].all()
        return ~is_whole & (walk.num_hunts <= max_num_hunts)

    def step(walk: _Walk) -> _Walk:
        steps = jnp.asarray(STEPS)
        neighbours = walk.cell + 2 * steps  # [4, 2]
        is_inside = ((neighbours > 0) & (neighbours < side)).all(-1)
        rows, columns = jnp.clip(neighbours, 0, side - 1).T
        is_free = is_inside & ~walk.is_open[rows, columns]
        is_free &= walk.is_open[walk.cell[0], walk.cell[1]]
        # The largest of independent numbers is at each of the free ones alike.
        way = jnp.argmax(jnp.where(is_free, luck[walk.time], -1.0))
        walks = is_free.any()
        between, onward = walk.cell + steps[way], walk.cell + 2 * steps[way]
        is_open = walk.is_open
        for square in (between, onward):
            square = jnp.where(walks, square, walk.cell)
            was_open = is_open[square[0], square[1]]
            is_open = is_open.at[square[0], square[1]].set(walks | was_open)
        return _Walk(
            is_open=is_open,
            cell=jnp.where(walks, onward, cells[walk.time]),
            num_hunts=walk.num_hunts + ~walks,
            time=walk.time + 1,
        )

    start = cells[-1]
    is_open = jnp.zeros((side, side), bool).at[start[0], start[1]].set(True)
    walk = _Walk(is_open, start, jnp.int32(0), jnp.int32(0))
    return jax.lax.while_loop(goes_on, step, walk).is_open


def draw_entrances(key: Array, num_cells: int) -> tuple[Array, Array]:
    """`[2]` int32 each: squares beside cells, in one outer wall and in the opposite one."""
    side_key, place_key = jax.random.split(key)
    side = jax.random.randint(side_key, (), 0, 4)
    places = 2 * jax.random.randint(place_key, (2,), 0, num_cells) + 1
    last = 2 * num_cells
    start_line = jnp.where((side == SOUTH) | (side == EAST), last, 0)
    lines = jnp.stack([start_line, last - start_line])
    is_row = (side == NORTH) | (side == SOUTH)
    squares = jnp.where(
        is_row, jnp.stack([lines, places], -1), jnp.stack([places, lines], -1)
    )
    return squares[0], squares[1]
