"""Positions of chess as text, in Forsyth-Edwards notation."""

from __future__ import annotations

import re

import jax.numpy as jnp
import numpy as np

from tolman.envs.board.castling import standard_castling
from tolman.envs.board.chess import SIZE, Chess, pgx_rules, start_at
from tolman.envs.board.game import Array
from tolman.envs.board.position import Position

PIECES = "pnbrqk"
NO_MOVES = ("0", "1")


def chess_from_fen(game: Chess, fen: str) -> Position:
    """The position that a FEN tells, with nothing known of what was before it.

    Args:
      game: whose rules go on from there.
      fen: the last two fields, the counts of moves, may be left out, and move 0, as some
        programs write it, is taken for 1; castling is spelled KQkq, or by the files of the
        rooks, HAha.

    Raises:
      ValueError: if it is no position of chess.
    """
    fields = fen.split()
    if len(fields) == 4:
        fields += NO_MOVES
    try:
        placement, side, castling, en_passant, num_quiet, move = fields
        castling = standard_castling(castling)
        grid = _grid(placement)
        is_black = {"w": False, "b": True}[side]
        passed = _pgx_square(en_passant, is_black) if en_passant != "-" else -1
        num_plies = 2 * (max(_count(move), 1) - 1) + is_black
        quiet = _count(num_quiet)
    except (KeyError, ValueError, IndexError):
        raise ValueError(
            f"FEN {fen!r}: must be of six fields such as '8/8/8/8/8/8/R6K/7k w - - 0 1'."
        ) from None
    if [int((grid == king).sum()) for king in (6, -6)] != [1, 1]:
        raise ValueError(f"FEN {fen!r}: must have one king of each colour.")
    seen = -grid[::-1] if is_black else grid
    rights = np.array([[letter in castling for letter in pair] for pair in ("QK", "qk")])
    rules = pgx_rules()
    state = rules.GameState(
        color=jnp.int32(is_black),
        board=jnp.asarray(seen[::-1].T.ravel(), jnp.int32),
        castling_rights=jnp.asarray(rights[::-1] if is_black else rights),
        en_passant=jnp.int32(passed),
        halfmove_count=jnp.int32(quiet),
        step_count=jnp.int32(num_plies),
    )
    return start_at(game, state)


def chess_to_fen(state: Position) -> str:
    """The FEN of a position; it names the square of every en passant, possible or not."""
    rules = state.rules
    num_plies = int(rules.num_plies)
    is_black = num_plies % 2 == 1
    grid = np.asarray(rules.boards[0]).reshape(SIZE, SIZE).T[::-1]
    rows = ["".join(_letter(int(piece)) for piece in row) for row in grid]
    placement = "/".join(
        re.sub("1+", lambda ones: str(len(ones.group())), row) for row in rows
    )
    rights = np.asarray(rules.castling)
    rights = rights[::-1] if is_black else rights
    white_first = [
        name for name, right in zip("QKqk", rights.ravel(), strict=True) if right
    ]
    castling = "".join(sorted(white_first, key="KQkq".index)) or "-"
    passed = _name(rules.en_passant, is_black)
    return (
        f"{placement} {'b' if is_black else 'w'} {castling} {passed} "
        f"{int(rules.num_quiet)} {num_plies // 2 + 1}"
    )


def _grid(placement: str) -> np.ndarray:
    """`[8, 8]` from the eighth rank down, White's pieces above 0."""
    spread = re.sub("[1-8]", lambda digit: "." * int(digit.group()), placement)
    rows = [[0 if x == "." else _number(x) for x in row] for row in spread.split("/")]
    grid = np.array(rows)
    if grid.shape != (SIZE, SIZE):
        raise ValueError(placement)
    return grid


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise ValueError(text)
    return int(text)


def _number(letter: str) -> int:
    number = PIECES.index(letter.lower()) + 1
    return number if letter.isupper() else -number


def _letter(piece: int) -> str:
    if piece == 0:
        return "1"
    letter = PIECES[abs(piece) - 1]
    return letter.upper() if piece > 0 else letter


def _pgx_square(name: str, is_black: bool) -> int:
    file, rank = "abcdefgh".index(name[0]), {"3": 2, "6": 5}[name[1:]]
    return file * SIZE + (SIZE - 1 - rank if is_black else rank)


def _name(square: Array, is_black: bool) -> str:
    if int(square) < 0:
        return "-"
    file, rank = divmod(int(square), SIZE)
    return f"{'abcdefgh'[file]}{(SIZE - 1 - rank if is_black else rank) + 1}"
