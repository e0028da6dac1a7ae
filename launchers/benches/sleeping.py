"""A simulated environment whose steps take a fixed time, asleep or computing.

On a machine with few cores it shows what a cluster adds to many slow environments:
`--env tolman.launchers.benches.sleeping:Sleeping`.
"""

from __future__ import annotations

import time
from typing import Annotated

import dm_env
import numpy as np
from annotated_types import Ge
from dm_env import specs

NUM_FEATURES, NUM_ACTIONS = 4, 2


class Sleeping(dm_env.Environment):
    """Pays 1 for the action that the last observation named; every step takes its time."""

    def __init__(
        self,
        seconds: Annotated[float, Ge(0)] = 0.01,
        episode_length: Annotated[int, Ge(1)] = 50,
        seed: int = 0,
        computing: Annotated[float, Ge(0)] = 0.0,
    ) -> None:
        """Opens no episode yet.

        Args:
          seconds: that a step sleeps.
          episode_length: decisions.
          seed: of the observations.
          computing: seconds of processor time that a step takes, in Python.
        """
        self._computing = computing
        self._seconds, self._episode_length = seconds, episode_length
        self._random = np.random.default_rng(seed)
        self._time, self._is_over = 0, True
        self._wanted = 0

    def reset(self) -> dm_env.TimeStep:
        self._time, self._is_over = 0, False
        return dm_env.restart(self._observe())

    def step(self, action: int) -> dm_env.TimeStep:
        if self._is_over:
            return self.reset()
        if self._seconds:
            time.sleep(self._seconds)
        start = time.thread_time()
        while time.thread_time() - start < self._computing:
            pass
        self._time += 1
        reward = float(action == self._wanted)
        self._is_over = self._time == self._episode_length
        make = dm_env.termination if self._is_over else dm_env.transition
        return make(reward, self._observe())

    def observation_spec(self) -> specs.Array:
        return specs.Array((NUM_FEATURES,), np.float32, "observation")

    def action_spec(self) -> specs.DiscreteArray:
        return specs.DiscreteArray(NUM_ACTIONS, name="action")

    def _observe(self) -> np.ndarray:
        self._wanted = int(self._random.integers(NUM_ACTIONS))
        observation = np.zeros(NUM_FEATURES, np.float32)
        observation[self._wanted] = 1.0
        return observation
