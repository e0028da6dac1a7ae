"""What chess and the small chess share: planes, repetition, the numbers of pgx.

pgx numbers the squares file by file from the mover's first rank. Boards in a history are
kept as White sees them, with White's pieces above 0.

Shapes: n rows, S = n * n squares, H kept boards, A actions.
"""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from tolman.envs.board import packing
from tolman.envs.board.chess_moves import move_table
from tolman.envs.board.game import Array

NUM_HISTORY = 8
NUM_PIECES = 6  # Pawn, knight, bishop, rook, queen, king; Black's are negative.
BISHOP = 3
MAX_QUIET_MOVES = 100  # Plies without a capture or a pawn's move: fifty moves each.
KEY_WORDS = 2


def turned(board: Array, is_black: Array) -> Array:
    """Between White's view and the mover's; `[..., S]`."""
    size = round(board.shape[-1] ** 0.5)
    grid = board.reshape(*board.shape[:-1], size, size)
    flipped = -grid[..., ::-1].reshape(board.shape)
    return jnp.where(is_black, flipped, board)


def history_planes(boards: Array, repeats: Array, is_black: Array, more: Array) -> Array:
    """The planes of the last H positions, seen from the side of the player to move.

    Of each position: 6 of the mover's pieces, 6 of the other's, then whether it had been
    there once before, and twice. All 0 before the game began. Last, full planes.

    Args:
      boards: `[H, S]` int8, the newest first, as White sees them; 0 before the start.
      repeats: `[H]` int8, how often each had been there before.
      is_black: `[]` bool.
      more: `[L]`, each the number of a full plane.

    Returns:
      `[n, n, H * 14 + L]` float32.
    """
    num_history, num_squares = boards.shape
    size = round(num_squares**0.5)
    seen = turned(boards, is_black).reshape(num_history, size, size)
    seen = jnp.swapaxes(seen, 1, 2)[:, ::-1]  # [H, row from the far rank, file]
    pieces = jnp.arange(1, NUM_PIECES + 1, dtype=jnp.int8)
    codes = jnp.concatenate([pieces, -pieces])
    planes = seen[..., None] == codes  # [H, n, n, 12]
    repeated = repeats[:, None] >= jnp.arange(1, 3)  # [H, 2]
    repeated = jnp.broadcast_to(repeated[:, None, None], (num_history, size, size, 2))
    stacked = jnp.concatenate([planes, repeated], axis=-1)
    stacked = jnp.moveaxis(stacked, 0, 2).reshape(size, size, -1)
    full = jnp.broadcast_to(more, (size, size, *more.shape))
    return jnp.concatenate([stacked, full], axis=-1).astype(jnp.float32)


def board_key(table: np.ndarray, board: Array) -> Array:
    """`[KEY_WORDS]` of a board as the mover sees it; `table` `[S, 13, KEY_WORDS]`."""
    squares = jnp.arange(board.shape[0])
    return packing.combined(jnp.asarray(table)[squares, board + NUM_PIECES])


def is_material_dead(board: Array) -> Array:
    """Whether no sequence of moves could give mate, by the material alone.

    That is: bare kings, one knight, or bishops that all stand on one colour.
    """
    size = round(board.shape[0] ** 0.5)
    kinds = jnp.abs(board)
    num_others = (kinds > 0).sum() - 2
    is_bishop = kinds == BISHOP
    colours = np.add.outer(np.arange(size), np.arange(size)).ravel() % 2
    num_bishops = is_bishop.sum()
    num_on_light = (is_bishop & (colours == 1)).sum()
    on_one_colour = (num_on_light == 0) | (num_on_light == num_bishops)
    is_one_knight = (num_others == 1) & (kinds == 2).any()
    return is_one_knight | ((num_others == num_bishops) & on_one_colour)


def pgx_labels(size: int, plane_of_move: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The number that pgx gives each action, and which actions stay on the board.

    Args:
      size: n.
      plane_of_move: `[S, S]`, pgx's plane from a square to another, in its squares.

    Returns:
      `[A]` int32 and `[A]` bool.
    """
    table = move_table(size)
    num_planes = table.origin.shape[0] // (size * size)
    is_move = table.target >= 0
    origin = _pgx_square(table.origin, size)
    target = _pgx_square(np.maximum(table.target, 0), size)
    aside = table.target % size - table.origin % size
    pieces = np.array([0, 2, 1, 0])[table.promotion]  # pgx: rook, bishop, knight.
    under = pieces * 3 + np.where(aside == 0, 0, np.where(aside > 0, 1, 2))
    planes = np.where(table.promotion > 0, under, plane_of_move[origin, target])
    labels = np.where(is_move, origin * num_planes + planes, 0)
    return labels.astype(np.int32), is_move


def _pgx_square(square: np.ndarray, size: int) -> np.ndarray:
    return square % size * size + size - 1 - square // size
