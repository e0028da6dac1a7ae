"""The text of a maze, and the arrays that engines and tasks read from it.

A maze of H rows and W columns of cells is a text of `2 H + 1` lines of `2 W + 1`
characters. Cells stand at odd lines and columns; what stands between two of them is a thin
wall where it is `*`. A cell that is `*` itself is a block of wall. Other letters are marks
of a cell:

    G  goal, or one of the places that it is drawn from
    A  apple          S  strawberry
    P  start          ^ > v <  start, with that heading

Lengths are in cells: x to the right of the text, y down. A heading is in radians, 0 along x
and growing towards y, so clockwise on the page.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

WALL = "*"
GOAL, APPLE, STRAWBERRY, START = "G", "A", "S", "P"
HEADINGS = {">": 0.0, "v": math.pi / 2, "<": math.pi, "^": -math.pi / 2}
MAX_CELLS = 32  # A side: the walls along a grid line are the bits of a uint32.
UNREACHABLE = np.iinfo(np.int16).max
# Bits of `Arrays.faces`: walls of a cell to the west, east, north and south of it, and
# walls that end in its corners.
WEST, EAST, NORTH, SOUTH, NORTH_WEST, NORTH_EAST, SOUTH_WEST, SOUTH_EAST = range(8)


class Arrays(NamedTuple):
    """What engines and tasks know of a maze; C = H W cells, cell `W j + i` in row j.

    Attributes:
      vertical: `[W + 1]` uint32; bit j of entry i is a wall on the line x = i in row j.
      horizontal: `[H + 1]` uint32; bit i of entry j is a wall on the line y = j in
        column i.
      faces: `[C]` uint8, what a body in the cell may touch; see `WEST` and the others.
      is_open: `[C]` bool: no block.
      distance: `[C, C]` int16, steps from cell to cell; `UNREACHABLE` where no way leads.
    """

    vertical: np.ndarray
    horizontal: np.ndarray
    faces: np.ndarray
    is_open: np.ndarray
    distance: np.ndarray


@dataclass(frozen=True)
class Layout:
    """One maze. Equal texts are equal mazes.

    Attributes:
      text: see the module.
    """

    text: str

    @functools.cached_property
    def lines(self) -> tuple[str, ...]:
        """Of the text, without the ones that are empty at its ends."""
        return tuple(self.text.strip("\n").split("\n"))

    @property
    def height(self) -> int:
        """H, rows of cells."""
        return len(self.lines) // 2

    @property
    def width(self) -> int:
        """W, columns of cells."""
        return len(self.lines[0]) // 2

    def marked(self, mark: str) -> tuple[int, ...]:
        """The cells with a mark, in order."""
        return tuple(
            self.width * row + column
            for row, line in enumerate(self.lines[1::2])
            for column, letter in enumerate(line[1::2])
            if letter == mark
        )

    @functools.cached_property
    def starts(self) -> tuple[tuple[int, float | None], ...]:
        """The marked starts: cell, and heading or None for any; empty for any cell."""
        starts: list[tuple[int, float | None]] = [
            (cell, None) for cell in self.marked(START)
        ]
        for mark, heading in HEADINGS.items():
            starts += [(cell, heading) for cell in self.marked(mark)]
        return tuple(sorted(starts, key=lambda start: start[0]))

    @functools.cached_property
    def marks(self) -> tuple[int, ...]:
        """The cells with any mark: goals, starts, fruit."""
        starts = tuple(cell for cell, _ in self.starts)
        return self.marked(GOAL) + starts + self.marked(APPLE) + self.marked(STRAWBERRY)

    @functools.cached_property
    def within_reach(self) -> np.ndarray:
        """`[C]` bool, the open cells that ways lead to from the marks, or from any."""
        first = self.marks[0] if self.marks else int(np.argmax(self.arrays.is_open))
        return self.arrays.distance[first] < UNREACHABLE

    @functools.cached_property
    def arrays(self) -> Arrays:
        """Of the maze, in NumPy."""
        height, width = self.height, self.width
        solid = np.array([[letter == WALL for letter in line] for line in self.lines])
        is_block = solid[1::2, 1::2]  # [H, W]
        vertical, horizontal = solid[1::2, 0::2].copy(), solid[0::2, 1::2].copy()
        vertical[:, :-1] |= is_block  # [H, W + 1]
        vertical[:, 1:] |= is_block
        horizontal[:-1] |= is_block  # [H + 1, W]
        horizontal[1:] |= is_block
        ends = np.zeros((height + 1, width + 1), bool)  # Of some wall.
        ends[:-1] |= vertical
        ends[1:] |= vertical
        ends[:, :-1] |= horizontal
        ends[:, 1:] |= horizontal
        faces = [
            vertical[:, :-1], vertical[:, 1:], horizontal[:-1], horizontal[1:],
            ends[:-1, :-1], ends[:-1, 1:], ends[1:, :-1], ends[1:, 1:],
        ]  # fmt: skip
        return Arrays(
            vertical=_bits(vertical.T),
            horizontal=_bits(horizontal),
            faces=_bits(np.stack(faces, axis=-1)).astype(np.uint8).reshape(-1),
            is_open=~is_block.reshape(-1),
            distance=_distances(vertical, horizontal, is_block),
        )


def make_layout(text: str, name: str = "layout") -> Layout:
    """Reads a maze and checks it.

    Raises:
      ValueError: for the first thing that is wrong with it, in one line.
    """
    layout = Layout(text)
    for problem in _problems(layout):
        raise ValueError(f"maze {name!r}: {problem}")
    return layout


def from_blocks(text: str) -> str:
    """The text of a maze in which every character stood for a cell of its own."""
    rows = text.strip("\n").split("\n")
    width = 2 * len(rows[0]) + 1
    lines = [WALL * width]
    for row in rows:
        lines.append(WALL + " ".join(row) + WALL)
        lines.append(" " * width)
    lines[-1] = WALL * width
    closed = [WALL + line[1:-1] + WALL for line in lines]
    return "\n".join(closed)


def _problems(layout: Layout) -> Iterator[str]:
    lines = layout.lines
    if not any(lines):
        yield "the text is empty. Draw at least one cell between walls."
        return
    for number, line in enumerate(lines, start=1):
        if len(line) != len(lines[0]):
            yield (
                f"line {number} has {len(line)} characters and line 1 has {len(lines[0])}, "
                "blanks included. All must be equally long."
            )
            return
    if len(lines) % 2 == 0 or len(lines[0]) % 2 == 0 or min(len(lines), len(lines[0])) < 3:
        yield (
            f"{len(lines)} lines of {len(lines[0])} characters. Both must be odd and at "
            "least 3: cells stand at odd places, walls between them."
        )
        return
    if max(layout.height, layout.width) > MAX_CELLS:
        yield (
            f"{layout.height} rows and {layout.width} columns of cells. There may be "
            f"{MAX_CELLS} of each."
        )
        return
    edge = lines[0] + lines[-1] + "".join(line[0] + line[-1] for line in lines)
    if set(edge) != {WALL}:
        yield (
            f"the outer edge has {sorted(set(edge) - {WALL})}. Close it with {WALL!r} all "
            "around."
        )
    known = {WALL, " ", GOAL, APPLE, STRAWBERRY, START, *HEADINGS}
    cells = {letter for line in lines[1::2] for letter in line[1::2]}
    if cells - known:
        yield f"marks {sorted(cells - known)} are unknown. Use {sorted(known)}."
    between = {letter for line in lines[::2] for letter in line}
    between |= {letter for line in lines[1::2] for letter in line[::2]}
    if between - {WALL, " "}:
        yield (
            f"{sorted(between - {WALL, ' '})} between cells. Marks stand at odd lines and "
            "columns."
        )
    if cells == {WALL}:
        yield "no cell is open."
        return
    yield from _unreachable(layout)


def _unreachable(layout: Layout) -> Iterator[str]:
    """Marks must be within reach of one another; where none is, all cells must be.

    Cells that are shut in from the marks are no places to be at.
    """
    for cell in layout.marks:
        if not layout.within_reach[cell]:
            row, column = divmod(cell, layout.width)
            yield (
                f"no way leads to the mark {layout.lines[2 * row + 1][2 * column + 1]!r} "
                f"in row {row}, column {column}. Open a wall."
            )
    if not layout.marks and (layout.arrays.is_open & ~layout.within_reach).any():
        yield "its open cells are in several parts. Join them, or mark where to be."


def _bits(is_set: np.ndarray) -> np.ndarray:
    """`[..., N]` bool to uint32, entry n in bit n."""
    weights = np.uint32(1) << np.arange(is_set.shape[-1], dtype=np.uint32)
    return (is_set * weights).sum(-1, dtype=np.uint32)


def _distances(
    vertical: np.ndarray, horizontal: np.ndarray, is_block: np.ndarray
) -> np.ndarray:
    """`[C, C]` by breadth-first search from all open cells at once, a step a turn."""
    cells = is_block.size
    reached = np.zeros((cells, cells), bool)  # From each start.
    np.fill_diagonal(reached, ~is_block.reshape(-1))
    distance = np.where(reached, 0, UNREACHABLE).astype(np.int16)
    ahead = reached.reshape(cells, *is_block.shape)  # The cells of the last step.
    east, south = ~vertical[:, 1:-1], ~horizontal[1:-1]  # Ways that are open.
    for step in itertools.count(1):
        near = np.zeros_like(ahead)
        near[:, :, 1:] |= ahead[:, :, :-1] & east
        near[:, :, :-1] |= ahead[:, :, 1:] & east
        near[:, 1:] |= ahead[:, :-1] & south
        near[:, :-1] |= ahead[:, 1:] & south
        ahead = near & ~reached.reshape(near.shape)
        if not ahead.any():
            break
        distance[ahead.reshape(cells, cells)] = step
        reached = reached | ahead.reshape(cells, cells)
    return distance
