"""A small game, and what tests of board-game agents share."""

from dataclasses import dataclass, replace
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from dm_env import specs

from tolman.agents.alphazero import AlphaZero, AlphaZeroConfig
from tolman.envs.board.game import GameInfo

TINY = AlphaZeroConfig(num_filters=8, num_blocks=1, value_units=8, num_simulations=20)


class Pile(NamedTuple):
    stones: jax.Array
    player: jax.Array
    last_taken: jax.Array


@dataclass(frozen=True)
class Stones:
    """Take 1 to 5 stones; whoever takes the last wins, with 3 at once it is a draw.

    Who takes an even number moves again. An action is the number less one, plus `spread`
    for each stone, so that most of the actions are never legal.
    """

    start: int = 12
    spread: int = 0

    @property
    def info(self):
        return GameInfo("stones", 5 * (self.spread + 1), 5, self.start, (1, self.start + 1))

    def init(self, key):
        return Pile(jnp.int32(self.start), jnp.int32(0), jnp.int32(0))

    def step(self, state, action):
        taken = jnp.asarray(action, jnp.int32) // (self.spread + 1) + 1
        after = state.stones - taken
        again = (taken % 2 == 0) | (after == 0)
        new = Pile(after, jnp.where(again, state.player, 1 - state.player), taken)
        return jax.tree.map(lambda a, b: jnp.where(state.stones == 0, a, b), state, new)

    def legal(self, state):
        action = jnp.arange(self.info.num_actions)
        taken = action // (self.spread + 1) + 1
        return (taken <= state.stones) & (action % (self.spread + 1) == 0)

    def to_play(self, state):
        return state.player

    def is_over(self, state):
        return state.stones == 0

    def outcome(self, state):
        won = (state.stones == 0) & (state.last_taken != 3)
        score = jnp.where(state.player == 0, 1.0, -1.0) * won
        return jnp.stack([score, -score])

    def observe(self, state):
        planes = jax.nn.one_hot(state.stones, self.start + 1)
        return planes[None, :, None]

    def observation_spec(self):
        return specs.Array((1, self.start + 1, 1), np.float32)

    def compact(self, state):
        return jax.tree.map(lambda leaf: leaf.astype(jnp.int8), state)

    def expand(self, compacted):
        return jax.tree.map(lambda leaf: leaf.astype(jnp.int32), compacted)

    def symmetries(self, observation, policy):
        return observation[None], policy[None]


def tiny_agent(game, seed=0, scale=1.0, **settings):
    """An agent with a tiny network, and parameters for it; `scale` makes it opinionated."""
    agent = AlphaZero(replace(TINY, **settings), game)
    params = agent.init(jax.random.PRNGKey(seed)).params
    return agent, jax.tree.map(lambda leaf: scale * leaf, params)


def positions(game, batch_size, num_moves, seed=0):
    """Positions `[B, ...]` after random legal moves, none of them over."""

    def play(key):
        def move(state, key):
            logits = jnp.where(game.legal(state), 0.0, -jnp.inf)
            after = game.step(state, jax.random.categorical(key, logits))
            goes_on = ~game.is_over(after)
            keep = lambda new, old: jnp.where(goes_on, new, old)  # noqa: E731
            return jax.tree.map(keep, after, state), None

        keys = jax.random.split(key, num_moves)
        return jax.lax.scan(move, game.init(key), keys)[0]

    return jax.jit(jax.vmap(play))(jax.random.split(jax.random.PRNGKey(seed), batch_size))


def row(tree, index):
    """One position of a batch."""
    return jax.tree.map(lambda leaf: leaf[index], tree)


class HostStones:
    """`Stones` in plain Python."""

    def __init__(self, start=12):
        self.start, self.stones, self.player, self.last_taken = start, start, 0, 0

    @property
    def info(self):
        return Stones(self.start).info

    def new(self):
        return HostStones(self.start)

    def copy(self):
        twin = HostStones(self.start)
        twin.__dict__.update(self.__dict__)
        return twin

    def step(self, action):
        if action not in self.legal_actions():
            raise ValueError(f"action {action} is not legal.")
        self.last_taken = action + 1
        self.stones -= self.last_taken
        if self.last_taken % 2 and self.stones:
            self.player = 1 - self.player

    def legal_actions(self):
        return list(range(min(5, self.stones)))

    def to_play(self):
        return self.player

    def is_over(self):
        return self.stones == 0

    def outcome(self):
        if self.stones or self.last_taken == 3:
            return 0.0, 0.0
        return (1.0, -1.0) if self.player == 0 else (-1.0, 1.0)

    def observe(self):
        planes = np.zeros((1, self.start + 1, 1), np.float32)
        planes[0, self.stones, 0] = 1.0
        return planes

    def observation_spec(self):
        return Stones(self.start).observation_spec()

    def action_to_text(self, action):
        return str(action + 1)

    def text_to_action(self, text):
        return int(text) - 1

    def render(self):
        return "o" * self.stones
