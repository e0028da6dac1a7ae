"""Self-play on the device: B games in parallel; a game that ends is replaced by a new one.

Shapes: T moves, B games, K slots.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from tolman.agents.agent import Array, Params
from tolman.agents.alphazero.agent import AlphaZero
from tolman.agents.alphazero.search import Search, narrow
from tolman.envs.board.game import Game, State


class Games(NamedTuple):
    """Games under way.

    Attributes:
      state: `[B, ...]`.
      move_number: `[B]` int32, moves made so far, those drawn at random among them.
    """

    state: State
    move_number: Array


class Moves(NamedTuple):
    """What a replay stores for moves, `[T, B, ...]` or `[n, ...]`.

    Attributes:
      position: in which the move was made: compact, or its planes for rules on the host,
        packed perhaps.
      slots: `[..., K]` int16 or int32, the actions that the slots stand for.
      weights: `[..., K]` float16, the search's policy.
      value: float32, what the search made of the position, to the player to move.
      player: int8, who moved.
      action: int32, the move.
      is_last: bool, whether it ended the game.
      outcome: `[..., 2]` float32, to both players; zeros before the last move.
    """

    position: State
    slots: Any
    weights: Any
    value: Any
    player: Any
    action: Any
    is_last: Any
    outcome: Any


def start_games(
    game: Game, batch_size: int, key: Array, num_random_moves: int = 0
) -> Games:
    """B games at their start, or past an opening of random moves.

    Args:
      game: the rules.
      batch_size: B.
      key: `[2]`.
      num_random_moves: the longest opening; see `AlphaZeroConfig`.
    """
    keys = jax.random.split(key, batch_size)
    games = Games(jax.vmap(game.init)(keys), jnp.zeros(batch_size, jnp.int32))
    if not num_random_moves:
        return games
    return jax.vmap(partial(_open, game, num_random_moves))(games, keys)


def _open(game: Game, num_random_moves: int, start: Games, key: Array) -> Games:
    """One game past its opening; at its start where the opening would end it."""
    # The start may have been drawn from `key` itself.
    length_key, moves_key = jax.random.split(jax.random.fold_in(key, 1))
    length = jax.random.randint(length_key, (), 0, num_random_moves + 1)

    def move(number: Array, state: State) -> State:
        chances = jnp.where(game.legal(state), 0.0, -jnp.inf)
        action = jax.random.categorical(jax.random.fold_in(moves_key, number), chances)
        return game.step(state, action.astype(jnp.int32))

    opened = Games(lax.fori_loop(0, length, move, start.state), length)
    is_over = game.is_over(opened.state)
    return jax.tree.map(partial(jnp.where, is_over), start, opened)


def play_moves(
    agent: AlphaZero, params: Params, games: Games, key: Array, num_moves: int
) -> tuple[Games, Moves]:
    """Makes `num_moves` moves in every game; may be jitted.

    A game that ends is replaced by a new one. The new games are made once for all the
    moves: an opening takes its number of steps in all games, whether they need it or not.

    Returns:
      The games as they stand then, and `[T, B, ...]` moves.
    """
    assert isinstance(agent.game, Game)
    start_key, moves_key = jax.random.split(key)
    num_games = len(games.move_number)
    fresh = start_games(agent.game, num_games, start_key, agent.config.num_random_moves)
    body = partial(_move, agent, params, fresh)
    return lax.scan(body, games, jax.random.split(moves_key, num_moves))


def _move(
    agent: AlphaZero, params: Params, fresh: Games, games: Games, key: Array
) -> tuple[Games, Moves]:
    game, search = agent.game, agent.search
    assert isinstance(game, Game) and isinstance(search, Search)
    before = games.state
    found = search(params, key, before, games.move_number, True)
    state = jax.vmap(game.step)(before, found.action)
    is_over = jax.vmap(game.is_over)(state)
    moves = Moves(
        position=jax.vmap(game.compact)(before),
        slots=narrow(found.slots, game.info.num_actions),
        weights=found.weights.astype(jnp.float16),
        value=found.value,
        player=jax.vmap(game.to_play)(before).astype(jnp.int8),
        action=found.action,
        is_last=is_over,
        outcome=jax.vmap(game.outcome)(state),
    )
    going_on = Games(state, games.move_number + 1)
    games = jax.tree.map(partial(_choose, is_over), fresh, going_on)
    return games, moves


def _choose(rows: Array, yes: Array, no: Array) -> Array:
    return jnp.where(rows.reshape(-1, *(1,) * (no.ndim - 1)), yes, no)
