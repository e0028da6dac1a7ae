"""Mazes on a grid: the same layouts and the same task, one cell a move, nothing to be seen.

What a policy must remember is the same as in the mazes of pixels; what it must learn to see
is left out, so that a memory is trained in minutes.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, NamedTuple

import jax
import jax.numpy as jnp
from annotated_types import Ge
from dm_env import specs

from tolman.envs.environment import Array, TimeStep, register_env, restart, transition
from tolman.envs.maze import task
from tolman.envs.maze.environment import GENERATED, Maze, find_layouts
from tolman.envs.maze.layout import EAST, NORTH, SOUTH, WEST, Layout

MOVES = ("north", "east", "south", "west")
FACES = (NORTH, EAST, SOUTH, WEST)


class GridMazeState(NamedTuple):
    """Attributes:
    cell: `[]` int32, where the agent is.
    task: of the episode.
    time: `[]` int32, moves taken in this episode.
    key: `[2]`, of the starts to come.
    """

    cell: Array
    task: task.Task
    time: Array
    key: Array


@register_env("maze/grid")
@dataclass(frozen=True)
class GridMaze:
    """A maze without pixels: the cell is seen, and a move is a cell.

    Find the goal, be put back to a start, find it again, until the time is over. Four
    moves, by compass; one into a wall stays. The goal pays 1 and leads to a start; time
    alone ends an episode, so its end is a truncation.

    Source: Wang et al. 2016, section 3.2.3, and Mirowski et al. 2016, for the I-maze.
      Departure: cells in place of pixels.

    Attributes:
      layout: a name, or the path of a text; see `Maze`.
      num_moves: of an episode.
    """

    layout: str = "i_maze"
    num_moves: Annotated[int, Ge(1)] = 120

    def setting_problems(self) -> Iterator[tuple[str, str]]:
        if self.layout == GENERATED:
            yield "layout", "of one maze; generated ones are for maze/generated"
            return
        find_layouts(Maze(layout=self.layout))  # Refuses a layout that is none.

    @functools.cached_property
    def maze(self) -> Layout:
        """The layout."""
        return find_layouts(Maze(layout=self.layout))[0]

    @functools.cached_property
    def rules(self) -> task.Rules:
        """Of the task."""
        return task.make_rules([self.maze])

    def reset(self, key: Array) -> tuple[GridMazeState, TimeStep]:
        """Draws the goal and a start."""
        task_key, key = jax.random.split(key)
        drawn, pose = task.begin(self.rules, task_key, 1)
        cell = self._cell(pose)
        return GridMazeState(cell, drawn, jnp.int32(0), key), restart(cell)

    def step(self, state: GridMazeState, action: Array) -> tuple[GridMazeState, TimeStep]:
        """Moves; on the goal, leads to a start."""
        width = self.rules.width
        bits = jnp.asarray(self.rules.arrays.faces[0])[state.cell].astype(jnp.int32)
        is_wall = (bits >> jnp.asarray(FACES)[action]) & 1
        shift = jnp.array([-width, 1, width, -1], jnp.int32)[action]
        cell = jnp.where(is_wall == 1, state.cell, state.cell + shift)
        is_found = cell == state.task.cells[-1]
        key = jax.random.fold_in(state.key, state.time)
        _, pose = task.respawn(self.rules, state.task, key)
        cell = jnp.where(is_found, self._cell(pose), cell)
        state = GridMazeState(cell, state.task, state.time + 1, state.key)
        reward = is_found.astype(jnp.float32)
        return state, transition(reward, cell, False, state.time >= self.num_moves)

    def observation_spec(self) -> specs.DiscreteArray:
        """The cell, `width * row + column`."""
        return specs.DiscreteArray(len(self.maze.arrays.is_open), name="cell")

    def action_spec(self) -> specs.DiscreteArray:
        """See `MOVES`."""
        return specs.DiscreteArray(len(MOVES), name="move")

    def _cell(self, pose: task.Pose) -> Array:
        x, y = jnp.floor(pose.position).astype(jnp.int32)
        return self.rules.width * y + x
