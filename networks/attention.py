"""Attention over a window of rows, with and without relative positions.

Every function takes time-major queries `[T, B, heads, K]` and batch-major rows
`[B, S, F]`, and hands weights on as `[B, heads, T, S]`. A query is taken to the space of
the rows, not the rows to the space of the queries: a step then costs a few products with
the window and never projects all of it anew. One step and an unroll multiply in the same
order, so they round alike, in bfloat16 too.

Shapes: B batch, T queries, S rows, F features of a row, K of a head.
"""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp

from tolman.networks.core import Array


def contract(subscripts: str, *operands: Array, dtype: Any = jnp.float32) -> Array:
    """An einsum of operands rounded to a floating `dtype`, summed in float32."""
    if jnp.dtype(dtype) == jnp.float32:
        return jnp.einsum(subscripts, *operands)

    def narrow(*operands: Array) -> Array:
        rounded = [operand.astype(dtype) for operand in operands]
        return jnp.einsum(subscripts, *rounded, preferred_element_type=jnp.float32)

    def wide(*operands: Array) -> Array:
        bits = jnp.finfo(dtype)
        rounded = [
            jax.lax.reduce_precision(x.astype(jnp.float32), bits.nexp, bits.nmant)
            for x in operands
        ]
        return jnp.einsum(subscripts, *rounded)

    # On a CPU, XLA lacks some bfloat16 products with a float32 sum (jax 0.12). Products of
    # rounded float32 numbers are the same numbers.
    return jax.lax.platform_dependent(*operands, cpu=wide, default=narrow)


def masked_softmax(logits: Array, mask: Array) -> Array:
    """Softmax over the last axis among the entries where `mask` is True.

    The others get exactly 0, whatever their logits. Without any entry the result is
    uniform; callers leave at least one.
    """
    return jax.nn.softmax(jnp.where(mask, logits, jnp.finfo(logits.dtype).min))


def content_logits(
    query: Array, key_weights: Array, rows: Array, dtype: Any = jnp.float32
) -> Array:
    """Scaled dot products of queries and projected rows.

    Args:
      query: `[T, B, heads, K]`.
      key_weights: `[heads, K, F]`.
      rows: `[B, S, F]`.
      dtype: in which the products are taken.

    Returns:
      `[B, heads, T, S]`.

    Source: Vaswani et al. 2017, section 3.2.
    """
    wanted = _to_rows(query, key_weights, dtype)
    return contract("tbhf,bsf->bhts", wanted, rows, dtype=dtype)


def _to_rows(query: Array, weights: Array, dtype: Any) -> Array:
    """`[T, B, heads, F]`: what a row must look like to match, scaled by the root of K."""
    scaled = query / math.sqrt(query.shape[-1])
    return contract("tbhk,hkf->tbhf", scaled, weights, dtype=dtype)


def read(
    weights: Array, value_weights: Array, rows: Array, dtype: Any = jnp.float32
) -> Array:
    """The projected rows, averaged by the weights of each head.

    Args:
      weights: `[B, heads, T, S]`.
      value_weights: `[heads, K, F]`.
      rows: `[B, S, F]`.
      dtype: in which the products are taken.

    Returns:
      `[T, B, heads, K]`.
    """
    mean = contract("bhts,bsf->tbhf", weights, rows, dtype=dtype)
    return contract("tbhf,hkf->tbhk", mean, value_weights, dtype=dtype)


def position_logits(
    query: Array, position_weights: Array, capacity: int, dtype: Any = jnp.float32
) -> Array:
    """Scaled dot products of queries and projected encodings of the distance back.

    Args:
      query: `[T, B, heads, K]`.
      position_weights: `[heads, K, F]`.
      capacity: N, the largest distance; N + T rows stand in the window.
      dtype: in which the products are taken.

    Returns:
      `[B, heads, T, N + T]`; 0 at distances outside 0 to N, which the mask excludes.

    Source: Dai et al. 2019, section 3.3 and appendix B.
    """
    wanted = _to_rows(query, position_weights, dtype)
    encoding = sinusoids(capacity + 1, position_weights.shape[-1])[::-1]  # Oldest first.
    return skew(contract("tbhf,rf->bhtr", wanted, encoding, dtype=dtype))


def skew(by_offset: Array) -> Array:
    """Moves row t of the last two axes t places to the right.

    Args:
      by_offset: `[..., T, R]`.

    Returns:
      `[..., T, R + T - 1]`, zero where nothing was moved to.
    """
    *leading, num_steps, num_offsets = by_offset.shape
    width = num_offsets + num_steps - 1
    padding = [(0, 0)] * (by_offset.ndim - 1) + [(0, num_steps)]
    flat = jnp.pad(by_offset, padding).reshape(*leading, -1)
    return flat[..., : num_steps * width].reshape(*leading, num_steps, width)


def sinusoids(length: int, size: int) -> Array:
    """Encodings `[length, size]` of the distances 0, 1, ...: sines, then cosines.

    Source: Vaswani et al. 2017, section 3.5.
      Departure: all sines stand before all cosines, as in Dai et al.'s code.
    """
    frequency = 1.0 / 10_000 ** (jnp.arange(0, size, 2) / size)
    angle = jnp.arange(length)[:, None] * frequency
    return jnp.concatenate([jnp.sin(angle), jnp.cos(angle)], axis=-1)
