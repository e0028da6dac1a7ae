"""A rolling window over the past: what attention, gtrxl and memo keep between steps.

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

MIN_BLOCK = 16  # Steps, so that a short window does not mean many small products.


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
      capacity: N, or the number of earlier rows that are at hand, if that is more.

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


def block_length(num_steps: int, capacity: int) -> int:
    """How many steps of an unroll are compared at once with all rows that one may see.

    Half a window where the unroll has two of these or more, so that the cost grows with
    T N; the whole unroll where it is shorter.

    Args:
      num_steps: T.
      capacity: N.
    """
    half = max(-(-capacity // 2), MIN_BLOCK)
    return half if num_steps >= 2 * half else num_steps


def num_earlier(num_steps: int, capacity: int, length: int) -> int:
    """Rows before a block's own in its span: N, in whole blocks where there are several."""
    return capacity if length == num_steps else -(-capacity // length) * length


def fold(steps: Array, length: int) -> Array:
    """Cuts `[T, B, ...]` into blocks, side by side in the batch.

    Args:
      steps: the last block is filled up with zeros.
      length: of a block, from `block_length`.

    Returns:
      `[length, blocks * B, ...]`, all of the first block first.
    """
    num_steps, *shape = steps.shape
    number = -(-num_steps // length)
    filled = jnp.pad(
        steps, [(0, number * length - num_steps), *[(0, 0)] * (steps.ndim - 1)]
    )
    cut = jnp.moveaxis(filled.reshape(number, length, *shape), 0, 1)
    return cut.reshape(length, number * shape[0], *shape[1:])


def unfold(folded: Array, num_steps: int) -> Array:
    """`[T, B, ...]` from blocks, `[length, blocks * B, ...]`; the inverse of `fold`."""
    length, _, *shape = folded.shape
    number = -(-num_steps // length)
    cut = jnp.moveaxis(folded.reshape(length, number, -1, *shape), 0, 1)
    return cut.reshape(number * length, *cut.shape[2:])[:num_steps]


def spans(rows: Array, capacity: int, length: int) -> Array:
    """The rows that the steps of each block may see, the block's own the last of them.

    Args:
      rows: `[B, N + T, ...]`, from `extend`.
      capacity: N.
      length: of a block, from `block_length`.

    Returns:
      `[blocks * B, S, ...]`, S at least N + length; rows that no step sees may be zeros.
    """
    batch_size, num_rows, *shape = rows.shape
    num_steps = num_rows - capacity
    if length == num_steps:
        return rows
    number, earlier = -(-num_steps // length), num_earlier(num_steps, capacity, length)
    before, after = earlier - capacity, number * length - num_steps
    filled = jnp.pad(rows, [(0, 0), (before, after), *[(0, 0)] * (rows.ndim - 2)])
    cut = jnp.moveaxis(filled.reshape(batch_size, -1, length, *shape), 1, 0)
    parts = [cut[first : first + number] for first in range(earlier // length + 1)]
    joined = jnp.concatenate(parts, axis=2)  # [blocks, B, S, ...]
    return joined.reshape(number * batch_size, -1, *shape)


def block_mask(in_view: Array, capacity: int, length: int) -> Array:
    """Which rows of its span each step sees.

    Args:
      in_view: `[T, B]`, from `rows_in_view`.
      capacity: N.
      length: of a block, from `block_length`.

    Returns:
      `[blocks * B, length, S]` bool.
    """
    earlier = num_earlier(len(in_view), capacity, length)
    return window_mask(fold(in_view, length), earlier)


def length_after(in_view: Array, capacity: int) -> Array:
    """`[B]`, the stored rows of the present task after the last step."""
    return jnp.minimum(in_view[-1] + 1, capacity)
