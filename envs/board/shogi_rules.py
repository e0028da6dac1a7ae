"""Legal moves of shogi by pgx in AlphaZero's numbers, and rules that pgx lacks."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from tolman.envs.board.game import Array
from tolman.envs.board.shogi_moves import SIZE, shogi_move_table

NUM_SQUARES = SIZE * SIZE
# The number that pgx gives each of DIRECTIONS, then the jumps to left and right.
PGX_DIRECTIONS = np.array([0, 2, 4, 7, 5, 6, 3, 1])
PGX_JUMPS = np.array([8, 9])
NUM_PGX_DIRECTIONS = 10
PAWN_DROP = 2 * NUM_PGX_DIRECTIONS
ZONE = 3  # Ranks of the promotion zone.
NUM_KINDS = 14
KING = 7
MAJORS = (4, 5, 12, 13)  # Bishop and rook, horse and dragon.
NEEDED_IN_ZONE, NEEDED_POINTS = 10, 27  # One point more for Black.


def legal(state: Any, pgx_legal: Array) -> Array:
    """`[A]` bool: the legal moves in AlphaZero's numbers.

    Args:
      state: pgx's GameState.
      pgx_legal: `[2187]` bool, what pgx says of it.
    """
    rules = pgx_rules()
    table = shogi_move_table()
    pgx_legal = _without_pawn_mate(state, pgx_legal)
    moves = jnp.arange(NUM_PGX_DIRECTIONS * NUM_SQUARES)
    origins = jax.vmap(lambda label: rules.Action._from_dlshogi_action(state, label).from_)
    # pgx tells a move by where it ends and from which side; that is one square at most.
    origin_of_label = origins(moves)
    label, origin = jnp.asarray(labels()), jnp.asarray(_pgx_square(table.origin))
    plain_label = label % moves.shape[0]
    starts_there = (origin_of_label[plain_label] == origin) | (table.dropped >= 0)
    return pgx_legal[label] & starts_there & (table.target >= 0)


@functools.cache
def labels() -> np.ndarray:
    """`[A]`: pgx's number of each action; 0 for one that leaves the board."""
    table = shogi_move_table()
    directions = np.concatenate([np.repeat(PGX_DIRECTIONS, SIZE - 1), PGX_JUMPS])
    direction = directions[table.way] + NUM_PGX_DIRECTIONS * table.promotes
    direction = np.where(table.dropped >= 0, PAWN_DROP + table.dropped, direction)
    numbers = direction * NUM_SQUARES + _pgx_square(table.target)
    return np.where(table.target >= 0, numbers, 0).astype(np.int32)


def is_in_check(state: Any) -> Array:
    """`[]` bool: whether the player to move is in check."""
    rules = pgx_rules()
    return rules._is_checked(rules._set_cache(state))


def can_declare(state: Any, in_check: Array) -> Array:
    """`[]` bool: whether the player to move may declare a win.

    The king stands in the zone and not in check, with at least ten other pieces of its
    side; these and the pieces in hand are worth 28 points or more for Black, 27 for White:
    five for each rook and bishop, promoted or not, one for any other.

    Source: rules of the World Computer Shogi Championship, article 25, declaration.
    """
    board = state.board.reshape(SIZE, SIZE)[:, :ZONE]  # Files, ranks from the far one.
    kinds = jnp.arange(NUM_KINDS)
    worth = jnp.where(np.isin(np.arange(NUM_KINDS), MAJORS), 5, 1)
    num_of_kind = (board.ravel()[:, None] == kinds).sum(axis=0)
    num_others = num_of_kind.at[KING].set(0)
    hand = state.hand[0]
    points = (num_others * worth).sum() + (hand * worth[: hand.shape[0]]).sum()
    needed = jnp.where(state.color == 0, NEEDED_POINTS + 1, NEEDED_POINTS)
    has_entered = num_of_kind[KING] > 0
    enough = (num_others.sum() >= NEEDED_IN_ZONE) & (points >= needed)
    return has_entered & enough & ~in_check


def _without_pawn_mate(state: Any, pgx_legal: Array) -> Array:
    """`pgx_legal` without the pawn's drop that mates, at the edge of the board too.

    pgx takes a square beyond the edge for one to which the king can escape.
    """
    rules = pgx_rules()
    king = jnp.argmin(jnp.abs(state.board - rules.OPP_KING))
    target = king + 1
    dropped = state._replace(board=state.board.at[target].set(rules.PAWN))
    theirs = rules._set_cache(rules._flip(dropped))
    pawn, home = NUM_SQUARES - 1 - target, NUM_SQUARES - 1 - king
    can_move = functools.partial(rules._is_legal_move_wo_pro, state=theirs)
    takers, squares = rules.CAN_MOVE_ANY[pawn], rules.AROUND_IX[home]
    is_taken = jax.vmap(lambda origin: can_move(origin, pawn))(takers) & (takers >= 0)
    escapes = jax.vmap(lambda square: can_move(home, square))(squares) & (squares >= 0)
    is_mate = ~(is_taken.any() | escapes.any())
    # Elsewhere than in front of a king that has a square there, `target` means nothing.
    label = jnp.where(king % SIZE < SIZE - 1, PAWN_DROP * NUM_SQUARES + target, -1)
    is_the_drop = jnp.arange(pgx_legal.shape[0]) == label
    return pgx_legal & ~(is_the_drop & is_mate)


def _pgx_square(square: np.ndarray) -> np.ndarray:
    return (SIZE - 1 - square % SIZE) * SIZE + square // SIZE


@functools.cache
def pgx_rules() -> Any:
    """The rules of pgx, which compute tables as they are imported."""
    with jax.ensure_compile_time_eval():
        from pgx._src.games import shogi

    return shogi
