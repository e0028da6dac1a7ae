"""Depth as a target of prediction: 4 x 16 pixels of the middle of the image, 8 classes.

Source: Mirowski et al. 2016, section 3.1 and appendix C: the depth buffer, scaled to
  [0, 1], to the power 10, in bands that are finer for what is far.
"""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from tolman.envs.environment import Array
from tolman.envs.maze.render import FARTHEST, View

CLASSES_SHAPE = (4, 16)
Z_NEAR = 0.04  # Of DeepMind Lab's depth buffer, in cells: 4 of 100 units.
POWER = 10
BANDS = np.array([0.0, 0.05, 0.175, 0.3, 0.425, 0.55, 0.675, 0.8, 1.0])
# The bands of the buffer `1 - Z_NEAR / depth`, as depths in cells: 0.15 to 1.81.
EDGES = (Z_NEAR / (1.0 - BANDS[1:-1] ** (1 / POWER))).astype(np.float32)
NUM_CLASSES = len(EDGES) + 1


def target_pixels(num_rows: int, num_columns: int) -> tuple[np.ndarray, np.ndarray]:
    """Which rows of an image, of its middle half, and which columns: `[4]` and `[16]`."""
    height, width = CLASSES_SHAPE
    row = num_rows * (0.25 + 0.5 * (np.arange(height) + 0.5) / height)
    column = num_columns * (np.arange(width) + 0.5) / width
    return row.astype(int), column.astype(int)


def target_view(view: View) -> View:
    """Where the pixels of the target look."""
    row, column = target_pixels(len(view.rows), len(view.columns))
    return View(view.rows[row], view.columns[column])


def depth_classes(depth: Array) -> Array:
    """The class of each depth, `[...]` uint8; 0 is the nearest.

    Args:
      depth: `[...]`, in cells.
    """
    return (depth[..., None] >= EDGES).sum(-1).astype(np.uint8)


def to_buffer(depth: Array) -> Array:
    """What DeepMind Lab's depth buffer holds, `[...]` uint8, of depths in cells."""
    return jnp.clip(255 * (1 - Z_NEAR / depth), 0, 255).astype(jnp.uint8)


def from_buffer(buffer: np.ndarray) -> np.ndarray:
    """Depths in cells, `[...]` float32, of a depth buffer's bytes; at most `FARTHEST`."""
    left = np.maximum(1.0 - buffer.astype(np.float32) / 255, Z_NEAR / FARTHEST)
    return Z_NEAR / left
