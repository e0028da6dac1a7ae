"""Copies of a maze in ViZDoom, stepped as one.

Shapes: E copies, S pixels a side, K items.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from dm_env import specs

from tolman.envs.doom.engine import Engine, Sight
from tolman.envs.doom.engines import Engines
from tolman.envs.doom.level import level_wad
from tolman.envs.doom.rules import HostTask
from tolman.envs.doom.settings import DoomSettings
from tolman.envs.environment import FIRST, LAST, MID, TimeStep
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
      num_restarts: engines that were replaced after a fault, so far.
    """

    releases_gil = True

    def __init__(
        self,
        name: str,
        settings: DoomSettings,
        num_envs: int,
        seed: int = 0,
        on_error: str = "fail",
    ) -> None:
        """Starts the engines.

        Args:
          name: the id, `doom/static_1`.
          settings: of all copies.
          num_envs: E, at least 1.
          seed: all chance comes from it, as in `maze/...`.
          on_error: "fail" raises what an engine did wrong; "restart" replaces the engine.
            The episode that it interrupts ends by truncation, with its last observation
            again and a reward of 0; the fresh engine starts the next one.

        Raises:
          ValueError: for a layout that is none, or no copies.
          EnvironmentFault: if an engine does not start.
        """
        if num_envs < 1:
            raise ValueError(f"num_envs={num_envs}: must be at least 1.")
        self.num_envs, self._step_number = num_envs, 0
        self.episode_info: Sequence[Mapping[str, float]] = [{}] * num_envs
        self._maze = settings.maze(name)
        layouts = find_layouts(self._maze)
        height, self._width = layouts[0].height, layouts[0].width
        size, has_depth = settings.image_size, bool(DEPTHS & set(settings.fields))
        self._target = np.ix_(*target_pixels(size, size))
        self._folder = tempfile.TemporaryDirectory(prefix="tolman-doom-")
        file = Path(self._folder.name, "mazes.wad")
        file.write_bytes(level_wad(layouts, self._maze.rules.kinds))
        self._engines = Engines(
            lambda: Engine(file, height, size, has_depth), num_envs, name, on_error
        )
        self.reseed(seed)

    def reseed(self, seed: int) -> None:
        """Makes the next `reset` draw all chance from `seed`."""
        with jax.default_device(jax.local_devices(backend="cpu")[0]):
            _, _, key = jax.random.split(jax.random.PRNGKey(seed), 3)
            self._task = HostTask(self._maze, jax.random.split(key, self.num_envs))
        self._is_over = np.ones(self.num_envs, bool)  # [E], the last row was LAST.
        self._sights: list[Any] = [None] * self.num_envs
        self._latest: dict[str, Any] = {}  # Observations, [E, ...] each.

    @property
    def num_restarts(self) -> int:
        return self._engines.num_restarts

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

        def move(engine: Engine, copy: int) -> None:
            engine.act(int(actions[copy]), self._maze.action_repeat)
            self._sights[copy] = engine.look()

        is_broken = self._engines.each(is_on, move, self._step_number)
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

        def put(engine: Engine, copy: int) -> None:
            pose = jax.tree.map(lambda leaf: leaf[copy], poses) if is_put[copy] else None
            self._put(engine, jax.tree.map(lambda leaf: leaf[copy], now), pose)
            self._sights[copy] = engine.look()

        waits = (is_put | is_changed) & ~is_broken
        while waits.any():
            failed = self._engines.each(waits, put, self._step_number)
            is_broken, waits = is_broken | (failed & is_on), failed & starts
        self._engines.note_episodes(is_on & outcome.is_over & ~is_broken)
        self._is_over = is_on & (outcome.is_over | is_broken)
        turning = np.where(is_put, 0.0, COMMANDS[actions, 0])
        closes = outcome.closes_loop & ~is_put
        kinds = np.where(starts, FIRST, np.where(self._is_over, LAST, MID))
        arrays: Any = (
            kinds.astype(np.int32),
            np.where(starts | is_broken, 0.0, outcome.reward).astype(np.float32),
            np.ones(self.num_envs, np.float32),
            self._observe(is_put, turning, closes, is_broken),
            starts,
        )
        return TimeStep(*arrays)

    def close(self) -> None:
        """Ends the engines and the threads."""
        self._engines.close()
        self._folder.cleanup()

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

    def _put(self, engine: Engine, now: task.Task, pose: task.Pose | None) -> None:
        """Puts the items that are there to their cells, and the body to a start, if any."""
        engine.enter(int(now.maze))
        row, column = np.divmod(np.asarray(now.cells), self._width)
        places = np.stack([column, row], -1) + 0.5  # [K, 2]
        shown = zip(places, np.asarray(now.is_there), strict=True)
        engine.put_items(
            {item: place if there else None for item, (place, there) in enumerate(shown)}
        )
        if pose is not None:
            engine.put_body(np.asarray(pose.position), float(pose.heading))
        engine.act(None, 1)

    def _observe(
        self,
        is_put: np.ndarray,
        turning: np.ndarray,
        closes: np.ndarray,
        is_broken: np.ndarray,
    ) -> dict[str, Any]:
        """What is seen; of the broken, what was seen before."""
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
        for copy in np.flatnonzero(is_broken):
            for name, before in self._latest.items():
                seen[name][copy] = before[copy]
        self._latest = {name: seen[name] for name in self._maze.fields}
        return dict(self._latest)


def _like(mask: np.ndarray, leaf: np.ndarray) -> np.ndarray:
    return mask.reshape(mask.shape + (1,) * (leaf.ndim - 1))
