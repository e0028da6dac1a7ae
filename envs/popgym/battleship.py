"""POPGym's game of battleships, whose board is not seen."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Annotated, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from annotated_types import Ge
from dm_env import specs

from tolman.envs.environment import Array, TimeStep, register_env, restart, transition

SHIPS = (2, 3, 3, 4)  # Lengths, in the order in which they are placed.
NUM_HITS = sum(SHIPS)
# Boards on which the last ship finds a place wherever the others lie.
BoardSize = Annotated[int, Ge(6)]


class BattleshipState(NamedTuple):
    """Attributes:
    is_ship: `[size, size]` bool.
    is_tried: `[size, size]` bool.
    time: `[]` int32, steps taken.
    """

    is_ship: Array
    is_tried: Array
    time: Array


@register_env("popgym/battleship/easy")
@dataclass(frozen=True)
class Battleship:
    """Hit all fields of four ships that are not seen: 8 x 8 fields.

    A field of a ship that is tried for the first time pays `1 / 12`, as there are 12 of
    them; any other try costs `1 / (size^2 - 12)`. The episode is over with the last hit,
    and cut after `size^2` steps: trying every field once returns 0. A row shows whether the
    last try hit, and 0 at the start; the field itself is not shown: an agent needs its
    last action as an input. Ships are placed one after the other, each with equal chance at
    every place that is free; they may touch.

    Source: Morad et al. 2023, "POPGym"; rules and sizes are those of popgym 1.0.7.

    Attributes:
      size: fields of a side.
    """

    size: BoardSize = 8

    def reset(self, key: Array) -> tuple[BattleshipState, TimeStep]:
        """Places the ships."""
        is_ship = jnp.zeros(self.size**2, jnp.float32)
        keys = jax.random.split(key, len(SHIPS))
        for ship_key, length in zip(keys, SHIPS, strict=True):
            places = jnp.asarray(_places(self.size, length), jnp.float32)
            is_free = places @ is_ship == 0.0
            # The largest of independent numbers is at each of the free ones alike.
            luck = jax.random.uniform(ship_key, is_free.shape)
            place = jnp.argmax(jnp.where(is_free, luck, -1.0))
            is_ship += places[place]
        state = BattleshipState(
            is_ship=is_ship.reshape(self.size, self.size) > 0.0,
            is_tried=jnp.zeros((self.size, self.size), bool),
            time=jnp.int32(0),
        )
        return state, restart(jnp.int32(0))

    def step(
        self, state: BattleshipState, action: Array
    ) -> tuple[BattleshipState, TimeStep]:
        """Tries the field at `action`: row and column."""
        is_here = one_field(action, self.size)
        is_hit = (is_here & state.is_ship & ~state.is_tried).any()
        num_fields = self.size**2
        reward = jnp.where(is_hit, 1.0 / NUM_HITS, -1.0 / (num_fields - NUM_HITS))
        is_tried = state.is_tried | is_here
        state = BattleshipState(state.is_ship, is_tried, state.time + 1)
        is_over = (is_tried | ~state.is_ship).all()
        is_cut = state.time >= num_fields
        return state, transition(reward, is_hit.astype(jnp.int32), is_over, is_cut)

    def observation_spec(self) -> specs.DiscreteArray:
        """1 after a hit, else 0."""
        return specs.DiscreteArray(2, name="observation")

    def action_spec(self) -> specs.BoundedArray:
        """`[2]`: row and column."""
        return specs.BoundedArray((2,), np.int32, 0, self.size - 1, "action")


@register_env("popgym/battleship/medium")
@dataclass(frozen=True)
class BattleshipMedium(Battleship):
    """Hit all fields of four ships that are not seen: 10 x 10 fields."""

    size: BoardSize = 10


@register_env("popgym/battleship/hard")
@dataclass(frozen=True)
class BattleshipHard(Battleship):
    """Hit all fields of four ships that are not seen: 12 x 12 fields."""

    size: BoardSize = 12


def one_field(place: Array, size: int) -> Array:
    """`[size, size]` bool, True at row and column `place`; faster than a scatter."""
    row, column = jnp.arange(size) == place[:, None]
    return row[:, None] & column


@functools.cache
def _places(size: int, length: int) -> np.ndarray:
    """`[P, size^2]` bool: the fields of a ship at each place, across and then down."""
    across = np.zeros((size, size - length + 1, size, size), bool)
    for row in range(size):
        for column in range(size - length + 1):
            across[row, column, row, column : column + length] = True
    across = across.reshape(-1, size, size)
    return np.concatenate([across, across.swapaxes(1, 2)]).reshape(-1, size**2)
