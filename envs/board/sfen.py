"""Positions of shogi as text, in the notation of USI."""

from __future__ import annotations

import re

import jax.numpy as jnp
import numpy as np

from tolman.envs.board import shogi_rules
from tolman.envs.board.position import Position
from tolman.envs.board.shogi import MOST_IN_HAND, NUM_KINDS, Shogi, start_at
from tolman.envs.board.shogi_moves import SIZE

# By pgx's number of each kind.
KINDS = ("P", "L", "N", "S", "B", "R", "G", "K", "+P", "+L", "+N", "+S", "+B", "+R")
IN_HAND = "RBGSNLP"  # The order in which they are written.


def shogi_from_sfen(game: Shogi, sfen: str) -> Position:
    """The position that an SFEN tells, with nothing known of what was before it.

    Args:
      game: whose rules go on from there.
      sfen: the number of the move may be left out; none is below 1.

    Raises:
      ValueError: if it is no position of shogi.
    """
    fields = sfen.split()
    if len(fields) == 3:
        fields.append("1")
    try:
        placement, side, in_hand, move = fields
        grid = _grid(placement)
        mover = {"b": 0, "w": 1}[side]
        hands = _hands(in_hand)
        num_plies = max(int(move), 1) - 1
    except (KeyError, ValueError, IndexError):
        raise ValueError(
            f"SFEN {sfen!r}: must be of four fields such as '8k/9/9/9/9/9/9/9/K8 b 2P 1'."
        ) from None
    num_plies += (num_plies + mover) % 2  # Black moves at even plies.
    board = grid[:, ::-1].T.ravel()  # File by file from the right.
    if mover:
        board = np.where(board < 0, board, (board + NUM_KINDS) % (2 * NUM_KINDS))[::-1]
        hands = hands[::-1]
    rules = shogi_rules.pgx_rules()
    state = rules.GameState(
        step_count=jnp.int32(num_plies),
        color=jnp.int32(mover),
        board=jnp.asarray(board, jnp.int32),
        hand=jnp.asarray(hands, jnp.int32),
    )
    return start_at(game, state)


def shogi_to_sfen(state: Position) -> str:
    """The SFEN of a position."""
    rules = state.rules
    board = np.asarray(rules.boards[0]).astype(int) - 1
    grid = board.reshape(SIZE, SIZE).T[:, ::-1]
    rows = ["".join(_letter(piece) for piece in row) for row in grid]
    placement = "/".join(
        re.sub("1+", lambda ones: str(len(ones.group())), row) for row in rows
    )
    in_hand = ""
    for player, hand in enumerate(np.asarray(rules.hands[0])):
        for letter in IN_HAND:
            count = int(hand[KINDS.index(letter)])
            shown = letter if player == 0 else letter.lower()
            in_hand += (str(count) if count > 1 else "") + shown if count else ""
    num_plies = int(rules.num_plies)
    side = "bw"[num_plies % 2]
    return f"{placement} {side} {in_hand or '-'} {num_plies + 1}"


def _grid(placement: str) -> np.ndarray:
    """`[9, 9]` from the top rank and the left file on, in pgx's numbers for Black."""
    rows = []
    for row in placement.split("/"):
        pieces = []
        for token in re.findall(r"\+?[A-Za-z]|[1-9]|.", row):
            pieces += [-1] * int(token) if token.isdigit() else [_number(token)]
        rows.append(pieces)
    grid = np.array(rows)
    if grid.shape != (SIZE, SIZE):
        raise ValueError(placement)
    return grid


def _hands(text: str) -> np.ndarray:
    hands = np.zeros((2, len(MOST_IN_HAND)), int)
    if text == "-":
        return hands
    for count, letter in re.findall(r"(\d*)(.)", text):
        if letter.upper() not in IN_HAND:
            raise ValueError(text)
        hands[int(letter.islower()), KINDS.index(letter.upper())] = int(count or 1)
    if (hands > MOST_IN_HAND).any():
        raise ValueError(text)
    return hands


def _number(token: str) -> int:
    kind = KINDS.index(token.upper())
    return kind if token.isupper() else kind + NUM_KINDS


def _letter(piece: int) -> str:
    if piece < 0:
        return "1"
    letter = KINDS[piece % NUM_KINDS]
    return letter if piece < NUM_KINDS else letter.lower()
