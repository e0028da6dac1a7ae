"""One row of many copies, and their actions, in memory that processes share.

Shapes: E copies.
"""

from __future__ import annotations

import contextlib
import math
import mmap
import os
import tempfile
from pathlib import Path
from typing import IO, Any, NamedTuple

import jax
import numpy as np

from tolman.envs.environment import TimeStep

SHARED_MEMORY = Path("/dev/shm")
ALIGNMENT = 64


class RowLayout(NamedTuple):
    """What lies in the memory.

    Attributes:
      num_envs: E.
      observation_spec: of one copy, or a nest of such.
      action_spec: likewise.
    """

    num_envs: int
    observation_spec: Any
    action_spec: Any


def new_file() -> IO[bytes]:
    """An empty file without a name, in memory where the system has a place for it.

    It goes with the last process that holds it, however that ends.
    """
    return tempfile.TemporaryFile(
        buffering=0, dir=SHARED_MEMORY if SHARED_MEMORY.is_dir() else None
    )


class SharedRows:
    """A row and actions of some copies, or all, whose arrays lie in a file.

    Attributes:
      timestep: the row.
      action: the actions, nested as their spec is.
    """

    def __init__(
        self, descriptor: int, layout: RowLayout, copies: slice = slice(None)
    ) -> None:
        """Maps the file, and makes it as long as it must be.

        Args:
          descriptor: of the file.
          layout: what lies in it.
          copies: whose arrays these are.

        Raises:
          OSError: if there is no room for it.
        """
        number = layout.num_envs
        row: Any = {
            "step_type": _Part((number,), np.int32),
            "reward": _Part((number,), np.float32),
            "discount": _Part((number,), np.float32),
            "observation": _parts(number, layout.observation_spec),
            "new_task": _Part((number,), np.bool_),
        }
        parts: Any = (TimeStep(**row), _parts(number, layout.action_spec))
        shapes, structure = jax.tree.flatten(parts, is_leaf=_is_part)
        offsets, end = [], 0
        for shape, dtype in shapes:
            offsets.append(end)
            num_bytes = math.prod(shape) * np.dtype(dtype).itemsize
            end += -(-num_bytes // ALIGNMENT) * ALIGNMENT
        if os.fstat(descriptor).st_size < end:
            os.ftruncate(descriptor, end)
            if hasattr(os, "posix_fallocate"):  # Or a full disk would end the process.
                os.posix_fallocate(descriptor, 0, end)
        self._memory = mmap.mmap(descriptor, end)
        arrays: list[np.ndarray] = [
            np.ndarray(shape, dtype, self._memory, offset)[copies]
            for (shape, dtype), offset in zip(shapes, offsets, strict=True)
        ]
        self.timestep, self.action = jax.tree.unflatten(structure, arrays)
        self._leaves = jax.tree.leaves(self.timestep)

    def write_row(self, row: TimeStep, copies: slice = slice(None)) -> None:
        """Writes a row of these copies, or of some of them."""
        for to, leaf in zip(self._leaves, jax.tree.leaves(row), strict=True):
            to[copies] = leaf

    def read_row(self) -> TimeStep:
        """A copy of the row."""
        return jax.tree.map(np.array, self.timestep)

    def write_action(self, action: Any) -> None:
        """Writes the actions.

        Raises:
          ValueError: for another nest or other shapes than the specs'.
        """
        jax.tree.map(_copy_action, self.action, action)

    def close(self) -> None:
        """Gives the memory up; the arrays must not be used any more."""
        del self.timestep, self.action, self._leaves
        with contextlib.suppress(BufferError):  # An array is still held somewhere.
            self._memory.close()


class _Part(NamedTuple):
    shape: tuple[int, ...]
    dtype: Any


def _parts(number: int, spec: Any) -> Any:
    return jax.tree.map(lambda leaf: _Part((number, *leaf.shape), leaf.dtype), spec)


def _is_part(part: Any) -> bool:
    return isinstance(part, _Part)


def _copy_action(to: np.ndarray, action: Any) -> None:
    action = np.asarray(action)
    if action.shape != to.shape:
        raise ValueError(f"action of shape {action.shape}: must be {to.shape}.")
    to[...] = action
