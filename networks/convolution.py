"""A convolution over time whose last inputs are a part of the memory.

Shapes: B batch, T time, W width, F features.
"""

from __future__ import annotations

import jax.numpy as jnp

from tolman.networks import window
from tolman.networks.core import Array


def causal_convolution(
    x: Array, reset: Array, earlier: Array, weights: Array
) -> tuple[Array, Array]:
    """Each feature's weighted sum over a row and the W - 1 before it, of its own task.

    Args:
      x: `[T, B, F]`.
      reset: `[T, B]` bool; rows from before are then zero.
      earlier: `[B, W - 1, F]`, the inputs before the first row, zero where there were none.
      weights: `[W, F]`; the first is that of the row itself.

    Returns:
      `[T, B, F]`, and the last W - 1 inputs of the task that is under way.
    """
    num_earlier = earlier.shape[1]
    stored = jnp.full(reset.shape[1:], num_earlier)
    in_view = window.rows_in_view(reset, stored, num_earlier)  # [T, B]
    extended = window.extend(earlier, x)  # [B, W - 1 + T, F]
    outputs = jnp.zeros_like(x)
    for distance, weight in enumerate(weights):
        start = num_earlier - distance
        rows = jnp.swapaxes(extended[:, start : start + len(x)], 0, 1)
        outputs += jnp.where((in_view >= distance)[..., None], weight * rows, 0.0)
    distances = jnp.arange(num_earlier - 1, -1, -1)  # Of what is kept, from the last row.
    is_kept = in_view[-1][:, None] >= distances
    last = extended[:, len(x) :]
    return outputs, jnp.where(is_kept[..., None], last, 0.0)
