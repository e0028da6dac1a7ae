"""The task of a maze for E bodies that engines on the host move, in one compiled call.

Computed on the CPU, whatever else there is. Shapes: E copies, every leaf is `[E, ...]`.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from tolman.envs.environment import Array
from tolman.envs.maze import Maze, task


class Progress(NamedTuple):
    """Attributes:
    keys: `[2]`, of the next episodes.
    start_key: `[2]`, of the starts to come in this one.
    task: of the episode.
    time: `[]` int32, decisions taken in it.
    """

    keys: Array
    start_key: Array
    task: task.Task
    time: Array


class Outcome(NamedTuple):
    """Attributes:
    reward: `[]` float32.
    is_found: `[]` bool, the goal; the body is to be put to the start.
    is_over: `[]` bool, the time.
    start: where the body is to be put.
    closes_loop: `[]` bool, see `task.closes_loop`.
    """

    reward: Array
    is_found: Array
    is_over: Array
    start: task.Pose
    closes_loop: Array


class HostTask:
    """The tasks of E copies. The draws are those of `Maze.reset` and `Maze.step`."""

    def __init__(self, maze: Maze, keys: Array) -> None:
        """Begins nothing yet.

        Args:
          maze: with the rules.
          keys: `[E, 2]`, one a copy.
        """
        self._device = jax.local_devices(backend="cpu")[0]
        self._begin = jax.jit(jax.vmap(lambda old, is_over: _begin(maze, old, is_over)))
        self._decide = jax.jit(jax.vmap(lambda *rest: _decide(maze, *rest)))
        with jax.default_device(self._device):
            begin = functools.partial(task.begin, maze.rules, max_path=maze.max_path)
            empty, _ = jax.vmap(lambda key: begin(key=key))(keys)
            time = jnp.zeros(len(keys), jnp.int32)
            self.progress = Progress(keys, keys, empty, time)

    def begin(self, is_over: np.ndarray) -> tuple[Any, Any]:
        """Draws an episode where one `is_over`, `[E]`; the tasks, and starts."""
        with jax.default_device(self._device):
            self.progress, start = self._begin(self.progress, is_over)
        return jax.device_get((self.progress.task, start))

    def decide(
        self, is_on: np.ndarray, before: np.ndarray, after: np.ndarray
    ) -> tuple[Any, Any]:
        """What comes of a decision: the tasks after it, and outcomes.

        Args:
          is_on: `[E]`, copies that took one.
          before: `[E, 2]`, places, in cells.
          after: `[E, 2]`.
        """
        with jax.default_device(self._device):
            self.progress, outcome = self._decide(self.progress, is_on, before, after)
        return jax.device_get((self.progress.task, outcome))


def _begin(maze: Maze, old: Progress, is_over: Array) -> tuple[Progress, task.Pose]:
    carried, used = jax.random.split(old.keys)
    task_key, start_key = jax.random.split(used)
    drawn, start = task.begin(maze.rules, task_key, maze.max_path)
    fresh = Progress(carried, start_key, drawn, jnp.int32(0))
    return jax.tree.map(lambda new, kept: jnp.where(is_over, new, kept), fresh, old), start


def _decide(
    maze: Maze, old: Progress, is_on: Array, before: Array, after: Array
) -> tuple[Progress, Outcome]:
    """The way is taken to be straight, and even through the frames of the decision."""
    rules = maze.rules

    def frame(
        number: int, carried: tuple[task.Task, Array, Array]
    ) -> tuple[task.Task, Array, Array]:
        now, reward, is_found = carried
        place = before + (after - before) * (number + 1) / maze.action_repeat
        later, more, is_reached = task.collect(rules, now, place)
        now = jax.tree.map(lambda a, b: jnp.where(is_found, a, b), now, later)
        return now, reward + more * ~is_found, is_found | is_reached

    first = (old.task, jnp.float32(0.0), jnp.bool_(False))
    now, reward, is_found = lax.fori_loop(0, maze.action_repeat, frame, first)
    again, start = task.respawn(rules, now, jax.random.fold_in(old.start_key, old.time))
    walked = task.walk(now, after) if maze.max_path > 1 else now
    now = jax.tree.map(lambda a, b: jnp.where(is_found, a, b), again, walked)
    time = old.time + 1
    fresh = Progress(old.keys, old.start_key, now, time)
    progress = jax.tree.map(lambda new, kept: jnp.where(is_on, new, kept), fresh, old)
    is_over = time >= maze.num_decisions
    outcome = Outcome(
        maze.reward_scale * reward, is_found, is_over, start, task.closes_loop(now)
    )
    return progress, outcome
