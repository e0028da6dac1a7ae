"""What the built-in games share: the state, and all of the protocol that reads it.

Shapes: A actions.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from tolman.envs.board.game import Array

GOES_ON, DRAWN, WON_BY_0, WON_BY_1 = 0, 1, 2, 3
LONGEST_GAME = 2**15 - 1  # Moves; a compact position counts them in 16 bits.


class Position(NamedTuple):
    """The state of a built-in game.

    Attributes:
      rules: pytree, what the rules and the planes are worked out from.
      legal: `[A]` bool, all False after the end.
      result: `[]` int8, one of GOES_ON, DRAWN, WON_BY_0, WON_BY_1.
    """

    rules: Any
    legal: Any
    result: Array


class BoardGame:
    """The part of `Game` that is the same for every built-in game.

    A game adds `info`, `init`, `observe`, `observation_spec` and `play`; and `to_play`,
    where its rules count no plies.
    """

    def to_play(self, state: Position) -> Array:
        return state.rules.num_plies % 2

    def legal(self, state: Position) -> Array:
        return state.legal

    def is_over(self, state: Position) -> Array:
        return state.result != GOES_ON

    def outcome(self, state: Position) -> Array:
        won = jnp.stack([state.result == WON_BY_0, state.result == WON_BY_1])
        return won.astype(jnp.float32) - won[::-1].astype(jnp.float32)

    def step(self, state: Position, action: Array) -> Position:
        is_over = self.is_over(state)
        played = self.play(state.rules, jnp.asarray(action, jnp.int32))
        rules, result = jax.tree.map(
            lambda old, new: jnp.where(is_over, old, new),
            (state.rules, state.result),
            (played.rules, played.result),
        )
        # Without a look at `state.legal`: after `expand` it need not be worked out at all.
        return Position(rules, played.legal & ~is_over, result)

    def symmetries(self, observation: Array, policy: Array) -> tuple[Array, Array]:
        return observation[None], policy[None]

    def compact(self, state: Position) -> Position:
        return state

    def expand(self, compacted: Position) -> Position:
        return compacted

    def play(self, rules: Any, action: Array) -> Position:
        """The Position that follows a legal action in a game under way."""
        raise NotImplementedError


def judged(rules: Any, legal: Array, is_over: Array, score: Array) -> Position:
    """A Position from its judgement.

    Args:
      rules: as in Position.
      legal: `[A]` bool; what it says after the end is of no account.
      is_over: `[]` bool.
      score: `[]`, above 0 where player 0 won, below where player 1 did; read at the end.
    """
    ended = jnp.where(score > 0, WON_BY_0, jnp.where(score < 0, WON_BY_1, DRAWN))
    result = jnp.where(is_over, ended, GOES_ON).astype(jnp.int8)
    return Position(rules, legal & ~is_over, result)
