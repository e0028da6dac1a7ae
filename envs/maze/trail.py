"""The path of a body that an engine on the host moves, for the label of closed loops."""

from __future__ import annotations

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from tolman.envs.maze import task


class Trail:
    """Where a body has been since it was last put somewhere; by the functions of `task.py`.

    Computed on the CPU, whatever else there is.
    """

    def __init__(self, max_path: int) -> None:
        """`max_path` is L, the places that the longest path holds."""
        self._device = jax.local_devices(backend="cpu")[0]
        with jax.default_device(self._device):
            no_items = jnp.zeros(0, jnp.int32)
            path, nothing = jnp.zeros((max_path, 2)), jnp.int32(0)
            self._task = task.Task(nothing, no_items, no_items > 0, path, nothing)

    def start(self, position: np.ndarray) -> bool:
        """Begins anew at a place `[2]`, in cells; whether it closes a loop: never."""
        return self._follow(_compiled(task.start_path), position)

    def walk(self, position: np.ndarray) -> bool:
        """Adds the place `[2]` of a decision; returns whether it closes a loop."""
        return self._follow(_compiled(task.walk), position)

    def _follow(self, go: Callable[..., task.Task], position: np.ndarray) -> bool:
        with jax.default_device(self._device):
            self._task = go(self._task, np.asarray(position, np.float32))
            return bool(_compiled(task.closes_loop)(self._task))


@functools.cache
def _compiled(function: Callable[..., task.Task]) -> Callable[..., task.Task]:
    return jax.jit(function)
