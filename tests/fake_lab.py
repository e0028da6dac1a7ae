"""A stand-in for the module `deepmind_lab`, as strict as its dmlab_module.c is.

One open square room, 10 cells of 100 units a side, without walls: the body moves at once
at full speed, 320 units a second, and turns by 126 degrees a second where 20 pixels a
frame are asked for. A goal pays 10 and puts the body to another place. Pictures hold the
episode's seed, the frame's number, and a depth that grows from row to row.
"""

import importlib.machinery
import sys
import types
from typing import ClassVar

import numpy as np

FRAMES = 60  # A level lasts so many, unless its config says otherwise.
GOAL, REACH = np.array([550.0, 250.0]), 40.0
SHAPES = {"VEL.TRANS": 3, "VEL.ROT": 3, "DEBUG.POS.TRANS": 3, "DEBUG.POS.ROT": 3}
PICTURES = {"RGB_INTERLEAVED": 3, "RGBD_INTERLEAVED": 4}
LEVELS = ("nav_maze_static_01", "contributed/generated")


class Lab:
    """Attributes:
    log: what every one of them was made and reset with, in this process.
    """

    log: ClassVar[list] = []

    def __init__(
        self, level, observations, config=None, renderer="software", level_cache=None
    ):
        if type(observations) is not list or type(config or {}) is not dict:
            raise TypeError("observations must be list, config must be dict")
        if renderer not in ("software", "hardware"):
            raise RuntimeError("Failed to set renderer")
        for key, value in (config or {}).items():
            if type(key) is not str or type(value) is not str:
                raise TypeError("bad argument type for built-in operation")
        if level not in LEVELS:
            raise RuntimeError(f"Invalid levelName flag '{level}' -\n \"no such level\"")
        for name in observations:
            if name not in SHAPES and name not in PICTURES:
                raise ValueError(f"Unknown observation '{name}'.")
        self._level, self._wanted, self._cache = level, observations, level_cache
        settings = {
            "width": "320",
            "height": "180",
            "frames": str(FRAMES),
            **(config or {}),
        }
        self._size = int(settings["height"]), int(settings["width"])
        self._limit = int(settings["frames"])
        self._status = "uninitialized"
        self.log.append(("made", level, dict(config or {}), renderer))

    def reset(self, episode=-1, seed=None):
        if self._status == "closed":
            raise RuntimeError("Failed to start environment")
        if seed is not None and type(seed) is not int:
            raise ValueError("'seed' must be int or None")
        if seed is not None and not -(2**31) <= seed < 2**31:
            raise OverflowError("Python int too large to convert to C int")
        self._seed = np.random.default_rng().integers(2**31) if seed is None else seed
        if self._level == "contributed/generated" and self._cache is not None:
            self._compile(f"maze{self._seed % 2}", f"/tmp/fake_lab_{id(self)}.pk3")
        self._rng = np.random.default_rng(self._seed)
        self._frame, self._status = 0, "running"
        self._put()
        self.log.append(("reset", self._seed))
        return True

    def _compile(self, key, path):
        if self._cache.fetch(key, path):
            self.log.append(("fetched", key))
            return
        with open(path, "w") as file:
            file.write(key)
        self._cache.write(key, path)
        self.log.append(("compiled", key))

    def _put(self):
        self.position = self._rng.uniform(50.0, 450.0, 2)
        self.yaw = float(self._rng.uniform(-180.0, 180.0))
        self._moving, self._turned = np.zeros(3), np.zeros(3)

    def step(self, action, num_steps=1):
        if not isinstance(action, np.ndarray):
            raise TypeError("argument 1 must be numpy.ndarray")
        if self._status != "running":
            raise RuntimeError("Environment in wrong status to advance.")
        if action.shape != (7,):
            raise ValueError("action must have shape (7)")
        if action.dtype != np.intc:
            raise ValueError("action must have dtype np.intc")
        look, _, strafe, ahead = (int(number) for number in action[:4])
        reward = 0.0
        for _ in range(num_steps):
            reward += self._advance(look, strafe, ahead)
            if self._frame >= self._limit:
                self._status = "terminated"
                break
        return reward

    def _advance(self, look, strafe, ahead):
        self._frame += 1
        speed = 126.0 * look / 20.0
        self.yaw = (self.yaw - speed / 60.0 + 180.0) % 360.0 - 180.0
        self._turned = np.array([0.0, -speed, 0.0])  # Yaw grows to the left.
        own = 320.0 * np.array([ahead, -strafe])  # Ahead and to the left.
        self._moving = np.array([*own, 0.0])
        angle = np.deg2rad(self.yaw)
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        self.position = np.clip(self.position + turn @ own / 60.0, 0.0, 1000.0)
        if np.linalg.norm(self.position - GOAL) < REACH:
            self._put()
            return 10.0
        return 0.0

    def observations(self):
        if self._status != "running":
            raise RuntimeError("Environment in wrong status for call to observations()")
        every = {
            "VEL.TRANS": self._moving,
            "VEL.ROT": self._turned,
            "DEBUG.POS.TRANS": np.array([*self.position, 40.0]),
            "DEBUG.POS.ROT": np.array([0.0, self.yaw, 0.0]),
        }
        picture = np.zeros((*self._size, 4), np.uint8)
        picture[..., 0], picture[..., 1] = self._seed % 256, self._frame % 256
        picture[..., 3] = np.arange(self._size[0])[:, None] % 256
        every["RGB_INTERLEAVED"] = picture[..., :3].copy()
        every["RGBD_INTERLEAVED"] = picture
        return {name: every[name].copy() for name in self._wanted}

    def is_running(self):
        return self._status == "running"

    def num_steps(self):
        return self._frame

    def close(self):
        was_open, self._status = self._status != "closed", "closed"
        return was_open


def install(monkeypatch):
    """Makes `import deepmind_lab` find this; returns its class."""
    module = types.ModuleType("deepmind_lab")
    module.__spec__ = importlib.machinery.ModuleSpec("deepmind_lab", None)
    module.Lab = Lab
    monkeypatch.setitem(sys.modules, "deepmind_lab", module)
    monkeypatch.setattr(Lab, "log", [])
    return Lab
