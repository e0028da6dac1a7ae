"""Go in JAX: pgx captures stones; superko, scoring and planes are our own.

Shapes: n rows, S = n * n points, H kept boards, M moves at most.

Source: Silver et al. 2017, "Mastering chess and shogi by self-play", methods: 17 planes,
  n * n + 1 actions, Tromp-Taylor scoring, an end after 722 moves on 19 x 19. The planes
  are those of AlphaGo Zero (Silver et al. 2017, Nature 550, methods).
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from annotated_types import Interval
from dm_env import specs
from jax import lax

from tolman.envs.board import packing, symmetry
from tolman.envs.board.game import Array, GameInfo, register_game
from tolman.envs.board.position import (
    GOES_ON,
    LONGEST_GAME,
    BoardGame,
    Position,
    judged,
)

NUM_HISTORY = 8
KEY_WORDS = 2
MAX_SIZE = 19
NumMoves = Annotated[int, Interval(ge=0, le=LONGEST_GAME)]


class GoRules(NamedTuple):
    """A position of Go.

    Attributes:
      chains: `[S]` int32: 0 on an empty point, else a number shared by the stones of a
        chain, from 1 to S, above 0 for Black and below for White, who is player 1.
      boards: `[H, S]` int8, the last positions, newest first: 1 Black, -1 White.
      num_passes: `[]` int32, in a row.
      num_moves: `[]` int32 since the start, passes included; odd where White moves.
      keys: `[M, KEY_WORDS]` uint32, of all positions so far, the empty board first.
    """

    chains: Array
    boards: Array
    num_passes: Array
    num_moves: Array
    keys: Array


@dataclass(frozen=True)
class Go(BoardGame):
    """Go by area, without suicide; no play may bring back an earlier position.

    Attributes:
      size: n, from 2 to 19.
      komi: points that White has in hand. 7.5: methods. A whole number makes draws.
      max_num_moves: after so many moves the board is scored as it stands; 0 for 2 * n * n,
        which is the paper's 722 on 19 x 19.
    """

    size: Annotated[int, Interval(ge=2, le=MAX_SIZE)] = 19
    komi: float = 7.5
    max_num_moves: NumMoves = 0

    def setting_problems(self) -> Iterator[tuple[str, str]]:
        most = self.size**2
        if abs(self.komi) > most:
            yield "komi", f"in [-{most}, {most}], the points of the board"

    @property
    def info(self) -> GameInfo:
        num_points = self.size**2
        return GameInfo(
            f"go_{self.size}x{self.size}",
            num_points + 1,
            num_points + 1,
            self.max_num_moves or 2 * num_points,
            (self.size, self.size),
            planes_are_masks=True,
        )

    def init(self, key: Array) -> Position:
        del key
        num_points = self.size**2
        rules = GoRules(
            chains=jnp.zeros(num_points, jnp.int32),
            boards=jnp.zeros((NUM_HISTORY, num_points), jnp.int8),
            num_passes=jnp.int32(0),
            num_moves=jnp.int32(0),
            keys=jnp.zeros((self.info.max_num_moves, KEY_WORDS), jnp.uint32),
        )
        legal = jnp.ones(num_points + 1, bool)
        return judged(rules, legal, jnp.asarray(False), jnp.float32(0.0))

    def to_play(self, state: Position) -> Array:
        return state.rules.num_moves % 2

    def observation_spec(self) -> specs.Array:
        shape = (self.size, self.size, 2 * NUM_HISTORY + 1)
        return specs.Array(shape, np.float32, name="planes")

    def observe(self, state: Position) -> Array:
        """Own and other stones of each of 8 positions, then 1 where Black moves."""
        is_white = state.rules.num_moves % 2
        own = jnp.where(is_white == 1, -1, 1).astype(jnp.int8)
        boards = state.rules.boards
        stones = jnp.stack([boards == own, boards == -own], axis=1)  # [H, 2, S]
        stones = stones.reshape(-1, self.size, self.size)
        is_black = jnp.broadcast_to(is_white == 0, (1, self.size, self.size))
        planes = jnp.concatenate([stones, is_black]).astype(jnp.float32)
        return jnp.moveaxis(planes, 0, -1)

    def compact(self, state: Position) -> Position:
        rules = state.rules
        narrow = jnp.int8 if self.size**2 < 128 else jnp.int16
        packed = GoRules(
            rules.chains.astype(narrow),
            packing.pack(rules.boards + 1, 2),
            rules.num_passes.astype(jnp.int8),
            rules.num_moves.astype(jnp.int16),
            rules.keys,
        )
        # The ko that pgx knows of is a superko too, so nothing is lost with it.
        return Position(packed, None, state.result)

    def expand(self, compacted: Position) -> Position:
        packed = compacted.rules
        rules = GoRules(
            packed.chains.astype(jnp.int32),
            (packing.unpack(packed.boards, 2, self.size**2) - 1).astype(jnp.int8),
            packed.num_passes.astype(jnp.int32),
            packed.num_moves.astype(jnp.int32),
            packed.keys,
        )
        legal = self._legal(rules) & (compacted.result == GOES_ON)
        return Position(rules, legal, compacted.result)

    def symmetries(self, observation: Array, policy: Array) -> tuple[Array, Array]:
        return symmetry.views(observation, policy, symmetry.SQUARE)

    def play(self, rules: GoRules, action: Array) -> Position:
        state = self._pgx_game().step(pgx_state(rules), action)
        stones = jnp.sign(state.board)
        num_moves = rules.num_moves + 1
        after = GoRules(
            chains=state.board,
            boards=packing.with_newest(rules.boards, stones),
            num_passes=state.consecutive_pass_count,
            num_moves=num_moves,
            keys=rules.keys.at[num_moves].set(_key(stones), mode="drop"),
        )
        is_over = (after.num_passes >= 2) | (num_moves >= self.info.max_num_moves)
        points = area(stones.reshape(self.size, self.size), is_over)
        return judged(after, self._legal(after), is_over, points - self.komi)

    def _legal(self, rules: GoRules) -> Array:
        state = pgx_state(rules)
        legal = self._pgx_game().legal_action_mask(state)
        return legal & ~jnp.append(_brings_back(rules, state, self.size), False)

    def _pgx_game(self) -> Any:
        return pgx_rules().Game(size=self.size)


@register_game("go_19x19")
def go_19x19(
    komi: Annotated[float, Interval(ge=-361, le=361)] = 7.5,
    max_num_moves: NumMoves = 0,
) -> Go:
    """Go on 19 x 19, as in the paper."""
    return Go(19, komi, max_num_moves)


@register_game("go_9x9")
def go_9x9(
    komi: Annotated[float, Interval(ge=-81, le=81)] = 7.5,
    max_num_moves: NumMoves = 0,
) -> Go:
    """Go on 9 x 9."""
    return Go(9, komi, max_num_moves)


register_game("go")(Go)


def area(stones: Array, is_wanted: Array) -> Array:
    """Black's points less White's, by Tromp and Taylor.

    A point counts for a colour that holds it, or if it is empty and only that colour is
    reached from it over empty points.

    Args:
      stones: `[n, n]`: 1 Black, -1 White, 0 empty.
      is_wanted: `[]` bool; where False the answer is of no account, and cheap.

    Returns:
      `[]` float32, without komi.
    """
    is_empty = stones == 0

    def spread(reached: Array) -> Array:
        padded = jnp.pad(reached, ((0, 0), (1, 1), (1, 1)))
        beside = padded[:, 2:, 1:-1] | padded[:, :-2, 1:-1]
        beside |= padded[:, 1:-1, 2:] | padded[:, 1:-1, :-2]
        return reached | (beside & is_empty)

    start = jnp.stack([stones > 0, stones < 0])
    _, reached = lax.while_loop(
        lambda both: (both[0] != both[1]).any() & is_wanted,
        lambda both: (both[1], spread(both[1])),
        (start, spread(start)),
    )
    only_black, only_white = reached[0] & ~reached[1], reached[1] & ~reached[0]
    return (only_black.sum() - only_white.sum()).astype(jnp.float32)


def _brings_back(rules: GoRules, state: Any, size: int) -> Array:
    """`[S]` bool: where a stone of the mover would repeat an earlier position.

    The key of a position is the sum of its stones' keys, so that of the next one is known
    without playing: this one's, and the new stone's, less the captured chains'.
    """
    go = pgx_rules()
    num_points = size * size
    table = jnp.asarray(_stone_keys())[:, :num_points]
    mover = rules.num_moves % 2
    stones = jnp.sign(rules.chains)
    owner = jnp.where(stones < 0, 1, 0)
    stone_keys = jnp.where(
        (stones != 0)[:, None], table[owner, jnp.arange(num_points)], 0
    ).astype(jnp.uint32)
    chain = jnp.abs(rules.chains)  # 0 collects what is on no chain.
    chain_keys = jax.ops.segment_sum(stone_keys, chain, num_points + 1)
    num_liberties, total, squares = go._count(state, size)
    has_one_liberty = total**2 == squares * num_liberties  # Counted once a side it touches.
    around = jax.vmap(go._adj_ixs, in_axes=(0, None))(jnp.arange(num_points), size)
    theirs = jnp.where(mover == 0, -1, 1)
    beside = jnp.where(around >= 0, chain[around], 0)  # [S, 4]
    is_taken = (around >= 0) & (stones[around] == theirs) & has_one_liberty[beside - 1]
    is_first = jnp.stack(
        [~(beside[:, :side] == beside[:, side, None]).any(axis=1) for side in range(4)],
        axis=1,
    )
    captured = jnp.where((is_taken & is_first)[..., None], chain_keys[beside], 0)
    following = stone_keys.sum(axis=0, dtype=jnp.uint32) + table[mover]
    following -= captured.sum(axis=1, dtype=jnp.uint32)
    is_known = jnp.arange(rules.keys.shape[0]) <= rules.num_moves
    return ((following[:, None] == rules.keys).all(axis=-1) & is_known).any(axis=1)


def _key(stones: Array) -> Array:
    """`[KEY_WORDS]`: the sum over the stones of `[S]`."""
    table = jnp.asarray(_stone_keys())[:, : stones.shape[0]]
    keys = jnp.where((stones > 0)[:, None], table[0], 0)
    keys += jnp.where((stones < 0)[:, None], table[1], 0)
    return keys.sum(axis=0, dtype=jnp.uint32)


@functools.cache
def _stone_keys() -> np.ndarray:
    return packing.random_keys(2, MAX_SIZE**2, KEY_WORDS, seed=8)


def pgx_state(rules: GoRules) -> Any:
    """What pgx needs to know of a position to go on; of earlier ones, nothing."""
    return pgx_rules().GameState(
        step_count=rules.num_moves,
        board=rules.chains,
        board_history=jnp.zeros((1, rules.chains.shape[0]), jnp.int32),
        consecutive_pass_count=rules.num_passes,
        hash_history=jnp.zeros((1, KEY_WORDS), jnp.uint32),
    )


@functools.cache
def pgx_rules() -> Any:
    """The rules of pgx, which draw random keys as they are imported."""
    with jax.ensure_compile_time_eval():
        from pgx._src.games import go

    return go
