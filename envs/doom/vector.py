"""Copies of a maze in ViZDoom, each engine in a thread of its own.

Shapes: E copies, S pixels a side, K items.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import numpy as np
from dm_env import specs

from tolman.envs.checks import brief
from tolman.envs.doom.engine import Engine, Sight
from tolman.envs.doom.level import level_wad
from tolman.envs.doom.rules import HostTask
from tolman.envs.doom.settings import DoomSettings
from tolman.envs.environment import FIRST, LAST, MID, TimeStep
from tolman.envs.host import EnvironmentFault
from tolman.envs.maze import task
from tolman.envs.maze.depth_target import depth_classes, target_pixels, to_buffer
from tolman.envs.maze.environment import find_layouts
from tolman.envs.maze.motion import COMMANDS, SPEED

DEPTHS = {"rgbd", "depth", "depth_classes"}  # Fields that need the depth buffer.


class DoomVector:
    """E copies of a maze; see `HostVector` for the rows, `Maze` for the fields.

    The engine moves the body; goal, fruit, starts, rewards, clock and labels are the
    functions of `tolman.envs.maze.task`, by the places that the engine tells. What is
    picked up costs one further tic, in which nothing is done: so long does the engine take
    to put things elsewhere.

    Attributes:
      num_envs: E.
      releases_gil: it steps outside Python.
      episode_info: nothing is told.
    """

    releases_gil = True

    def __init__(
        self, name: str, settings: DoomSettings, num_envs: int, seed: int = 0
    ) -> None:
        """Starts the engines.

        Args:
          name: the id, `doom/static_1`.
          settings: of all copies.
          num_envs: E, at least 1.
          seed: all chance comes from it, as in `maze/...`.

        Raises:
          ValueError: for a layout that is none, or no copies.
          EnvironmentFault: if an engine does not start.
        """
        if num_envs < 1:
            raise ValueError(f"num_envs={num_envs}: must be at least 1.")
        self.num_envs, self._name, self._step_number = num_envs, name, 0
        self.episode_info: Sequence[Mapping[str, float]] = [{}] * num_envs
        self._maze = settings.maze(name)
        layout = find_layouts(self._maze)[0]
        self._width, size = layout.width, settings.image_size
        level = level_wad(layout, self._maze.rules.kinds)
        has_depth = bool(DEPTHS & set(settings.fields))
        self._target = np.ix_(*target_pixels(size, size))
        self._pool = ThreadPoolExecutor(num_envs, "doom")
        self._engines: list[Engine] = []
        for _ in range(num_envs):
            self._engines.append(self._call(Engine, level, layout.height, size, has_depth))
        self.reseed(seed)

    def reseed(self, seed: int) -> None:
        """Makes the next `reset` draw all chance from `seed`."""
        with jax.default_device(jax.local_devices(backend="cpu")[0]):
            _, _, key = jax.random.split(jax.random.PRNGKey(seed), 3)
            self._task = HostTask(self._maze, jax.random.split(key, self.num_envs))
        self._is_over = np.ones(self.num_envs, bool)  # [E], the last row was LAST.
        self._sights: list[Any] = [None] * self.num_envs

    def observation_spec(self) -> dict[str, specs.Array]:
        return self._maze.observation_spec()

    def action_spec(self) -> specs.DiscreteArray:
        return self._maze.action_spec()

    def reset(self) -> TimeStep:
        self._is_over = np.ones(self.num_envs, bool)
        return self.step(np.zeros(self.num_envs, np.int32))

    def step(self, action: Any) -> TimeStep:
        """See `HostVector`.

        Raises:
          ValueError: for an action out of range.
        """
        self._step_number += 1
        actions = self._checked(action)
        starts, is_on = self._is_over, ~self._is_over
        before = self._places()
        self._each(is_on, lambda copy: self._move(copy, int(actions[copy])))
        was_there = np.asarray(self._task.progress.task.is_there)  # [E, K]
        now, outcome = self._task.decide(is_on, before, self._places())
        is_put = is_on & outcome.is_found
        is_changed = is_on & (now.is_there != was_there).any(axis=1)
        poses = outcome.start
        if starts.any():
            now, fresh = self._task.begin(starts)
            poses = jax.tree.map(
                lambda new, old: np.where(_like(starts, new), new, old), fresh, poses
            )
        is_put = is_put | starts

        def put(copy: int) -> None:
            pose = jax.tree.map(lambda leaf: leaf[copy], poses) if is_put[copy] else None
            self._put(copy, now.cells[copy], now.is_there[copy], pose)

        self._each(is_put | is_changed, put)
        self._is_over = is_on & outcome.is_over
        turning = np.where(is_put, 0.0, COMMANDS[actions, 0])
        closes = outcome.closes_loop & ~is_put
        kinds = np.where(starts, FIRST, np.where(self._is_over, LAST, MID))
        arrays: Any = (
            kinds.astype(np.int32),
            np.where(starts, 0.0, outcome.reward).astype(np.float32),
            np.ones(self.num_envs, np.float32),
            self._observe(is_put, turning, closes),
            starts,
        )
        return TimeStep(*arrays)

    def close(self) -> None:
        """Ends the engines and the threads."""
        self._pool.shutdown()
        for engine in self._engines:
            engine.close()

    def _checked(self, action: Any) -> np.ndarray:
        actions = np.asarray(action)
        if actions.shape != (self.num_envs,):
            raise ValueError(
                f"action of shape {actions.shape}: must be ({self.num_envs},)."
            )
        wrong = (actions < 0) | (actions >= len(COMMANDS))
        if wrong.any():
            raise ValueError(
                f"action {actions[wrong][0]}: must lie in [0, {len(COMMANDS)})."
            )
        return actions

    def _places(self) -> np.ndarray:
        """`[E, 2]`; zeros of copies that nothing has been seen of."""
        nothing = np.zeros(2, np.float32)
        return np.stack([one.position if one else nothing for one in self._sights])

    def _move(self, copy: int, action: int) -> None:
        engine = self._engines[copy]
        engine.act(action, self._maze.action_repeat)
        self._sights[copy] = engine.look()

    def _put(
        self,
        copy: int,
        cells: np.ndarray,
        is_there: np.ndarray,
        pose: task.Pose | None,
    ) -> None:
        """Puts the items that are there to their cells, and the body to a start, if any."""
        engine = self._engines[copy]
        row, column = np.divmod(cells, self._width)
        places = np.stack([column, row], -1) + 0.5  # [K, 2]
        shown = zip(places, is_there, strict=True)
        engine.put_items(
            {item: place if there else None for item, (place, there) in enumerate(shown)}
        )
        if pose is not None:
            engine.put_body(np.asarray(pose.position), float(pose.heading))
        engine.act(None, 1)
        self._sights[copy] = engine.look()

    def _observe(
        self, is_put: np.ndarray, turning: np.ndarray, closes: np.ndarray
    ) -> dict[str, Any]:
        sights: list[Sight] = self._sights
        wanted, seen = set(self._maze.fields), {}
        if wanted & {"rgb", "rgbd"}:
            seen["rgb"] = np.stack([sight.rgb for sight in sights])
        if wanted & DEPTHS:
            seen["depth"] = np.stack([np.asarray(sight.depth) for sight in sights])
        if "rgbd" in wanted:
            buffer = np.asarray(to_buffer(seen["depth"]))[..., None]
            seen["rgbd"] = np.concatenate([seen["rgb"], buffer], axis=-1)
        if "depth_classes" in wanted:
            coarse = seen["depth"][(slice(None), *self._target)]
            seen["depth_classes"] = depth_classes(coarse)
        place = np.stack([sight.position for sight in sights])
        heading = np.stack([sight.heading for sight in sights])
        cosine, sine = np.cos(heading), np.sin(heading)
        along, across = np.stack([sight.velocity for sight in sights]).T / SPEED
        zero = np.zeros_like(heading)
        velocity = [along * cosine + across * sine, across * cosine - along * sine, zero,
                    turning, zero, zero]  # fmt: skip
        seen["velocity"] = np.clip(np.stack(velocity, -1), -1, 1).astype(np.float32)
        seen["pose"] = np.column_stack([place, heading]).astype(np.float32)
        seen["respawned"], seen["loop_closure"] = is_put, closes
        return {name: seen[name] for name in self._maze.fields}

    def _each(self, chosen: np.ndarray, turn: Callable[[int], None]) -> None:
        """Takes the turns of the chosen copies side by side."""
        copies = np.flatnonzero(chosen).tolist()
        if len(copies) == 1:
            self._call(turn, copies[0])
            return
        turns = [self._pool.submit(self._call, turn, copy) for copy in copies]
        for one in turns:
            one.result()

    def _call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return function(*arguments)
        except Exception as error:
            raise EnvironmentFault(
                f"env {self._name!r}, step {self._step_number}: ViZDoom raised "
                f"{brief(error)}; must be free of errors."
            ) from error


def _like(mask: np.ndarray, leaf: np.ndarray) -> np.ndarray:
    return mask.reshape(mask.shape + (1,) * (leaf.ndim - 1))
