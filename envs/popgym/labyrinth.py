"""POPGym's labyrinths, of which the nine squares around the agent are seen."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from annotated_types import Ge
from dm_env import specs

from tolman.envs.environment import Array, TimeStep, register_env, restart, transition
from tolman.envs.popgym.hunt_and_kill import carve, draw_entrances

FREE, OBSTACLE, START, GOAL = range(4)  # Squares, as they are seen.
NUM_CODES = 5  # POPGym's fifth, of squares that are hidden, is never seen.
LEFT, RIGHT, UP, DOWN, NO_ACTION = range(5)
STEPS = np.array([[0, -1], [0, 1], [-1, 0], [1, 0]], np.int32)  # Rows and columns.

Size = Annotated[int, Ge(4)]
MaxNumSteps = Annotated[int, Ge(2)]


class LabyrinthState(NamedTuple):
    """Attributes:
    squares: `[size + 1, size + 1]` int32, `FREE` to `GOAL`.
    is_explored: `[size + 1, size + 1]` bool, where the agent has been.
    place: `[2]` int32, row and column of the agent.
    time: `[]` int32, steps taken.
    """

    squares: Array
    is_explored: Array
    place: Array
    time: Array


@dataclass(frozen=True)
class Labyrinth:
    """A maze and an agent in it: what the two tasks share.

    Mazes come from the hunt-and-kill algorithm, with `size / 2` cells a side. The agent
    starts in an outer wall. A step to a wall or out of the maze leaves it where it is.

    Source: Morad et al. 2023, "POPGym"; rules and sizes are those of popgym 1.0.7, whose
      authors found that memory hardly helps here.

    Attributes:
      size: squares of a side, less 1; even.
      max_num_steps: L; the clock cuts an episode after L - 1 steps.
    """

    size: Size = 10
    max_num_steps: MaxNumSteps = 1024

    def setting_problems(self) -> Iterator[tuple[str, str]]:
        if self.size % 2:
            yield "size", "even"

    def observation_spec(self) -> specs.BoundedArray:
        """`[10]`: nine squares, row by row, and the last action, 4 at the start.

        The agent stands in the middle, but at the upper and the left edge of the maze:
        there the view begins with the edge, and what is left of it below or to the right is
        shown as obstacles, as in popgym 1.0.7.
        """
        return specs.BoundedArray((10,), np.int32, 0, NUM_CODES - 1, "observation")

    def action_spec(self) -> specs.DiscreteArray:
        """Left, right, up and down."""
        return specs.DiscreteArray(4, name="action")

    def _draw(self, key: Array) -> tuple[LabyrinthState, Array]:
        """A state at its start, and where the goal would be, `[2]`."""
        maze_key, entrance_key = jax.random.split(key)
        num_cells = self.size // 2
        start, goal = draw_entrances(entrance_key, num_cells)
        squares = jnp.where(carve(maze_key, num_cells), FREE, OBSTACLE)
        state = LabyrinthState(
            squares=squares.at[start[0], start[1]].set(START).astype(jnp.int32),
            is_explored=jnp.zeros(squares.shape, bool).at[start[0], start[1]].set(True),
            place=start,
            time=jnp.int32(0),
        )
        return state, goal

    def _move(self, state: LabyrinthState, action: Array) -> LabyrinthState:
        place = jnp.clip(state.place + jnp.asarray(STEPS)[action], 0, self.size)
        is_wall = state.squares[place[0], place[1]] == OBSTACLE
        place = jnp.where(is_wall, state.place, place)
        is_explored = state.is_explored.at[place[0], place[1]].set(True)
        return LabyrinthState(state.squares, is_explored, place, state.time + 1)

    def _observe(self, state: LabyrinthState, action: Array) -> Array:
        corner = jnp.maximum(state.place - 1, 0)
        padded = jnp.pad(state.squares, (0, 2), constant_values=OBSTACLE)
        view = jax.lax.dynamic_slice(padded, tuple(corner), (3, 3))
        rows, columns = corner[:, None] + jnp.arange(3)
        is_near = (rows <= state.place[0] + 1)[:, None] & (columns <= state.place[1] + 1)
        view = jnp.where(is_near, view, OBSTACLE)
        return jnp.concatenate([view.reshape(9), jnp.asarray(action, jnp.int32)[None]])

    def _is_cut(self, state: LabyrinthState) -> Array:
        return state.time == self.max_num_steps - 1


@register_env("popgym/labyrinth_escape/easy")
@dataclass(frozen=True)
class LabyrinthEscape(Labyrinth):
    """Find the way out of a maze: 5 x 5 cells.

    The way out is in the wall opposite to the start. Every step costs `1 / L`, and the one
    that leads out pays 1 besides and ends the episode.
    """

    def reset(self, key: Array) -> tuple[LabyrinthState, TimeStep]:
        """Draws a maze, and where one comes in and out."""
        state, goal = self._draw(key)
        squares = state.squares.at[goal[0], goal[1]].set(GOAL)
        state = state._replace(squares=squares)
        return state, restart(self._observe(state, jnp.int32(NO_ACTION)))

    def step(self, state: LabyrinthState, action: Array) -> tuple[LabyrinthState, TimeStep]:
        """Moves by one square."""
        state = self._move(state, action)
        is_out = state.squares[state.place[0], state.place[1]] == GOAL
        reward = jnp.where(is_out, 1.0, 0.0) - 1.0 / self.max_num_steps
        seen = self._observe(state, action)
        return state, transition(reward, seen, is_out, self._is_cut(state))


@register_env("popgym/labyrinth_escape/medium")
@dataclass(frozen=True)
class LabyrinthEscapeMedium(LabyrinthEscape):
    """Find the way out of a maze: 7 x 7 cells."""

    size: Size = 14


@register_env("popgym/labyrinth_escape/hard")
@dataclass(frozen=True)
class LabyrinthEscapeHard(LabyrinthEscape):
    """Find the way out of a maze: 9 x 9 cells."""

    size: Size = 18


@register_env("popgym/labyrinth_explore/easy")
@dataclass(frozen=True)
class LabyrinthExplore(Labyrinth):
    """Visit all squares of a maze: 5 x 5 cells.

    A square that is visited for the first time pays `1 / F`, where F squares are free
    besides the start; any other step costs `1 / L`. The episode is over with the last one.
    """

    def reset(self, key: Array) -> tuple[LabyrinthState, TimeStep]:
        """Draws a maze, and where one comes in."""
        state, _ = self._draw(key)
        return state, restart(self._observe(state, jnp.int32(NO_ACTION)))

    def step(self, state: LabyrinthState, action: Array) -> tuple[LabyrinthState, TimeStep]:
        """Moves by one square."""
        explored_before = state.is_explored
        state = self._move(state, action)
        is_new = ~explored_before[state.place[0], state.place[1]]
        num_free = jnp.sum(state.squares == FREE)
        reward = jnp.where(is_new, 1.0 / num_free, -1.0 / self.max_num_steps)
        is_over = ((state.squares != OBSTACLE) == state.is_explored).all()
        seen = self._observe(state, action)
        return state, transition(reward, seen, is_over, self._is_cut(state))


@register_env("popgym/labyrinth_explore/medium")
@dataclass(frozen=True)
class LabyrinthExploreMedium(LabyrinthExplore):
    """Visit all squares of a maze: 7 x 7 cells."""

    size: Size = 14


@register_env("popgym/labyrinth_explore/hard")
@dataclass(frozen=True)
class LabyrinthExploreHard(LabyrinthExplore):
    """Visit all squares of a maze: 9 x 9 cells."""

    size: Size = 18
