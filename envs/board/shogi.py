"""Shogi in JAX: pgx finds the moves; repetition, declaration and planes are our own.

Source: Silver et al. 2017, "Mastering chess and shogi by self-play", methods: 362 planes,
  9 x 9 x 139 actions, a draw after 512 plies.
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

from tolman.envs.board import packing, shogi_rules
from tolman.envs.board import shogi_board as board_of
from tolman.envs.board.game import Array, GameInfo, register_game
from tolman.envs.board.position import (
    GOES_ON,
    LONGEST_GAME,
    BoardGame,
    Position,
    judged,
)
from tolman.envs.board.shogi_moves import NUM_ACTIONS, NUM_PLANES, SIZE

NUM_KINDS = 14
MOST_IN_HAND = np.array([18, 4, 4, 4, 2, 2, 4])  # Pawn, lance, knight, silver, B, R, gold.
NUM_REPEATS = 3  # With the fourth time the game ends.
MAX_NUM_LEGAL = 600  # 593 is the most that any known position has.


class ShogiRules(NamedTuple):
    """A position of shogi; "player 0" is Black, who moves first.

    Attributes:
      boards: `[8, 81]` int8, the last positions, newest first, as player 0 sees them; see
        `shogi_board`.
      hands: `[8, 2, 7]` int8, player 0's and player 1's.
      repeats: `[8]` int8, how often each had been there before.
      checks: `[2]` int32, how many of each player's last moves gave check, without a break.
      num_plies: `[]` int32 since the start; odd where White moves.
      keys: `[max_num_moves, 1]` uint32, of all positions so far. One word, as a game ends
        at the fourth time: a false end needs three coincidences of 2**-32, or fewer where
        the position has truly been there.
    """

    boards: Array
    hands: Array
    repeats: Array
    checks: Array
    num_plies: Array
    keys: Array


@register_game("shogi")
@dataclass(frozen=True)
class Shogi(BoardGame):
    """Shogi: fourfold repetition draws, perpetual check loses, a draw after 512 plies.

    Attributes:
      max_num_moves: plies after which a game is drawn. 512: methods, "games exceeding a
        maximum number of steps".
      with_declaration: whether a player to move whose king has entered wins by the 27-point
        rule of computer shogi; see `shogi_rules.can_declare`. The paper does not say.
    """

    max_num_moves: Annotated[int, Interval(ge=1, le=LONGEST_GAME)] = 512
    with_declaration: bool = True

    @property
    def info(self) -> GameInfo:
        return GameInfo(
            "shogi",
            NUM_ACTIONS,
            MAX_NUM_LEGAL,
            self.max_num_moves,
            (SIZE, SIZE),
            NUM_PLANES,
            planes_are_masks=True,
        )

    def init(self, key: Array) -> Position:
        del key
        return start_at(self, shogi_rules.pgx_rules().GameState())

    def observation_spec(self) -> specs.Array:
        per_position = 2 * NUM_KINDS + NUM_REPEATS + 2 * len(MOST_IN_HAND)
        shape = (SIZE, SIZE, board_of.NUM_HISTORY * per_position + 2)
        return specs.Array(shape, np.float32, name="planes")

    def observe(self, state: Position) -> Array:
        """45 planes of each of 8 positions, the colour (1 for White), plies / 512.

        Departure: the paper gives neither the scale of the counts nor the order.
        """
        rules = state.rules
        is_white = rules.num_plies % 2
        return board_of.history_planes(
            rules.boards,
            rules.hands,
            rules.repeats,
            is_white == 1,
            SIZE,
            NUM_KINDS,
            NUM_REPEATS,
            MOST_IN_HAND,
            jnp.stack([is_white, rules.num_plies / self.max_num_moves]),
        )

    def compact(self, state: Position) -> Position:
        rules = state.rules
        return Position(
            ShogiRules(
                packing.pack(rules.boards, 5),
                packing.pack(rules.hands.reshape(board_of.NUM_HISTORY, -1), 5),
                packing.pack(rules.repeats, 2),
                rules.checks.astype(jnp.int16),
                rules.num_plies.astype(jnp.int16),
                rules.keys,
            ),
            None,
            state.result,
        )

    def expand(self, compacted: Position) -> Position:
        packed = compacted.rules
        hands = packing.unpack(packed.hands, 5, 2 * len(MOST_IN_HAND))
        rules = ShogiRules(
            packing.unpack(packed.boards, 5, SIZE * SIZE).astype(jnp.int8),
            hands.reshape(board_of.NUM_HISTORY, 2, -1).astype(jnp.int8),
            packing.unpack(packed.repeats, 2, board_of.NUM_HISTORY).astype(jnp.int8),
            packed.checks.astype(jnp.int32),
            packed.num_plies.astype(jnp.int32),
            packed.keys,
        )
        state = pgx_state(rules)
        pgx_legal = shogi_rules.pgx_rules().Game().legal_action_mask(state)
        legal = shogi_rules.legal(state, pgx_legal) & (compacted.result == GOES_ON)
        return Position(rules, legal, compacted.result)

    def play(self, rules: ShogiRules, action: Array) -> Position:
        label = jnp.asarray(shogi_rules.labels())[action]
        state = shogi_rules.pgx_rules().Game().step(pgx_state(rules), label)
        return _judge(self, state, rules)


@functools.partial(jax.jit, static_argnums=0)
def start_at(game: Shogi, state: Any) -> Position:
    """The position of a pgx GameState, whose legal moves it need not know.

    Nothing is known of what was before it.
    """
    mask = shogi_rules.pgx_rules().Game().legal_action_mask(state)
    no_history = ShogiRules(
        boards=jnp.zeros((board_of.NUM_HISTORY, SIZE * SIZE), jnp.int8),
        hands=jnp.zeros((board_of.NUM_HISTORY, 2, len(MOST_IN_HAND)), jnp.int8),
        repeats=jnp.zeros(board_of.NUM_HISTORY, jnp.int8),
        checks=jnp.zeros(2, jnp.int32),
        num_plies=jnp.asarray(state.step_count - 1, jnp.int32),
        keys=jnp.zeros((game.max_num_moves, 1), jnp.uint32),
    )
    return _judge(game, state._replace(legal_action_mask=mask), no_history)


def _judge(game: Shogi, state: Any, before: ShogiRules) -> Position:
    """The Position that `before` became; `state` knows the legal moves of pgx."""
    mover = jnp.asarray(state.color, jnp.int32)
    num_plies = before.num_plies + 1
    board, is_second = state.board + 1, mover == 1
    key = board_of.position_key(_tables(), board, state.hand, is_second)
    earlier = packing.is_earlier(before.keys, key, num_plies)
    num_before = earlier.sum(dtype=jnp.int32)
    in_check = shogi_rules.is_in_check(state)
    checks = before.checks.at[1 - mover].set(
        jnp.where(in_check, before.checks[1 - mover] + 1, 0)
    )
    rules = ShogiRules(
        boards=packing.with_newest(
            before.boards, board_of.turned(board, is_second, NUM_KINDS)
        ),
        hands=packing.with_newest(
            before.hands, board_of.turned_hands(state.hand, is_second)
        ),
        repeats=packing.with_newest(before.repeats, jnp.minimum(num_before, NUM_REPEATS)),
        checks=checks,
        num_plies=num_plies,
        keys=before.keys.at[num_plies].set(key, mode="drop"),
    )
    legal = shogi_rules.legal(state, state.legal_action_mask)
    cannot_move = ~legal.any()
    is_repeated = num_before >= NUM_REPEATS
    declares = game.with_declaration & shogi_rules.can_declare(state, in_check)
    # Who checked with every move since the position was there first, loses.
    num_moves = (num_plies - jnp.argmax(earlier)) // 2
    has_checked = (checks >= num_moves).astype(jnp.int32)
    first_wins = jnp.where(mover == 0, 1, -1)
    score = jnp.where(
        cannot_move,
        -first_wins,
        jnp.where(
            is_repeated,
            has_checked[1] - has_checked[0],
            jnp.where(declares, first_wins, 0),
        ),
    )
    is_over = cannot_move | is_repeated | declares | (num_plies >= game.max_num_moves)
    return judged(rules, legal, is_over, score)


@functools.cache
def _tables() -> dict[str, np.ndarray]:
    return board_of.key_tables(
        SIZE * SIZE, NUM_KINDS, len(MOST_IN_HAND), int(MOST_IN_HAND.max()), 1
    )


def pgx_state(rules: ShogiRules) -> Any:
    """What pgx needs to know of a position to go on."""
    mover = rules.num_plies % 2
    is_second = mover == 1
    board = board_of.turned(rules.boards[0], is_second, NUM_KINDS).astype(jnp.int32)
    return shogi_rules.pgx_rules().GameState(
        step_count=rules.num_plies,
        color=mover,
        board=board - 1,
        hand=board_of.turned_hands(rules.hands[0], is_second).astype(jnp.int32),
    )
