"""Depth as a target of prediction: 4 x 16 pixels of the middle of the image, 8 classes.

Source: Mirowski et al. 2016, section 3.1 and appendix C: the depth buffer, scaled to
  [0, 1], to the power 10, in bands that are finer for what is far.
"""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from tolman.envs.environment import Array
from tolman.envs.maze.render import View

CLASSES_SHAPE = (4, 16)
Z_NEAR = 0.04  # Of DeepMind Lab's depth buffer, in cells: 4 of 100 units.
POWER = 10
BANDS = np.array([0.0, 0.05, 0.175, 0.3, 0.425, 0.55, 0.675, 0.8, 1.0])
# The bands of the buffer `1 - Z_NEAR / depth`, as depths in cells: 0.15 to 1.82.
EDGES = (Z_NEAR / (1.0 - BANDS[1:-1] ** (1 / POWER))).astype(np.float32)
NUM_CLASSES = len(EDGES) + 1


def target_view(view: View) -> View:
    """The rows of the middle half of an image and columns of all of it, thinned out."""
    rows, columns = len(view.rows), len(view.columns)
    height, width = CLASSES_SHAPE
    row = (rows * (0.25 + 0.5 * (np.arange(height) + 0.5) / height)).astype(int)
    column = (columns * (np.arange(width) + 0.5) / width).astype(int)
    return View(view.rows[row], view.columns[column])


def depth_classes(depth: Array) -> Array:
    """The class of each depth, `[...]` uint8; 0 is the nearest.

    Args:
      depth: `[...]`, in cells.
    """
    return jnp.sum(depth[..., None] >= EDGES, axis=-1).astype(jnp.uint8)
