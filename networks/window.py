"""A rolling window over the past: what gtrxl and memo keep between steps.

A store of N rows holds what came before, the newest last. Its `length` says how many of
them belong to the present task. An unroll of T steps appends T rows; step t sees the N
rows before its own and its own, as far back as its task reaches. One number a step, how
many earlier rows are in view, therefore says all: capacity, emptiness and resets.

Shapes: B batch, T time, N capacity, D features of a row.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from tolman.networks.core import Array


def rows_in_view(reset: Array, length: Array, capacity: int) -> Array:
    """How many earlier rows each step sees.

    Args:
      reset: `[T, B]` bool.
      length: `[B]` int32, stored rows of the present task before the first step.
      capacity: N.

    Returns:
      `[T, B]` int32 in [0, N]; 0 where a task opens.
    """
    step = jnp.arange(len(reset))[:, None]
    opened = jax.lax.cummax(jnp.where(reset, step, -1), axis=0)  # [T, B], -1 for before.
    earlier = jnp.where(opened >= 0, step - opened, step + length)
    return jnp.minimum(earlier, capacity)


def window_mask(in_view: Array, capacity: int) -> Array:
    """Which of the N stored and T new rows each step sees, its own among them.

    Args:
      in_view: `[T, B]`, from `rows_in_view`.
      capacity: N.

    Returns:
      `[B, T, N + T]` bool.
    """
    num_steps = len(in_view)
    position = jnp.arange(capacity + num_steps)
    distance = capacity + jnp.arange(num_steps)[:, None] - position  # [T, N + T]
    return (distance >= 0) & (distance <= in_view.T[:, :, None])


def extend(rows: Array, new: Array) -> Array:
    """Joins the stored rows `[B, N, D]` and the new ones `[T, B, D]` to `[B, N + T, D]`."""
    return jnp.concatenate([rows, jnp.swapaxes(new, 0, 1)], axis=1)


def length_after(in_view: Array, capacity: int) -> Array:
    """`[B]`, the stored rows of the present task after the last step."""
    return jnp.minimum(in_view[-1] + 1, capacity)
