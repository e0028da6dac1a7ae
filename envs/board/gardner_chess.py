"""Gardner's chess on 5 x 5 in JAX: pgx finds the moves, encodings are those of `chess`."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from dm_env import specs

from tolman.envs.board import chess_board as board_of
from tolman.envs.board import packing
from tolman.envs.board.chess_moves import num_planes
from tolman.envs.board.game import Array, GameInfo, register_game
from tolman.envs.board.position import BoardGame, Position, judged

SIZE = 5
NUM_ACTIONS = SIZE * SIZE * num_planes(SIZE)
# A queen has at most 16 moves here, no piece or promoting pawn has more: six of them and
# king, rook, bishop and knight with 8 each make 128.
MAX_NUM_LEGAL = 128
MAX_NUM_MOVES = 256
NUM_CONSTANTS = 3
NUM_SIDE = 2 * SIZE  # Pieces of a side.


class GardnerRules(NamedTuple):
    """A position.

    Attributes:
      boards: `[8, 25]` int8, the last positions, newest first, as White sees them.
      repeats: `[8]` int8, how often each had been there before, at most 2.
      num_quiet: `[]` int32, plies since the last capture or pawn's move.
      num_plies: `[]` int32 since the start; odd where Black moves.
      keys: `[100, 2]` uint32, of the positions since then, in order.
    """

    boards: Array
    repeats: Array
    num_quiet: Array
    num_plies: Array
    keys: Array


@register_game("gardner_chess")
@dataclass(frozen=True)
class GardnerChess(BoardGame):
    """Gardner's chess: 5 x 5, no double step, no castling; a draw after 256 plies."""

    @property
    def info(self) -> GameInfo:
        return GameInfo(
            "gardner_chess",
            NUM_ACTIONS,
            MAX_NUM_LEGAL,
            MAX_NUM_MOVES,
            (SIZE, SIZE),
            num_planes(SIZE),
        )

    def init(self, key: Array) -> Position:
        del key
        rules = GardnerRules(
            boards=jnp.zeros((board_of.NUM_HISTORY, SIZE * SIZE), jnp.int8),
            repeats=jnp.zeros(board_of.NUM_HISTORY, jnp.int8),
            num_quiet=jnp.int32(0),
            num_plies=jnp.int32(-1),
            keys=jnp.zeros((board_of.MAX_QUIET_MOVES, board_of.KEY_WORDS), jnp.uint32),
        )
        return _judge(pgx_rules().State(), rules)

    def observation_spec(self) -> specs.Array:
        shape = (SIZE, SIZE, board_of.NUM_HISTORY * 14 + NUM_CONSTANTS)
        return specs.Array(shape, np.float32, name="planes")

    def observe(self, state: Position) -> Array:
        """As of chess, without castling: 8 times 14 planes and 3 constant ones."""
        rules = state.rules
        is_black = rules.num_plies % 2
        constants = jnp.stack(
            [
                is_black,
                rules.num_plies / MAX_NUM_MOVES,
                rules.num_quiet / board_of.MAX_QUIET_MOVES,
            ]
        )
        return board_of.history_planes(
            rules.boards, rules.repeats, is_black == 1, constants
        )

    def compact(self, state: Position) -> Position:
        rules = state.rules
        packed = GardnerRules(
            packing.pack(rules.boards + board_of.NUM_PIECES, 4),
            packing.pack(rules.repeats, 2),
            rules.num_quiet.astype(jnp.int8),
            rules.num_plies.astype(jnp.int16),
            rules.keys,
        )
        return Position(packed, packing.pack(state.legal, 1), state.result)

    def expand(self, compacted: Position) -> Position:
        packed = compacted.rules
        boards = packing.unpack(packed.boards, 4, SIZE * SIZE) - board_of.NUM_PIECES
        rules = GardnerRules(
            boards.astype(jnp.int8),
            packing.unpack(packed.repeats, 2, board_of.NUM_HISTORY).astype(jnp.int8),
            packed.num_quiet.astype(jnp.int32),
            packed.num_plies.astype(jnp.int32),
            packed.keys,
        )
        legal = packing.unpack(compacted.legal, 1, NUM_ACTIONS).astype(bool)
        return Position(rules, legal, compacted.result)

    def play(self, rules: GardnerRules, action: Array) -> Position:
        labels, _ = _labels()
        state = pgx_rules()._step(_pgx_state(rules), jnp.asarray(labels)[action])
        return _judge(state, rules)


def _judge(state: Any, before: GardnerRules) -> Position:
    """The Position that `before` became; `state` is pgx's, and knows its legal moves."""
    is_black = state._turn == 1
    tables = _tables()
    key = board_of.board_key(tables["board"], state._board)
    key ^= jnp.where(is_black, jnp.asarray(tables["black"]), 0)
    num_quiet = jnp.asarray(state._halfmove_count, jnp.int32)
    num_before = packing.num_earlier(before.keys, key, num_quiet)
    rules = GardnerRules(
        boards=packing.with_newest(before.boards, board_of.turned(state._board, is_black)),
        repeats=packing.with_newest(before.repeats, jnp.minimum(num_before, 2)),
        num_quiet=num_quiet,
        num_plies=before.num_plies + 1,
        keys=before.keys.at[num_quiet].set(key, mode="drop"),
    )
    labels, is_move = _labels()
    legal = state.legal_action_mask[jnp.asarray(labels)] & is_move
    is_over = (
        ~legal.any()
        | (num_quiet >= board_of.MAX_QUIET_MOVES)
        | (num_before >= 2)
        | board_of.is_material_dead(state._board)
        | (rules.num_plies >= MAX_NUM_MOVES)
    )
    return judged(rules, legal, is_over, state.rewards[0])  # Not 0 at mate only.


def _pgx_state(rules: GardnerRules) -> Any:
    turn = rules.num_plies % 2
    board = board_of.turned(rules.boards[0], turn == 1).astype(jnp.int32)
    own, other = (
        jnp.nonzero(side > 0, size=NUM_SIDE, fill_value=-1)[0].astype(jnp.int32)
        for side in (board, board_of.turned(board, jnp.asarray(True)))
    )
    return pgx_rules().State(
        current_player=turn,
        _turn=turn,
        _board=board,
        _halfmove_count=rules.num_quiet,
        _possible_piece_positions=jnp.stack([own, other]),
        _hash_history=jnp.zeros((1, board_of.KEY_WORDS), jnp.uint32),
    )


@functools.cache
def _labels() -> tuple[np.ndarray, np.ndarray]:
    return board_of.pgx_labels(SIZE, np.asarray(pgx_rules().PLANE_MAP))


@functools.cache
def _tables() -> dict[str, np.ndarray]:
    words = board_of.KEY_WORDS
    return {
        "board": packing.random_keys(SIZE * SIZE, 13, words, seed=9),
        "black": packing.random_keys(words, seed=10),
    }


@functools.cache
def pgx_rules() -> Any:
    """The rules of pgx, which compute tables as they are imported."""
    with jax.ensure_compile_time_eval():
        from pgx import gardner_chess

    return gardner_chess
