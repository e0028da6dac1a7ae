"""An environment that breaks down where it is told to, for other processes to import."""

import functools
import os
import signal
import time

import dm_env
import numpy as np
from dm_env import specs


class Walk(dm_env.Environment):
    """Episodes of random lengths, nested observations; faults where it is told to."""

    def __init__(self, seed, fault="", at=6):
        self.random, self.fault, self.at = np.random.default_rng(seed), fault, at
        self.steps, self.episode_info, self.new_task = 0, {}, True

    def reset(self):
        if self.fault == "dies in reset":
            os._exit(7)
        self.new_task = bool(self.random.random() < 0.5)
        self.left, self.episode_info = int(self.random.integers(2, 6)), {}
        return dm_env.restart(self.observe(0))

    def step(self, action):
        self.steps += 1
        self.left -= 1
        if self.steps == self.at:
            if self.fault == "dies":
                os.kill(os.getpid(), signal.SIGKILL)
            if self.fault == "hangs":
                time.sleep(600)
            if self.fault == "raises":
                raise OSError("the joystick is gone")
        observation = self.observe(action["move"])
        if self.steps == self.at and self.fault == "not finite":
            observation["place"][1] = np.nan
        reward = float(action["push"].sum())
        if self.left:
            return dm_env.transition(reward, observation, discount=0.9)
        self.episode_info = {"height": reward}
        end = dm_env.termination if self.random.random() < 0.5 else dm_env.truncation
        return end(reward, observation)

    def observe(self, move):
        return {
            "place": np.array([self.steps, move, self.random.random()]),
            "picture": self.random.integers(0, 256, (2, 3), np.uint8),
        }

    def observation_spec(self):
        return {
            "place": specs.Array((3,), np.float64),
            "picture": specs.Array((2, 3), np.uint8),
        }

    def action_spec(self):
        return {
            "move": specs.DiscreteArray(3, np.int64),
            "push": specs.BoundedArray((2,), np.float64, -1.0, 1.0),
        }


def actions_at(t, number):
    chance = np.random.default_rng(t)
    return {
        "move": chance.integers(0, 3, number).astype(np.int32),
        "push": chance.uniform(-1, 1, (number, 2)).astype(np.float32),
    }


def faulty(fault, seeds=None, at=6):
    """A factory of walks of which those with these seeds, or all, break down."""
    return functools.partial(_make, fault, seeds, at)


def _make(fault, seeds, at, seed):
    return Walk(seed, fault if seeds is None or seed in seeds else "", at)


def refuse(seed):
    raise ValueError("env.size=0: must be at least 1.")


def divide(seed):
    return 1 // 0
