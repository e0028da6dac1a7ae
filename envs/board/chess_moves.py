"""Moves of chess as numbers: AlphaZero's 8 x 8 x 73, and 5 x 5 x 49 on the small board.

A move is told by the square it starts from and one of P planes, seen from the side of the
player to move: row 0 is the far rank, and columns are the files from a on, for both
sides. So action = (row * n + column) * P + plane on an n x n board. Planes in order:
8 directions times n - 1 distances, as a queen moves; 8 knight's jumps; 9 promotions to
other than a queen. Castling is the king's move by two; a pawn that reaches the last rank
by a queen's plane becomes a queen.

Source: Silver et al. 2017, "Mastering chess and shogi by self-play", methods,
  representation. Departure: the order of the planes, which the paper leaves open.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np

# North, that is ahead, is a smaller row. (row, column), clockwise from ahead.
DIRECTIONS = ((-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1))
JUMPS = ((-2, 1), (-1, 2), (1, 2), (2, 1), (2, -1), (1, -2), (-1, -2), (-2, -1))
PROMOTIONS = "nbr"
AHEAD = (-1, 0, 1)  # Columns that a promoting pawn goes by.


class MoveTable(NamedTuple):
    """What each action means. Squares are row * n + column.

    Attributes:
      origin: `[A]` int32.
      target: `[A]` int32, -1 where the move leaves the board.
      promotion: `[A]` int32, 0 or 1 + index into PROMOTIONS.
    """

    origin: np.ndarray
    target: np.ndarray
    promotion: np.ndarray


@functools.cache
def move_table(size: int) -> MoveTable:
    """The meaning of all actions on a board of `size` by `size`."""
    origins, targets, promotions = [], [], []
    for origin in range(size * size):
        row, column = divmod(origin, size)
        for row_step, column_step, promotion in _steps(size):
            to_row, to_column = row + row_step, column + column_step
            is_on_board = 0 <= to_row < size and 0 <= to_column < size
            is_on_board &= not promotion or row == 1
            origins.append(origin)
            targets.append(to_row * size + to_column if is_on_board else -1)
            promotions.append(promotion)
    return MoveTable(*(np.array(x, np.int32) for x in (origins, targets, promotions)))


def num_planes(size: int) -> int:
    """P: 73 for 8, 49 for 5."""
    return len(_steps(size))


def _steps(size: int) -> list[tuple[int, int, int]]:
    """Rows, columns and promotion of each plane."""
    queen = [
        (rows * distance, columns * distance, 0)
        for rows, columns in DIRECTIONS
        for distance in range(1, size)
    ]
    knight = [(rows, columns, 0) for rows, columns in JUMPS]
    under = [
        (-1, columns, 1 + piece) for piece in range(len(PROMOTIONS)) for columns in AHEAD
    ]
    return queen + knight + under


@functools.cache
def _numbers(size: int) -> dict[tuple[int, int, int], int]:
    table = move_table(size)
    return {
        (int(origin), int(target), int(promotion)): action
        for action, (origin, target, promotion) in enumerate(zip(*table, strict=True))
        if target >= 0
    }


def uci_to_action(text: str, is_black: bool, size: int = 8) -> int:
    """The action of a move written as in UCI, such as "e2e4" or "b7a8n".

    Raises:
      ValueError: if no piece could ever move so.
    """
    numbers = _numbers(size)
    try:
        origin, target = (_square(text[i : i + 2], is_black, size) for i in (0, 2))
        promotion = {"": 0, "q": 0, "n": 1, "b": 2, "r": 3}[text[4:]]
        return numbers[origin, target, promotion]
    except (KeyError, ValueError, IndexError):
        raise ValueError(
            f"move {text!r}: must be two squares and, where a pawn promotes, one of q, r, "
            "b, n, such as 'e2e4' or 'b7a8n'."
        ) from None


def action_to_uci(action: int, is_black: bool, is_pawn: bool, size: int = 8) -> str:
    """The inverse of `uci_to_action`.

    Args:
      action: a number of `move_table(size)`.
      is_black: whether Black moves.
      is_pawn: whether a pawn moves, so that its arrival on the last rank is written.
      size: n.

    Raises:
      ValueError: if the action leaves the board.
    """
    table = move_table(size)
    origin, target, promotion = (int(column[action]) for column in table)
    if target < 0:
        raise ValueError(f"action {action}: leaves the board. Take a legal one.")
    suffix = PROMOTIONS[promotion - 1] if promotion else ""
    if is_pawn and target < size and not promotion:
        suffix = "q"
    return _name(origin, is_black, size) + _name(target, is_black, size) + suffix


def _square(name: str, is_black: bool, size: int) -> int:
    column, rank = ord(name[0]) - ord("a"), int(name[1]) - 1
    if not (0 <= column < size and 0 <= rank < size):
        raise ValueError(name)
    return (rank if is_black else size - 1 - rank) * size + column


def _name(square: int, is_black: bool, size: int) -> str:
    row, column = divmod(square, size)
    return f"{chr(ord('a') + column)}{(row if is_black else size - 1 - row) + 1}"
