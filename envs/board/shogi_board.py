"""What shogi and the small shogi share: planes and keys.

pgx numbers the squares file by file from the mover's right, each from the far rank. A board
holds 0 for an empty square, 1 to P for the pieces of a side, P + 1 to 2 P for the other's.
Boards and hands in a history are kept as player 0 sees them.

Shapes: R rows, F files, S = R * F squares, H kept positions, P kinds of piece, D kinds of
piece that can be in hand.
"""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from tolman.envs.board import packing
from tolman.envs.board.game import Array

NUM_HISTORY = 8


def turned(board: Array, is_second: Array, num_kinds: int) -> Array:
    """Between player 0's view and the mover's; `[..., S]`."""
    swapped = jnp.where(board > 0, (board - 1 + num_kinds) % (2 * num_kinds) + 1, 0)
    return jnp.where(is_second, swapped[..., ::-1], board)


def turned_hands(hands: Array, is_second: Array) -> Array:
    """The same of `[..., 2, D]`."""
    return jnp.where(is_second, hands[..., ::-1, :], hands)


def history_planes(
    boards: Array,
    hands: Array,
    repeats: Array,
    is_second: Array,
    num_files: int,
    num_kinds: int,
    num_repeats: int,
    most_in_hand: np.ndarray,
    more: Array,
) -> Array:
    """The planes of the last H positions, seen from the side of the player to move.

    Of each position: P of the mover's pieces, P of the other's, one for each time (up to
    `num_repeats`) that it had been there before, D of what the mover has in hand and D of
    the other, as shares of `most_in_hand`. All 0 before the game began. Last, full planes.

    Args:
      boards: `[H, S]`, newest first, as player 0 sees them; 0 before the start.
      hands: `[H, 2, D]`.
      repeats: `[H]`.
      is_second: `[]` bool.
      num_files: F.
      num_kinds: P.
      num_repeats: planes of repetition.
      most_in_hand: `[D]`.
      more: `[L]`, each the number of a full plane.

    Returns:
      `[R, F, H * (2 P + num_repeats + 2 D) + L]` float32.
    """
    num_history = boards.shape[0]
    seen = turned(boards, is_second, num_kinds).reshape(num_history, num_files, -1)
    seen = jnp.swapaxes(seen[:, ::-1], 1, 2)  # [H, R, F from the left]
    pieces = seen[..., None] == jnp.arange(1, 2 * num_kinds + 1, dtype=seen.dtype)
    repeated = repeats[:, None] >= jnp.arange(1, num_repeats + 1)
    held = turned_hands(hands, is_second) / jnp.asarray(most_in_hand, jnp.float32)
    flat = jnp.concatenate(
        [repeated.astype(jnp.float32), held.reshape(num_history, -1)], axis=1
    )
    flat = jnp.broadcast_to(flat[:, None, None], (*seen.shape, flat.shape[1]))
    stacked = jnp.concatenate([pieces.astype(jnp.float32), flat], axis=-1)
    stacked = jnp.moveaxis(stacked, 0, 2).reshape(*seen.shape[1:], -1)
    full = jnp.broadcast_to(more.astype(jnp.float32), (*seen.shape[1:], *more.shape))
    return jnp.concatenate([stacked, full], axis=-1)


def position_key(
    tables: dict[str, np.ndarray], board: Array, hands: Array, is_second: Array
) -> Array:
    """`[W]` uint32: names a position by board, hands and side to move.

    Args:
      tables: "board" `[S, 2 P + 1, W]`, "hands" `[2 * D, most in hand + 1, W]`, "second"
        `[W]`.
      board: `[S]`, as the mover sees it.
      hands: `[2, D]`, the mover's first.
      is_second: `[]` bool.
    """
    flat = hands.ravel()
    squares, kinds = jnp.arange(board.shape[0]), jnp.arange(flat.shape[0])
    key = packing.combined(jnp.asarray(tables["board"])[squares, board])
    key ^= packing.combined(jnp.asarray(tables["hands"])[kinds, flat])
    return key ^ jnp.where(is_second, jnp.asarray(tables["second"]), 0)


def key_tables(
    num_squares: int, num_kinds: int, num_hand: int, most_in_hand: int, num_words: int
) -> dict[str, np.ndarray]:
    """The tables of `position_key`."""
    return {
        "board": packing.random_keys(num_squares, 2 * num_kinds + 1, num_words, seed=5),
        "hands": packing.random_keys(2 * num_hand, most_in_hand + 1, num_words, seed=6),
        "second": packing.random_keys(num_words, seed=7),
    }
