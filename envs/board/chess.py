"""Chess in JAX: pgx finds the moves, the end of the game and the planes are our own.

Source: Silver et al. 2017, "Mastering chess and shogi by self-play", methods: 119 planes,
  8 x 8 x 73 actions, a draw after 512 plies.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from annotated_types import Interval
from dm_env import specs

from tolman.envs.board import chess_board as board_of
from tolman.envs.board import packing
from tolman.envs.board.chess_moves import num_planes, uci_to_action
from tolman.envs.board.game import Array, GameInfo, register_game
from tolman.envs.board.position import (
    GOES_ON,
    LONGEST_GAME,
    BoardGame,
    Position,
    judged,
)

SIZE = 8
NUM_ACTIONS = SIZE * SIZE * num_planes(SIZE)
MAX_NUM_LEGAL = 256  # 218 is the most that any known position has.
NUM_CONSTANTS = 7
NO_SQUARE = -1


class ChessRules(NamedTuple):
    """A position of chess.

    Attributes:
      boards: `[8, 64]` int8, the last positions, newest first, as White sees them.
      repeats: `[8]` int8, how often each had been there before, at most 2.
      castling: `[2, 2]` bool, the mover's then the other's, long then short.
      en_passant: `[]` int32, the square behind a pawn that has just moved by two, as the
        mover sees it in pgx's numbers; -1 for none.
      num_quiet: `[]` int32, plies since the last capture or pawn's move.
      num_plies: `[]` int32 since the start; odd where Black moves.
      keys: `[100, 2]` uint32, of the positions since then, in order.
    """

    boards: Array
    repeats: Array
    castling: Array
    en_passant: Array
    num_quiet: Array
    num_plies: Array
    keys: Array


@register_game("chess")
@dataclass(frozen=True)
class Chess(BoardGame):
    """Chess with every draw of its rules claimed at once, and one after 512 plies.

    Attributes:
      max_num_moves: plies after which a game is drawn. 512: methods, "games exceeding a
        maximum number of steps".
    """

    max_num_moves: Annotated[int, Interval(ge=1, le=LONGEST_GAME)] = 512

    @property
    def info(self) -> GameInfo:
        return GameInfo(
            "chess",
            NUM_ACTIONS,
            MAX_NUM_LEGAL,
            self.max_num_moves,
            (SIZE, SIZE),
            num_planes(SIZE),
            planes_are_masks=True,
        )

    def init(self, key: Array) -> Position:
        del key
        return start_at(self, pgx_rules().GameState())

    def observation_spec(self) -> specs.Array:
        shape = (SIZE, SIZE, board_of.NUM_HISTORY * 14 + NUM_CONSTANTS)
        return specs.Array(shape, np.float32, name="planes")

    def observe(self, state: Position) -> Array:
        """14 planes of each of 8 positions, then 7 constant ones.

        Those are: the colour (1 for Black), plies played / 512, the mover's long and
        short castling, the other's, plies without progress / 100.

        Departure: the paper gives neither the scale of the counts nor the order.
        """
        rules = state.rules
        is_black = rules.num_plies % 2
        constants = jnp.concatenate(
            [
                jnp.stack([is_black, rules.num_plies / self.max_num_moves]),
                rules.castling.ravel(),
                rules.num_quiet[None] / board_of.MAX_QUIET_MOVES,
            ]
        )
        return board_of.history_planes(
            rules.boards, rules.repeats, is_black == 1, constants
        )

    def compact(self, state: Position) -> Position:
        rules = state.rules
        return Position(
            ChessRules(
                packing.pack(rules.boards + board_of.NUM_PIECES, 4),
                packing.pack(rules.repeats, 2),
                packing.pack(rules.castling.ravel(), 1).astype(jnp.uint8),
                rules.en_passant.astype(jnp.int8),
                rules.num_quiet.astype(jnp.int8),
                rules.num_plies.astype(jnp.int16),
                rules.keys,
            ),
            None,
            state.result,
        )

    def expand(self, compacted: Position) -> Position:
        packed = compacted.rules
        boards = packing.unpack(packed.boards, 4, SIZE * SIZE) - board_of.NUM_PIECES
        castling = packing.unpack(packed.castling.astype(jnp.uint32), 1, 4)
        rules = ChessRules(
            boards.astype(jnp.int8),
            packing.unpack(packed.repeats, 2, board_of.NUM_HISTORY).astype(jnp.int8),
            castling.astype(bool).reshape(2, 2),
            packed.en_passant.astype(jnp.int32),
            packed.num_quiet.astype(jnp.int32),
            packed.num_plies.astype(jnp.int32),
            packed.keys,
        )
        legal = _legal(pgx_rules()._legal_action_mask(_pgx_state(rules)))
        return Position(rules, legal & (compacted.result == GOES_ON), compacted.result)

    def play(self, rules: ChessRules, action: Array) -> Position:
        labels, _ = _labels()
        state = pgx_rules().Game().step(_pgx_state(rules), jnp.asarray(labels)[action])
        return _judge(self, state, rules)


@functools.partial(jax.jit, static_argnums=0)
def start_at(game: Chess, state: Any) -> Position:
    """The position of a pgx GameState, whose legal moves it need not know.

    Nothing is known of what was before it.
    """
    state = state._replace(legal_action_mask=pgx_rules()._legal_action_mask(state))
    no_history = ChessRules(
        boards=jnp.zeros((board_of.NUM_HISTORY, SIZE * SIZE), jnp.int8),
        repeats=jnp.zeros(board_of.NUM_HISTORY, jnp.int8),
        castling=jnp.asarray(state.castling_rights),
        en_passant=jnp.int32(NO_SQUARE),
        num_quiet=jnp.int32(0),
        num_plies=jnp.asarray(state.step_count - 1, jnp.int32),
        keys=jnp.zeros((board_of.MAX_QUIET_MOVES, board_of.KEY_WORDS), jnp.uint32),
    )
    return _judge(game, state, no_history)


def _judge(game: Chess, state: Any, before: ChessRules) -> Position:
    """The Position that `before` became; `state` knows its legal moves already."""
    is_black = state.color == 1
    key = _key(state)
    num_quiet = jnp.asarray(state.halfmove_count, jnp.int32)
    num_before = packing.num_earlier(before.keys, key, num_quiet)
    rules = ChessRules(
        boards=packing.with_newest(before.boards, board_of.turned(state.board, is_black)),
        repeats=packing.with_newest(before.repeats, jnp.minimum(num_before, 2)),
        castling=state.castling_rights,
        en_passant=jnp.asarray(state.en_passant, jnp.int32),
        num_quiet=num_quiet,
        num_plies=before.num_plies + 1,
        keys=before.keys.at[num_quiet].set(key, mode="drop"),
    )
    is_over = (
        ~state.legal_action_mask.any()
        | (num_quiet >= board_of.MAX_QUIET_MOVES)
        | (num_before >= 2)
        | board_of.is_material_dead(state.board)
        | (rules.num_plies >= game.max_num_moves)
    )
    score = pgx_rules().Game().rewards(state)[0]  # Not 0 at mate only.
    return judged(rules, _legal(state.legal_action_mask), is_over, score)


def _key(state: Any) -> Array:
    """Names a position as the rules of repetition do.

    Same pieces, side to move, castling rights, and same captures en passant: the square
    behind a pawn counts only where a pawn may take there.
    """
    tables = _tables()
    file = state.en_passant // SIZE
    takers = jnp.asarray(_en_passant_labels())[file]
    can_take = (state.en_passant >= 0) & (
        state.legal_action_mask[takers] & (takers >= 0)
    ).any()
    castling = packing.pack(state.castling_rights.ravel(), 1)[0]
    key = board_of.board_key(tables["board"], state.board)
    key ^= jnp.asarray(tables["castling"])[castling]
    key ^= jnp.where(can_take, jnp.asarray(tables["file"])[file], 0)
    return key ^ jnp.where(state.color == 1, jnp.asarray(tables["black"]), 0)


@functools.cache
def _tables() -> dict[str, np.ndarray]:
    words = board_of.KEY_WORDS
    return {
        "board": packing.random_keys(SIZE * SIZE, 13, words, seed=1),
        "castling": packing.random_keys(16, words, seed=2),
        "file": packing.random_keys(SIZE, words, seed=3),
        "black": packing.random_keys(words, seed=4),
    }


@functools.cache
def _en_passant_labels() -> np.ndarray:
    """`[8, 2]`: pgx's numbers of the two captures en passant onto each file, or -1."""
    labels, _ = _labels()
    names = "abcdefgh"
    numbers = np.full((SIZE, 2), -1, np.int32)
    for file in range(SIZE):
        for side, origin in enumerate((file - 1, file + 1)):
            if 0 <= origin < SIZE:
                move = f"{names[origin]}5{names[file]}6"
                numbers[file, side] = labels[uci_to_action(move, is_black=False)]
    return numbers


def _legal(mask: Array) -> Array:
    labels, is_move = _labels()
    return mask[jnp.asarray(labels)] & is_move


@functools.cache
def _labels() -> tuple[np.ndarray, np.ndarray]:
    return board_of.pgx_labels(SIZE, np.asarray(pgx_rules().TO_PLANE))


def _pgx_state(rules: ChessRules) -> Any:
    is_black = rules.num_plies % 2
    return pgx_rules().GameState(
        color=is_black,
        board=board_of.turned(rules.boards[0], is_black == 1).astype(jnp.int32),
        castling_rights=rules.castling,
        en_passant=rules.en_passant,
        halfmove_count=rules.num_quiet,
        step_count=rules.num_plies,
    )


@functools.cache
def pgx_rules() -> Any:
    """The rules of pgx, which compute tables as they are imported."""
    with jax.ensure_compile_time_eval():
        from pgx._src.games import chess

    return chess
