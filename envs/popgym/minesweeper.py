"""POPGym's game of mines, whose board is not seen."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from dm_env import specs

from tolman.envs.environment import Array, TimeStep, register_env, restart, transition
from tolman.envs.popgym.battleship import one_field
from tolman.envs.popgym.deck import Positive


class MinesweeperState(NamedTuple):
    """Attributes:
    is_mine: `[size, size]` bool.
    is_viewed: `[size, size]` bool.
    time: `[]` int32, steps taken.
    """

    is_mine: Array
    is_viewed: Array
    time: Array


@register_env("popgym/minesweeper/easy")
@dataclass(frozen=True)
class Minesweeper:
    """View all fields without a mine, told how many mines are near: 4 x 4 fields, 2 mines.

    Of L fields without a mine each pays `1 / L` when it is viewed; viewing it again costs
    `0.5 / (L - 2)`, and a mine costs `0.5 + 1 / L` and ends the episode. It is over, too,
    with the last of the L, and cut after L steps. A row shows the mines in the 3 x 3 fields
    around the one that was viewed, itself included, and 0 at the start; the field is not
    shown: an agent needs its last action as an input.

    Source: Morad et al. 2023, "POPGym"; rules and sizes are those of popgym 1.0.7.

    Attributes:
      size: fields of a side.
      num_mines: at most `size^2 - 3`.
    """

    size: Positive = 4
    num_mines: Positive = 2

    def setting_problems(self) -> Iterator[tuple[str, str]]:
        if self.num_mines > self.size**2 - 3:
            yield "num_mines", f"at most {self.size**2 - 3}, 3 fields less than there are"

    def reset(self, key: Array) -> tuple[MinesweeperState, TimeStep]:
        """Lays the mines."""
        luck = jax.random.uniform(key, (self.size**2,))
        mines = jax.lax.top_k(luck, self.num_mines)[1]
        is_mine = (jnp.arange(self.size**2)[:, None] == mines).any(-1)
        state = MinesweeperState(
            is_mine=is_mine.reshape(self.size, self.size),
            is_viewed=jnp.zeros((self.size, self.size), bool),
            time=jnp.int32(0),
        )
        return state, restart(jnp.int32(0))

    def step(
        self, state: MinesweeperState, action: Array
    ) -> tuple[MinesweeperState, TimeStep]:
        """Views the field at `action`: row and column."""
        is_here = one_field(action, self.size)
        num_free = self.size**2 - self.num_mines
        is_mine = (is_here & state.is_mine).any()
        was_viewed = (is_here & state.is_viewed).any()
        payment = jnp.where(was_viewed, -0.5 / (num_free - 2), 1.0 / num_free)
        reward = jnp.where(is_mine, -0.5 - 1.0 / num_free, payment)
        row, column = jnp.abs(jnp.arange(self.size) - action[:, None]) <= 1
        near = (row[:, None] & column & state.is_mine).sum(dtype=jnp.int32)

        is_viewed = state.is_viewed | is_here
        state = MinesweeperState(state.is_mine, is_viewed, state.time + 1)
        is_over = is_mine | (is_viewed | state.is_mine).all()
        return state, transition(reward, near, is_over, state.time == num_free)

    def observation_spec(self) -> specs.DiscreteArray:
        """The mines in the nine fields, of which there are at most `num_mines`."""
        return specs.DiscreteArray(min(self.num_mines + 1, 10), name="observation")

    def action_spec(self) -> specs.BoundedArray:
        """`[2]`: row and column."""
        return specs.BoundedArray((2,), np.int32, 0, self.size - 1, "action")


@register_env("popgym/minesweeper/medium")
@dataclass(frozen=True)
class MinesweeperMedium(Minesweeper):
    """View all fields without a mine, told how many are near: 6 x 6 fields, 6 mines."""

    size: Positive = 6
    num_mines: Positive = 6


@register_env("popgym/minesweeper/hard")
@dataclass(frozen=True)
class MinesweeperHard(Minesweeper):
    """View all fields without a mine, told how many are near: 8 x 8 fields, 10 mines."""

    size: Positive = 8
    num_mines: Positive = 10
