"""Where a token stands: what attention is told of it beside sinusoids.

Shapes: B batch, T tokens, K features of a head, H heads.
"""

from __future__ import annotations

import jax.numpy as jnp

from tolman.networks.core import Array


def rotate(x: Array, position: Array, base: float) -> Array:
    """Turns neighbouring pairs of features by angles that grow with the position.

    The dot product of a query and a key turned so depends on their positions only by
    their distance.

    Args:
      x: `[B, T, heads, K]`, K even.
      position: `[B, T]`.
      base: pair i of K / 2 turns by base^(-2i / K) radians a position.

    Returns:
      `[B, T, heads, K]` of the dtype of `x`; the product is taken in float32.

    Source: Su et al. 2021, section 3.2.2.
    """
    frequency = base ** (-jnp.arange(0, x.shape[-1], 2) / x.shape[-1])
    angle = position[:, :, None, None] * frequency  # [B, T, 1, K / 2]
    return turn(x, jnp.cos(angle), jnp.sin(angle))


def turn(x: Array, cosine: Array, sine: Array) -> Array:
    """Turns neighbouring pairs of features.

    Args:
      x: `[..., K]`, K even.
      cosine: of the angles, `[..., K / 2]` or what broadcasts to that.
      sine: of the same.

    Returns:
      `[..., K]` of the dtype of `x`; the product is taken in float32.
    """
    even, odd = x[..., ::2].astype(jnp.float32), x[..., 1::2].astype(jnp.float32)
    turned = jnp.stack([even * cosine - odd * sine, even * sine + odd * cosine], axis=-1)
    return turned.reshape(x.shape).astype(x.dtype)


def alibi_slopes(num_heads: int) -> Array:
    """`[H]`, what each head's logits lose with every position of distance.

    Source: Press et al. 2022, section 3: a geometric sequence from 2^(-8 / H) to 2^-8.
    """
    return 2.0 ** (-8.0 * jnp.arange(1, num_heads + 1) / num_heads)
