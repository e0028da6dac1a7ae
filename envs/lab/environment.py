"""A level of DeepMind Lab as a `dm_env.Environment`, with the fields of the mazes.

The engine measures in units, a hundred to a cell, with y to the north and turns to the
left; here lengths are in cells, y to the south and turns to the right, as in `maze/...`.

Source: DeepMind Lab's docs/users/python_api.md, observations.md and actions.md.
"""

from __future__ import annotations

import math
from typing import Any

import dm_env
import numpy as np
from dm_env import specs

from tolman.envs.lab.level_cache import LevelCache
from tolman.envs.lab.settings import LabSettings, check_lab_id
from tolman.envs.maze.depth_target import depth_classes, from_buffer, target_pixels
from tolman.envs.maze.fields import field_specs
from tolman.envs.maze.motion import COMMANDS, FRAMES_PER_SECOND, KEYS
from tolman.envs.maze.task import GOAL_REWARD
from tolman.envs.maze.trail import Trail

UNITS = 100.0  # A cell.
TOP_SPEED = 320.0  # Units a second.
TURNING = 126.0  # Degrees a second that LOOK pixels turn: 8.4 in four frames.
LOOK = 20  # Pixels a frame.
RGB, RGBD = "RGB_INTERLEAVED", "RGBD_INTERLEAVED"
MOVING, TURNED = "VEL.TRANS", "VEL.ROT"
PLACE, ANGLES = "DEBUG.POS.TRANS", "DEBUG.POS.ROT"
MAX_SEED = 2**31


class LabEnvironment(dm_env.Environment):
    """One level: the eight actions of `maze/...`, and its fields.

    An episode ends by the engine's clock or `num_frames`, as a truncation with discount 1:
    there is a time after it. The engine shows nothing once it has ended, so that the last
    observation is then that of the decision before. A respawn is told by a reward of the
    goal or by a jump, for the engine does not say.

    Attributes:
      settings: how it is played and seen.
      new_task: the latest time step was FIRST.
    """

    def __init__(self, name: str, settings: LabSettings, seed: int = 0) -> None:
        """Starts the engine.

        Args:
          name: the id, `lab/nav_maze_static_01`.
          settings: of the level.
          seed: of all chance.

        Raises:
          ValueError: without the module `deepmind_lab`, or for what it refuses.
        """
        level = check_lab_id(name)
        import deepmind_lab

        self.settings = settings
        fields = set(settings.fields)
        self._image = RGBD if fields & {"rgbd", "depth", "depth_classes"} else RGB
        self._has_place = bool(fields & {"pose", "respawned", "loop_closure"})
        wanted = [self._image] if fields & {"rgb", "rgbd", "depth", "depth_classes"} else []
        wanted += [MOVING, TURNED] if "velocity" in fields else []
        wanted += [PLACE, ANGLES] if self._has_place else []
        cache = LevelCache(settings.level_cache) if settings.level_cache else None
        try:
            self._lab: Any = deepmind_lab.Lab(
                level,
                wanted,
                config=settings.lab_config(),
                renderer=settings.renderer,
                level_cache=cache,
            )
        except (RuntimeError, ValueError) as error:
            reason = " ".join(str(error).split())
            raise ValueError(
                f"env {name!r}: DeepMind Lab does not start it ({reason}). Correct the "
                "level's name, --env.fields, --env.renderer or --env.config."
            ) from error
        self._trail = Trail(settings.num_decisions + 1)
        self._pixels = np.ix_(*target_pixels(settings.image_size, settings.image_size))
        self.reseed(seed)

    def reseed(self, seed: int) -> None:
        """Makes the next time step open an episode, with all chance from `seed`."""
        self._rng = np.random.default_rng(seed)
        self._is_over = True
        self.new_task = False

    def reset(self) -> dm_env.TimeStep:
        """Starts an episode."""
        self._lab.reset(seed=int(self._rng.integers(MAX_SEED)))
        self._time, self._is_over, self.new_task = 0, False, True
        self._place: np.ndarray | None = None
        self._observation = self._observe(is_respawned=True)
        return dm_env.restart(self._observation)

    def step(self, action: Any) -> dm_env.TimeStep:
        """Holds the action for `action_repeat` frames; starts an episode where none is on.

        Raises:
          ValueError: for an action out of range.
        """
        if self._is_over:
            return self.reset()
        if not 0 <= int(action) < len(COMMANDS):
            raise ValueError(f"action {action}: must lie in [0, {len(COMMANDS)}).")
        turn, forward, right = COMMANDS[int(action)]
        keys = np.array([LOOK * turn, 0, right, forward, 0, 0, 0], np.intc)
        reward = float(self._lab.step(keys, num_steps=self.settings.action_repeat))
        self._time, self.new_task = self._time + 1, False
        is_running = self._lab.is_running()
        if is_running:
            self._observation = self._observe(is_respawned=reward >= GOAL_REWARD)
        reward *= self.settings.reward_scale
        self._is_over = not is_running or self._time >= self.settings.num_decisions
        end = dm_env.truncation if self._is_over else dm_env.transition
        return end(reward, self._observation, 1.0)

    def observation_spec(self) -> dict[str, specs.Array]:
        """By field, in the order of `fields`."""
        settings = self.settings
        return field_specs(
            settings.fields, settings.image_size, settings.width, settings.height
        )

    def action_spec(self) -> specs.DiscreteArray:
        """See `tolman.envs.maze.motion.ACTIONS`."""
        return specs.DiscreteArray(len(COMMANDS), name="action")

    @property
    def keys(self) -> dict[str, int]:
        """By which a person acts: the action of each."""
        return KEYS

    @property
    def frames_per_second(self) -> float:
        """Decisions a second."""
        return FRAMES_PER_SECOND / self.settings.action_repeat

    def close(self) -> None:
        """Ends the engine."""
        self._lab.close()

    def _observe(self, is_respawned: bool) -> dict[str, Any]:
        """The fields after a decision, or a reset."""
        told, seen = self._lab.observations(), {}
        fields = set(self.settings.fields)
        image = told.get(self._image)
        seen["rgb"] = None if image is None else image[..., :3].copy()
        seen["rgbd"] = None if image is None else image.copy()
        if fields & {"depth", "depth_classes"}:
            depth = from_buffer(told[RGBD][..., 3])
            seen["depth"] = depth
            seen["depth_classes"] = depth_classes(depth[self._pixels])
        if "velocity" in fields:
            seen["velocity"] = _velocity(told[MOVING], told[TURNED])
        if self._has_place:
            seen |= self._observe_place(told[PLACE], told[ANGLES], is_respawned)
        return {name: seen[name] for name in self.settings.fields}

    def _observe_place(
        self, place: np.ndarray, angles: np.ndarray, is_respawned: bool
    ) -> dict[str, Any]:
        """Pose and labels, from the place in units and the angles in degrees."""
        settings = self.settings
        x, y = place[0] / UNITS, settings.height - place[1] / UNITS
        here = np.clip([x, y], 0.0, [settings.width, settings.height])
        turn = -math.radians(angles[1])
        heading = (turn + math.pi) % (2 * math.pi) - math.pi
        reach = 2 * TOP_SPEED / UNITS * settings.action_repeat / FRAMES_PER_SECOND
        if self._place is None or np.linalg.norm(here - self._place) > reach:
            is_respawned = True
        self._place = here
        follow = self._trail.start if is_respawned else self._trail.walk
        closes = follow(here) if "loop_closure" in settings.fields else False
        return {
            "pose": np.array([*here, heading], np.float32),
            "respawned": np.bool_(is_respawned),
            "loop_closure": np.bool_(closes),
        }


def _velocity(moving: np.ndarray, turned: np.ndarray) -> np.ndarray:
    """Ahead, to the right, upwards, turning right, pitch, roll, as shares of full speed.

    Args:
      moving: `[3]` ahead, to the left and upwards, units a second.
      turned: `[3]` pitch, yaw to the left and roll, degrees a second.
    """
    ahead, left, up = moving / TOP_SPEED
    pitch, yaw, roll = turned / TURNING
    shares = np.array([ahead, -left, up, -yaw, pitch, roll], np.float32)
    return np.clip(shares, -1.0, 1.0)
