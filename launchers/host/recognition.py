"""Which of several tasks is being acted in, told from the screens that an actor sees.

Shapes: E environments of the actor, K tasks, C contexts that there is room for.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from dm_env import specs

from tolman.agents.ewc.forget_me_not import (
    ForgetMeNotConfig,
    Recognition,
    levels_of,
    observe,
    start,
)
from tolman.envs.environment import TimeStep


class Recognised(NamedTuple):
    """What a `Watch` goes on from; see there."""

    known: Recognition
    met: np.ndarray


class Watch:
    """Labels windows of screens of the first environment; its newest frame is the last.

    The actor's thread shows it rows; others read what it knows.

    Attributes:
      known: of the recogniser so far.
      met: `[K, C]` int64, windows of each task by label. No agent sees them.
      task: that is acted in, for `met`.
    """

    def __init__(
        self,
        config: ForgetMeNotConfig,
        observation_spec: Any,
        num_tasks: int,
    ) -> None:
        """Has seen nothing.

        Raises:
          ValueError: if the observation is no screen that the recogniser takes.
        """
        _check_screens(observation_spec, config.downscale)
        shape = observation_spec.shape[:2]
        num_pixels = levels_of(config, np.zeros(shape, np.uint8)).size
        self._config, self._window = config, np.zeros((0, num_pixels), np.intp)
        self.known = start(config, num_pixels)
        self.met = np.zeros((num_tasks, config.max_contexts), np.int64)
        self.task = 0

    @property
    def recognised(self) -> Recognised:
        """What it goes on from, for a checkpoint or another process."""
        return Recognised(self.known, self.met.copy())

    def restore(self, known: Recognition, met: np.ndarray) -> None:
        """Goes on with what a checkpoint holds."""
        numbers = map(int, known[2:])
        self.known = Recognition(*known[:2], *numbers)
        self.met = np.array(met)

    def begin(self, task: int) -> None:
        """Is shown another task from now on: no window holds screens of two sessions."""
        self.task, self._window = task, self._window[:0]

    @property
    def label(self) -> int:
        """Of the task that is acted in; 0 before there is one."""
        return max(self.known.label, 0)

    def see(self, row: TimeStep) -> None:
        """Takes a row, `[E, ...]`.

        Raises:
          ValueError: if there are more tasks than there is room for.
        """
        levels = levels_of(self._config, np.asarray(row.observation)[0, ..., -1])
        self._window = np.concatenate([self._window, levels[None]])
        if len(self._window) < self._config.window:
            return
        self.known = observe(self._config, self.known, self._window)
        self._window = self._window[:0]
        self.met[self.task, self.label] += 1

    def labels(self, met: np.ndarray) -> np.ndarray:
        """`[K]`, the label of each task; of one not met yet the next to be opened."""
        fresh = min(self.known.num_contexts, self._config.max_contexts - 1)
        return np.where(met.any(1), met.argmax(1), fresh)


def watch_of(
    labels: str, observation_spec: Any, num_tasks: int, num_labels: int
) -> Watch | None:
    """What tells tasks apart in a run; None where their labels are not inferred.

    Args:
      labels: how they are known.
      observation_spec: of the screens.
      num_tasks: K.
      num_labels: C.

    Raises:
      ValueError: see `Watch`.
    """
    if labels != "inferred":
        return None
    return Watch(ForgetMeNotConfig(max_contexts=num_labels), observation_spec, num_tasks)


def _check_screens(spec: Any, downscale: int) -> None:
    if (
        not isinstance(spec, specs.Array)
        or len(spec.shape) != 3
        or spec.dtype != np.uint8
        or spec.shape[-1] > 4
    ):
        raise ValueError(
            f"labels='inferred': takes screens, uint8 [height, width, frames], got {spec}. "
            "Set --labels given or none."
        )
    height, width = spec.shape[:2]
    if height % downscale or width % downscale:
        raise ValueError(
            f"labels='inferred': takes screens whose sides {downscale} divides, got "
            f"{height} x {width}. Give the environments others (--env.side for ALE's), or "
            "set --labels given or none."
        )
