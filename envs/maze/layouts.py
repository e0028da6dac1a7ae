"""Tolman's own mazes, and new ones from a seed.

The sizes are those of Mirowski et al. 2016: 5 x 10 and 9 x 15 cells, with thin walls. The
walls are of this project: the paper's are DeepMind Lab's.
"""

from __future__ import annotations

import functools

import numpy as np

from tolman.envs.maze.layout import (
    APPLE,
    GOAL,
    MAX_CELLS,
    STRAWBERRY,
    WALL,
    Layout,
    from_blocks,
)

# Two bars of five cells, a corridor of five between their middles, an alcove at each end:
# 19 cells, six steps from the start to every alcove.
I_MAZE = from_blocks(
    """
G***G
.....
**A**
**A**
**^**
**A**
**A**
.....
G***G
""".replace(".", " ")
)

HELD_OUT = 1_000_000  # Seeds of the mazes that no agent is trained in begin here.


@functools.cache
def named_layouts() -> dict[str, Layout]:
    """The mazes that have a name."""
    return {
        "tiny": draw(11, 3, 4, openness=0.3, num_apples=0, num_strawberries=0),
        "static_1": draw(1, 5, 10, num_apples=4, num_strawberries=1),
        "static_2": draw(2, 9, 15, num_apples=10, num_strawberries=3),
        "random_goal_1": draw(3, 5, 10, num_goals=0),
        "random_goal_2": draw(4, 9, 15, num_goals=0),
        "i_maze": Layout(I_MAZE),
    }


def draw(
    seed: int,
    height: int,
    width: int,
    openness: float = 0.15,
    num_goals: int = 1,
    num_apples: int = 0,
    num_strawberries: int = 0,
) -> Layout:
    """A maze in which ways lead from everywhere to everywhere.

    A depth-first walk from a random cell opens the wall before every cell that it is the
    first to enter; then each of the walls that are left is opened with the same chance, so
    that there are loops.

    Args:
      seed: of all that is drawn; the same maze on every machine.
      height: rows of cells.
      width: columns of cells.
      openness: share of the walls left by the walk that are opened.
      num_goals: marks of goals.
      num_apples: marks of apples.
      num_strawberries: marks of strawberries.

    Raises:
      ValueError: for a size that no maze has, or more marks than cells.
    """
    if not (1 <= height <= MAX_CELLS and 1 <= width <= MAX_CELLS):
        raise ValueError(f"height={height}, width={width}: must be in [1, {MAX_CELLS}].")
    num_marks = num_goals + num_apples + num_strawberries
    if num_marks > height * width:
        raise ValueError(
            f"{num_marks} marks in {height} x {width} cells: must be at most as many. "
            "Ask for fewer, or for a larger maze."
        )
    rng = np.random.default_rng(seed)
    letters = np.full((2 * height + 1, 2 * width + 1), WALL)
    letters[1::2, 1::2] = " "
    _walk(letters, rng)
    left = [
        (row, column)
        for row in range(1, 2 * height)
        for column in range(1, 2 * width)
        if (row + column) % 2 and letters[row, column] == WALL
    ]
    for (row, column), chance in zip(left, rng.random(len(left)), strict=True):
        if chance < openness:
            letters[row, column] = " "
    marks = GOAL * num_goals + APPLE * num_apples + STRAWBERRY * num_strawberries
    cells = rng.choice(height * width, num_marks, replace=False)
    for cell, mark in zip(cells, marks, strict=True):
        row, column = divmod(int(cell), width)
        letters[2 * row + 1, 2 * column + 1] = mark
    return Layout("\n".join("".join(line) for line in letters))


def _walk(letters: np.ndarray, rng: np.random.Generator) -> None:
    """Opens a tree of ways through all cells, in place."""
    height, width = (length // 2 for length in letters.shape)
    seen = np.zeros((height, width), bool)
    row, column = divmod(int(rng.integers(height * width)), width)
    seen[row, column] = True
    path = [(row, column)]
    while path:
        row, column = path[-1]
        ways = [
            (row + down, column + right)
            for down, right in ((0, 1), (1, 0), (0, -1), (-1, 0))
            if 0 <= row + down < height
            and 0 <= column + right < width
            and not seen[row + down, column + right]
        ]
        if not ways:
            path.pop()
            continue
        following = ways[rng.integers(len(ways))]
        letters[row + following[0] + 1, column + following[1] + 1] = " "
        seen[following] = True
        path.append(following)
