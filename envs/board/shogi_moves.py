"""Moves of shogi as numbers: AlphaZero's 9 x 9 x 139.

Seen from the side of the player to move: row 0 is the far rank, column 0 on the left. A
move is told by the square it starts from, a drop by the square it goes to, and one of 139
planes: action = (row * 9 + column) * 139 + plane. Planes in order: 8 directions times 8
distances; 2 knight's jumps; the same 66 with promotion; 7 drops.

Source: Silver et al. 2017, "Mastering chess and shogi by self-play", methods,
  representation. Departure: the order of the planes, which the paper leaves open.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np

SIZE = 9
# (row, column), clockwise from ahead.
DIRECTIONS = ((-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1))
JUMPS = ((-2, -1), (-2, 1))
DROPPED = "PLNSBRG"
NUM_WAYS = len(DIRECTIONS) * (SIZE - 1) + len(JUMPS)
NUM_PLANES = 2 * NUM_WAYS + len(DROPPED)
NUM_ACTIONS = SIZE * SIZE * NUM_PLANES


class ShogiMoveTable(NamedTuple):
    """What each action means. Squares are row * 9 + column.

    Attributes:
      origin: `[A]` int32, -1 for a drop.
      target: `[A]` int32, -1 where the move leaves the board.
      way: `[A]` int32, the plane of a move without promotion, 0 to 65; -1 for a drop.
      promotes: `[A]` bool.
      dropped: `[A]` int32, an index into DROPPED; -1 for a move.
    """

    origin: np.ndarray
    target: np.ndarray
    way: np.ndarray
    promotes: np.ndarray
    dropped: np.ndarray


@functools.cache
def shogi_move_table() -> ShogiMoveTable:
    """The meaning of all actions."""
    steps = [
        (rows * distance, columns * distance)
        for rows, columns in DIRECTIONS
        for distance in range(1, SIZE)
    ] + list(JUMPS)
    meanings = []
    for square in range(SIZE * SIZE):
        row, column = divmod(square, SIZE)
        for promotes in (False, True):
            for way, (rows, columns) in enumerate(steps):
                to_row, to_column = row + rows, column + columns
                is_on_board = 0 <= to_row < SIZE and 0 <= to_column < SIZE
                is_on_board &= not promotes or min(row, to_row) < 3
                target = to_row * SIZE + to_column if is_on_board else -1
                meanings.append((square, target, way, promotes, -1))
        meanings += [(-1, square, -1, False, piece) for piece in range(len(DROPPED))]
    origin, target, way, promotes, dropped = np.array(meanings, np.int32).T
    return ShogiMoveTable(origin, target, way, promotes.astype(bool), dropped)


@functools.cache
def _numbers() -> dict[tuple[int, int, bool, int], int]:
    table = shogi_move_table()
    meanings = zip(table.origin, table.target, table.promotes, table.dropped, strict=True)
    return {
        (int(origin), int(target), bool(promotes), int(dropped)): action
        for action, (origin, target, promotes, dropped) in enumerate(meanings)
        if target >= 0
    }


def usi_to_action(text: str, is_white: bool) -> int:
    """The action of a move written as in USI: "7g7f", "8h2b+" or "P*5e".

    Args:
      text: the move.
      is_white: whether White, who moves second, plays it.

    Raises:
      ValueError: if no piece could ever move so.
    """
    try:
        target = _square(text[2:4], is_white)
        if text[1] == "*":
            if text[4:]:
                raise ValueError(text)
            return _numbers()[-1, target, False, DROPPED.index(text[0])]
        promotes = {"": False, "+": True}[text[4:]]
        return _numbers()[_square(text[:2], is_white), target, promotes, -1]
    except (KeyError, ValueError, IndexError):
        raise ValueError(
            f"move {text!r}: must be two squares, with + to promote, or a drop, such as "
            "'7g7f', '8h2b+' or 'P*5e'."
        ) from None


def action_to_usi(action: int, is_white: bool) -> str:
    """The inverse of `usi_to_action`.

    Raises:
      ValueError: if the action leaves the board.
    """
    table = shogi_move_table()
    origin, target, _, promotes, dropped = (int(column[action]) for column in table)
    if target < 0:
        raise ValueError(f"action {action}: leaves the board. Take a legal one.")
    if dropped >= 0:
        return f"{DROPPED[dropped]}*{_name(target, is_white)}"
    suffix = "+" if promotes else ""
    return _name(origin, is_white) + _name(target, is_white) + suffix


def _square(name: str, is_white: bool) -> int:
    row, column = ord(name[1]) - ord("a"), SIZE - int(name[0])
    if not (0 <= row < SIZE and 0 <= column < SIZE):
        raise ValueError(name)
    square = row * SIZE + column
    return SIZE * SIZE - 1 - square if is_white else square


def _name(square: int, is_white: bool) -> str:
    row, column = divmod(SIZE * SIZE - 1 - square if is_white else square, SIZE)
    return f"{SIZE - column}{chr(ord('a') + row)}"
