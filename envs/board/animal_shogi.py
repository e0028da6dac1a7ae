"""Animal shogi on 4 x 3 in JAX: pgx finds the moves; repetition and planes are our own.

pgx names a position by a key that changes with moves which change nothing, so that it
misses repetitions.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from dm_env import specs

from tolman.envs.board import packing
from tolman.envs.board import shogi_board as board_of
from tolman.envs.board.game import Array, GameInfo, register_game
from tolman.envs.board.position import BoardGame, Position, judged

ROWS, FILES = 4, 3
NUM_SQUARES = ROWS * FILES
NUM_KINDS = 5  # Chick, elephant, giraffe, lion, hen.
MOST_IN_HAND = np.array([2, 2, 2])  # Chick, elephant, giraffe.
NUM_REPEATS = 2  # With the third time the game is drawn.
NUM_DIRECTIONS = 8
NUM_PLANES = NUM_DIRECTIONS + len(MOST_IN_HAND)
NUM_ACTIONS = NUM_SQUARES * NUM_PLANES
MAX_NUM_MOVES = 256
KEY_WORDS = 2


class AnimalShogiRules(NamedTuple):
    """A position; see `shogi_board`.

    Attributes:
      boards: `[8, 12]` int8, the last positions, newest first, as player 0 sees them.
      hands: `[8, 2, 3]` int8, player 0's and player 1's.
      repeats: `[8]` int8, how often each had been there before, at most 2.
      num_plies: `[]` int32 since the start.
      keys: `[256, 2]` uint32, of all positions so far.
    """

    boards: Array
    hands: Array
    repeats: Array
    num_plies: Array
    keys: Array


@register_game("animal_shogi")
@dataclass(frozen=True)
class AnimalShogi(BoardGame):
    """Animal shogi: catch the lion, or bring yours to the far rank; 256 plies draw.

    An action is `(row * 3 + column) * 11 + plane`: the square a piece leaves, and one of 8
    directions, clockwise from ahead; or the square of a drop, and the piece.
    """

    @property
    def info(self) -> GameInfo:
        return GameInfo(
            "animal_shogi",
            NUM_ACTIONS,
            NUM_ACTIONS,
            MAX_NUM_MOVES,
            (ROWS, FILES),
            NUM_PLANES,
        )

    def init(self, key: Array) -> Position:
        del key
        rules = AnimalShogiRules(
            boards=jnp.zeros((board_of.NUM_HISTORY, NUM_SQUARES), jnp.int8),
            hands=jnp.zeros((board_of.NUM_HISTORY, 2, len(MOST_IN_HAND)), jnp.int8),
            repeats=jnp.zeros(board_of.NUM_HISTORY, jnp.int8),
            num_plies=jnp.int32(-1),
            keys=jnp.zeros((MAX_NUM_MOVES, KEY_WORDS), jnp.uint32),
        )
        start = pgx_rules().State()
        legal = pgx_rules()._legal_action_mask(start)
        return _judge(start.replace(legal_action_mask=legal), rules)

    def observation_spec(self) -> specs.Array:
        per_position = 2 * NUM_KINDS + NUM_REPEATS + 2 * len(MOST_IN_HAND)
        shape = (ROWS, FILES, board_of.NUM_HISTORY * per_position + 2)
        return specs.Array(shape, np.float32, name="planes")

    def observe(self, state: Position) -> Array:
        """As of shogi: 18 planes of each of 8 positions, the colour, plies / 256."""
        rules = state.rules
        is_second = rules.num_plies % 2
        return board_of.history_planes(
            rules.boards,
            rules.hands,
            rules.repeats,
            is_second == 1,
            FILES,
            NUM_KINDS,
            NUM_REPEATS,
            MOST_IN_HAND,
            jnp.stack([is_second, rules.num_plies / MAX_NUM_MOVES]),
        )

    def compact(self, state: Position) -> Position:
        rules = state.rules
        packed = AnimalShogiRules(
            packing.pack(rules.boards, 4),
            packing.pack(rules.hands.reshape(board_of.NUM_HISTORY, -1), 2),
            packing.pack(rules.repeats, 2),
            rules.num_plies.astype(jnp.int16),
            rules.keys,
        )
        return Position(packed, packing.pack(state.legal, 1), state.result)

    def expand(self, compacted: Position) -> Position:
        packed = compacted.rules
        hands = packing.unpack(packed.hands, 2, 2 * len(MOST_IN_HAND))
        rules = AnimalShogiRules(
            packing.unpack(packed.boards, 4, NUM_SQUARES).astype(jnp.int8),
            hands.reshape(board_of.NUM_HISTORY, 2, -1).astype(jnp.int8),
            packing.unpack(packed.repeats, 2, board_of.NUM_HISTORY).astype(jnp.int8),
            packed.num_plies.astype(jnp.int32),
            packed.keys,
        )
        legal = packing.unpack(compacted.legal, 1, NUM_ACTIONS).astype(bool)
        return Position(rules, legal, compacted.result)

    def play(self, rules: AnimalShogiRules, action: Array) -> Position:
        label = jnp.asarray(_labels())[action]
        return _judge(pgx_rules()._step(_pgx_state(rules), label), rules)


def _judge(state: Any, before: AnimalShogiRules) -> Position:
    """The Position that `before` became; `state` is pgx's, and knows its legal moves."""
    is_second = state._turn == 1
    board = state._board + 1
    key = board_of.position_key(_tables(), board, state._hand, is_second)
    num_plies = before.num_plies + 1
    num_before = packing.num_earlier(before.keys, key, num_plies)
    rules = AnimalShogiRules(
        boards=packing.with_newest(
            before.boards, board_of.turned(board, is_second, NUM_KINDS)
        ),
        hands=packing.with_newest(
            before.hands, board_of.turned_hands(state._hand, is_second)
        ),
        repeats=packing.with_newest(before.repeats, jnp.minimum(num_before, NUM_REPEATS)),
        num_plies=num_plies,
        keys=before.keys.at[num_plies].set(key, mode="drop"),
    )
    legal = state.legal_action_mask[jnp.asarray(_labels())]
    is_repeated = num_before >= NUM_REPEATS
    is_over = state.terminated | is_repeated | (num_plies >= MAX_NUM_MOVES)
    return judged(rules, legal, is_over, state.rewards[0])


@functools.cache
def _labels() -> np.ndarray:
    """`[A]`: the number that pgx gives each action."""
    row, column, plane = np.unravel_index(np.arange(NUM_ACTIONS), (ROWS, FILES, NUM_PLANES))
    square = (FILES - 1 - column) * ROWS + row
    # pgx: up-right, right, down-right, up, down, up-left, left, down-left.
    clockwise_from_ahead = np.array([3, 0, 1, 2, 4, 7, 6, 5])
    order = np.concatenate([clockwise_from_ahead, np.arange(NUM_DIRECTIONS, NUM_PLANES)])
    return (order[plane] * NUM_SQUARES + square).astype(np.int32)


@functools.cache
def _tables() -> dict[str, np.ndarray]:
    return board_of.key_tables(
        NUM_SQUARES, NUM_KINDS, len(MOST_IN_HAND), int(MOST_IN_HAND.max()), KEY_WORDS
    )


def _pgx_state(rules: AnimalShogiRules) -> Any:
    turn = rules.num_plies % 2
    is_second = turn == 1
    board = board_of.turned(rules.boards[0], is_second, NUM_KINDS).astype(jnp.int32)
    return pgx_rules().State(
        current_player=turn,
        _turn=turn,
        _board=board - 1,
        _hand=board_of.turned_hands(rules.hands[0], is_second).astype(jnp.int32),
        _step_count=rules.num_plies + 1,
        # Of one entry, beyond which pgx writes nothing, and so finds no repetition.
        _hash_history=jnp.zeros((1, KEY_WORDS), jnp.uint32),
    )


@functools.cache
def pgx_rules() -> Any:
    """The rules of pgx, which compute tables as they are imported."""
    with jax.ensure_compile_time_eval():
        from pgx import animal_shogi

    return animal_shogi
