"""Matrix memories S_t = a_t S_{t-1} + u_t k_t^T, read as S_t q_t, in steps or in chunks.

A row writes u under the key k and reads what the query q finds. Either u is the value v
itself, which adds to what is there, or the delta rule replaces: u = b (v - a S k) writes
what is missing, so that with b = 1 the key reads v alone. A task that opens is a decay of
zero, as in linear_recurrence.py.

Shapes: B batch, T time, R = B or T B rows, C rows of a chunk, heads, K of a key, V of a
value.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

import haiku as hk
import jax
import jax.numpy as jnp

from tolman.networks.core import Array, join_rows, scan_steps, split_rows

SMALL_KEY = 16  # Below, products of matrices are too small to be faster than steps.
Way = Literal["auto", "chunked", "sequential"]  # What `--core.scan` allows.


class Row(NamedTuple):
    """What one row, or T of them, do to the memory and ask of it.

    Attributes:
      decay: a, `[..., B, heads]`, from 0 to 1.
      key: k, `[..., B, heads, K]`.
      value: v, `[..., B, heads, V]`.
      query: q, `[..., B, heads, K]`.
      strength: b, `[..., B, heads]`, of the delta rule; None to add the value.
    """

    decay: Array
    key: Array
    value: Array
    query: Array
    strength: Array | None = None


def unroll_matrix(
    enter: Callable[[Array], Row],
    leave: Callable[[Array, Array], Array],
    x: Array,
    reset: Array,
    state: Array,
    way: Way = "auto",
    chunk_length: int = 32,
) -> tuple[Array, Array]:
    """Unrolls a core of two maps around a matrix memory, inside a Haiku transform.

    Args:
      enter: maps rows of inputs `[R, D]` to what they do, a `Row` of `[R, ...]`.
      leave: maps what was read, `[R, heads, V]`, and inputs to outputs `[R, H]`.
      x: `[T, B, D]` inputs.
      reset: `[T, B]` bool; the decay is 0 where it is True.
      state: S before the first row, `[B, heads, V, K]`.
      way: "sequential" takes a row after the other, "chunked" the rows of a chunk at once,
        by products of matrices; "auto" see `quicker_way`. The results differ by rounding
        alone.
      chunk_length: C, of the chunked way.

    Returns:
      The outputs `[T, B, H]`, and S after the last row.

    Source: Yang et al. 2024, "Parallelizing Linear Transformers with the Delta Rule over
      Sequence Length", with decays as in Yang et al. 2025, "Gated Delta
      Networks".
    """
    if way == "auto":
        way = quicker_way(jax.default_backend(), len(x), chunk_length, state.shape[-1])

    def step(x: Array, reset: Array, state: Array) -> tuple[Array, Array]:
        read, state = _step(_cut(enter(x), reset), state)
        return leave(read, x), state

    if way == "sequential":
        # The way back computes a row anew: faster than to store what it multiplied.
        return scan_steps(hk.remat(step, prevent_cse=False), (x, reset), state)
    inputs = join_rows(x)
    rows = _cut(split_rows(enter(inputs), len(x)), reset)
    read, state = _chunks(rows, state, min(chunk_length, len(x)))
    return split_rows(leave(join_rows(read), inputs), len(x)), state


def quicker_way(
    backend: str, num_rows: int, chunk_length: int, key_size: int
) -> Literal["chunked", "sequential"]:
    """The way that "auto" takes: on a CPU chunks where there is one, of keys not small.

    Measured on a CPU for unrolls of 5 to 128 rows: docs/cores.md. Elsewhere it was not.

    Args:
      backend: of JAX.
      num_rows: T.
      chunk_length: C.
      key_size: K.
    """
    if backend != "cpu" or (1 < num_rows <= chunk_length and key_size >= SMALL_KEY):
        return "chunked"
    return "sequential"


def _cut(row: Row, reset: Array) -> Row:
    return row._replace(decay=row.decay * (1.0 - reset[..., None].astype(row.decay.dtype)))


def _step(row: Row, state: Array) -> tuple[Array, Array]:
    state = row.decay[..., None, None] * state
    written = row.value
    if row.strength is not None:
        found = jnp.einsum("bhvk,bhk->bhv", state, row.key)
        written = row.strength[..., None] * (row.value - found)
    state = state + written[..., :, None] * row.key[..., None, :]
    return jnp.einsum("bhvk,bhk->bhv", state, row.query), state


def _chunks(rows: Row, state: Array, length: int) -> tuple[Array, Array]:
    """A chunk after the other; the last one is filled up with rows that change nothing."""
    num_rows = len(rows.decay)
    num_chunks = -(-num_rows // length)
    padding = num_chunks * length - num_rows

    def cut(leaf: Array, filling: float) -> Array:
        """`[T, B, heads, ...]` to `[chunks, B, heads, C, ...]`."""
        pad = [(0, padding)] + [(0, 0)] * (leaf.ndim - 1)
        leaf = jnp.pad(leaf, pad, constant_values=filling)
        return jnp.moveaxis(leaf.reshape(num_chunks, length, *leaf.shape[1:]), 1, 3)

    chunks = jax.tree.map(lambda leaf: cut(leaf, 0.0), rows)
    chunks = chunks._replace(decay=cut(rows.decay, 1.0))

    def body(state: Array, chunk: Row) -> tuple[Array, Array]:
        read, state = _chunk(chunk, state)
        return state, read

    state, read = jax.lax.scan(body, state, chunks)  # [chunks, B, heads, C, V]
    read = jnp.moveaxis(read, 3, 1)
    return read.reshape(-1, *read.shape[2:])[:num_rows], state


def _chunk(rows: Row, state: Array) -> tuple[Array, Array]:
    """Takes C rows `[B, heads, C, ...]` at once."""
    # Products of decays from row j to row i, as differences of sums of logarithms; what is
    # before a decay of zero is out of sight of what comes after.
    is_cut = rows.decay <= 0.0
    task = jnp.cumsum(is_cut, axis=-1)
    total = jnp.cumsum(jnp.log(jnp.where(is_cut, 1.0, rows.decay)), axis=-1)
    order = jnp.arange(is_cut.shape[-1])
    in_sight = (order[:, None] >= order) & (task[..., :, None] == task[..., None, :])
    gap = total[..., :, None] - total[..., None, :]
    between = jnp.exp(jnp.where(in_sight, gap, -jnp.inf))  # [B, heads, C, C]
    before = jnp.where(task == 0, jnp.exp(total), 0.0)  # [B, heads, C], of the state.

    written = rows.value
    if rows.strength is not None:
        found = before[..., None] * jnp.einsum("bhvk,bhck->bhcv", state, rows.key)
        strength = rows.strength[..., None]
        overlap = jnp.einsum("bhck,bhdk->bhcd", rows.key, rows.key)
        earlier = jnp.tril(strength * between * overlap, -1)
        # u + earlier u = b (v - found): each row subtracts what those before it wrote.
        written = jax.scipy.linalg.solve_triangular(
            earlier, strength * (rows.value - found), lower=True, unit_diagonal=True
        )
    match = between * jnp.einsum("bhck,bhdk->bhcd", rows.query, rows.key)
    read = match @ written
    read += before[..., None] * jnp.einsum("bhvk,bhck->bhcv", state, rows.query)
    state = before[..., -1, None, None] * state + jnp.einsum(
        "bhc,bhcv,bhck->bhvk", between[..., -1, :], written, rows.key
    )
    return read, state
