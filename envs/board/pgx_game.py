"""The smaller games of pgx, as they are: only the state is kept small.

pgx lets chance say which player moves first; here player 0 always does. It keeps planes
and legal moves in the state; here they are worked out where they are asked for.
"""

from __future__ import annotations

import dataclasses
import functools
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pgx
from dm_env import specs

from tolman.envs.board.game import Array
from tolman.envs.board.position import BoardGame, Position, judged

pgx_env = functools.cache(pgx.make)  # Which imports the game's module, some in seconds.

WORKED_OUT = ("observation", "legal_action_mask", "rewards", "terminated", "truncated")


@dataclass(frozen=True)
class PgxGame(BoardGame):
    """A game as pgx plays it, for games without a history.

    Rules are the fields of the pgx state that cannot be worked out from the others.
    """

    @property
    def env(self) -> pgx.Env:
        """The rules."""
        raise NotImplementedError

    def start(self) -> Any:
        """The start as pgx has it, whoever begins there."""
        return self.env.init(jax.random.PRNGKey(0))

    @property
    def integer(self) -> Any:
        """The narrowest dtype that holds every integer of the rules."""
        return jnp.int8

    def init(self, key: Array) -> Position:
        del key
        start = _start_of(self)
        rules = _kept(start) | {"current_player": jnp.int32(0)}
        if "_player_order" in rules:
            rules["_player_order"] = jnp.arange(2, dtype=jnp.int32)
        legal = jnp.asarray(start.legal_action_mask)
        return judged(rules, legal, jnp.asarray(False), jnp.float32(0.0))

    def to_play(self, state: Position) -> Array:
        return state.rules["current_player"]

    def observe(self, state: Position) -> Array:
        planes = self.env.observe(self._pgx_state(state.rules))
        return planes.astype(jnp.float32)

    def observation_spec(self) -> specs.Array:
        planes = jax.eval_shape(lambda: self.observe(self.init(jax.random.PRNGKey(0))))
        return specs.Array(planes.shape, np.float32, name="planes")

    def _pgx_state(self, rules: dict[str, Any]) -> Any:
        return _start_of(self).replace(**rules)

    def play(self, rules: dict[str, Any], action: Array) -> Position:
        state = self._pgx_state(rules)
        state = state.replace(_step_count=state._step_count + 1)
        state = self.env._step(state, action, None)
        return judged(
            _kept(state), state.legal_action_mask, state.terminated, state.rewards[0]
        )

    def compact(self, state: Position) -> Position:
        rules = jax.tree.map(
            lambda leaf: leaf if leaf.dtype == bool else leaf.astype(self.integer),
            state.rules,
        )
        return Position(rules, jnp.packbits(state.legal), state.result)

    def expand(self, compacted: Position) -> Position:
        rules = jax.tree.map(
            lambda leaf: leaf if leaf.dtype == bool else leaf.astype(jnp.int32),
            compacted.rules,
        )
        legal = jnp.unpackbits(compacted.legal, count=self.info.num_actions)  # type: ignore[attr-defined]
        return Position(rules, legal.astype(bool), compacted.result)


@functools.cache
def _start_of(game: PgxGame) -> Any:
    with jax.ensure_compile_time_eval():
        return jax.tree.map(jnp.asarray, game.start())  # Some of it is plain numbers.


def _kept(state: Any) -> dict[str, Any]:
    return {
        field.name: getattr(state, field.name)
        for field in dataclasses.fields(state)
        if field.name not in WORKED_OUT
    }
