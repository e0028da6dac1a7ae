"""Connect four on bitboards: seven bits a column, the lowest cell first, the top one empty.

`own` holds the stones of the player to move, `mask` all stones.
"""

from __future__ import annotations

import numpy as np

NUM_COLUMNS, NUM_ROWS = 7, 6
HEIGHT_STEP = NUM_ROWS + 1  # Bits from one column to the next.
COLUMN = (1 << NUM_ROWS) - 1  # The cells of column 0.
BOTTOM = sum(1 << (HEIGHT_STEP * column) for column in range(NUM_COLUMNS))
FULL = BOTTOM * COLUMN
COLUMNS = tuple(COLUMN << (HEIGHT_STEP * column) for column in range(NUM_COLUMNS))
# A middle column takes part in more fours, so it is tried first.
ORDER = (3, 2, 4, 1, 5, 0, 6)
# Steps between the cells of a line: rising, falling and level ones.
STEPS = (HEIGHT_STEP, HEIGHT_STEP - 1, HEIGHT_STEP + 1)


def from_planes(planes: np.ndarray) -> tuple[int, int]:
    """`own` and `mask` of planes `[6, 7, 2]`: own stones, then the other's."""
    cells = np.asarray(planes, bool)[::-1].transpose(2, 1, 0)  # From the lowest row.
    padded = np.zeros((2, NUM_COLUMNS, HEIGHT_STEP), bool)
    padded[:, :, :NUM_ROWS] = cells
    own, other = (
        int.from_bytes(np.packbits(stones.ravel(), bitorder="little").tobytes(), "little")
        for stones in padded
    )
    return own, own | other


def play(own: int, mask: int, cell: int) -> tuple[int, int]:
    """Puts a stone on `cell`, a bit, and turns to the other player."""
    return own ^ mask, mask | cell


def next_cells(mask: int) -> int:
    """The lowest empty cell of each column."""
    return (mask + BOTTOM) & FULL


def winning_cells(own: int, mask: int) -> int:
    """The empty cells that complete a four of `own`, within reach or not."""
    cells = (own << 1) & (own << 2) & (own << 3)  # On top of three.
    for step in STEPS:
        pair = (own << step) & (own << (2 * step))
        cells |= pair & (own << (3 * step))
        cells |= pair & (own >> step)
        pair = (own >> step) & (own >> (2 * step))
        cells |= pair & (own << step)
        cells |= pair & (own >> (3 * step))
    return cells & (FULL ^ mask)
