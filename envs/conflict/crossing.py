"""Something crosses a small board, and the player at the far side catches or dodges it.

Three games of one spec, for a learner that meets one after another: what is right in one
moves the player wrongly, or not at all, in another.

Shapes: S cells a side.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from dm_env import specs

from tolman.envs.environment import Array, TimeStep, register_env, restart, transition

SIDE = 8
STAY, UP, DOWN, LEFT, RIGHT = range(5)
PLAYER, GOOD, BAD = range(3)  # Channels of the observation.
GOOD_LENGTH, BAD_LENGTH = 1, 5  # Cells: a random player does badly in either game.


class CrossingState(NamedTuple):
    """Attributes:
    player: `[]` int32, its place along its side, from the left or the top.
    block: `[]` int32, the first cell of what crosses, counted likewise.
    distance: `[]` int32, cells from it to the player's side; 0 ends the episode.
    """

    player: Array
    block: Array
    distance: Array


@dataclass(frozen=True)
class Crossing:
    """One block crosses the board in S - 1 decisions; its end pays 1 or -1.

    The player stands at the side that the block moves to and goes along it, a cell a
    decision. Source: after Catch (Mnih et al. 2014).

    Attributes:
      start: the side that the block comes from.
      is_good: a block of one cell is to be caught; else one of five is to be dodged.
      is_exchanged: of the player's two moves each does what the other one says.
    """

    start: Literal["top", "right", "left"]
    is_good: bool = True
    is_exchanged: bool = False

    def reset(self, key: Array) -> tuple[CrossingState, TimeStep]:
        """Draws the places of the player and the block."""
        player_key, block_key = jax.random.split(key)
        state = CrossingState(
            jax.random.randint(player_key, (), 0, SIDE),
            jax.random.randint(block_key, (), 0, SIDE - self._length + 1),
            jnp.int32(SIDE - 1),
        )
        return state, restart(self._observe(state))

    def step(self, state: CrossingState, action: Array) -> tuple[CrossingState, TimeStep]:
        """Moves the player, then the block."""
        back, forth = (LEFT, RIGHT) if self.start == "top" else (UP, DOWN)
        if self.is_exchanged:
            back, forth = forth, back
        move = (action == forth).astype(jnp.int32) - (action == back)
        player = jnp.clip(state.player + move, 0, SIDE - 1)
        state = CrossingState(player, state.block, state.distance - 1)
        ends = state.distance == 0
        meets = (player >= state.block) & (player < state.block + self._length)
        reward = jnp.where(ends, jnp.where(meets == self.is_good, 1.0, -1.0), 0.0)
        return state, transition(reward, self._observe(state), ends)

    @property
    def _length(self) -> int:
        return GOOD_LENGTH if self.is_good else BAD_LENGTH

    def _observe(self, state: CrossingState) -> Array:
        cells = jnp.arange(SIDE)
        at_end = cells == SIDE - 1
        there = cells == SIDE - 1 - state.distance  # How far the block has come.
        block = (cells >= state.block) & (cells < state.block + self._length)
        player = at_end[:, None] & (cells == state.player)  # [come, along]
        layers = [player, jnp.zeros_like(player), jnp.zeros_like(player)]
        layers[GOOD if self.is_good else BAD] = there[:, None] & block
        board = jnp.stack(layers, -1).astype(jnp.float32)
        if self.start == "top":
            return board
        board = jnp.swapaxes(board, 0, 1)  # [row, column], from the left.
        return board if self.start == "left" else board[:, ::-1]

    def observation_spec(self) -> specs.BoundedArray:
        """`[S, S, 3]`: the player, what is to be caught, what is to be dodged."""
        return specs.BoundedArray((SIDE, SIDE, 3), np.float32, 0.0, 1.0, "board")

    def action_spec(self) -> specs.DiscreteArray:
        """Stay, up, down, left, right."""
        return specs.DiscreteArray(5)


@register_env("conflict/catch")
def catch() -> Crossing:
    """A block falls and is to be caught; the player goes left and right."""
    return Crossing("top")


@register_env("conflict/dodge")
def dodge() -> Crossing:
    """A wall comes from the right and is to be dodged; the player goes up and down."""
    return Crossing("right", is_good=False)


@register_env("conflict/exchanged")
def exchanged() -> Crossing:
    """A block comes from the left and is to be caught; up goes down, and down up."""
    return Crossing("left", is_exchanged=True)
