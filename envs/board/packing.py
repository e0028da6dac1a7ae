"""Histories, small numbers packed into words, and positions named by random keys.

Shapes: H kept positions, S numbers, W words, M remembered positions.
"""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jax import lax

from tolman.envs.board.game import Array

WORD_BITS = 32


def pack(numbers: Array, num_bits: int) -> Array:
    """Packs numbers of `num_bits` bits each into as few words as whole ones fit in.

    Args:
      numbers: `[..., S]` in [0, 2**num_bits).
      num_bits: at most 32.

    Returns:
      `[..., W]` uint32.
    """
    per_word = WORD_BITS // num_bits
    missing = -numbers.shape[-1] % per_word
    padded = jnp.pad(
        numbers.astype(jnp.uint32), [(0, 0)] * (numbers.ndim - 1) + [(0, missing)]
    )
    shifts = jnp.arange(per_word, dtype=jnp.uint32) * num_bits
    grouped = padded.reshape(*numbers.shape[:-1], -1, per_word)
    return jnp.sum(grouped << shifts, axis=-1, dtype=jnp.uint32)


def unpack(words: Array, num_bits: int, num_numbers: int) -> Array:
    """The inverse of `pack`: `[..., S]` int32 for S `num_numbers`."""
    shifts = jnp.arange(WORD_BITS // num_bits, dtype=jnp.uint32) * num_bits
    numbers = (words[..., None] >> shifts) & jnp.uint32(2**num_bits - 1)
    flat = numbers.reshape(*words.shape[:-1], -1)[..., :num_numbers]
    return flat.astype(jnp.int32)


def with_newest(history: Array, newest: Array) -> Array:
    """`[H, ...]` with `newest` in front and the oldest dropped."""
    return jnp.concatenate([newest.astype(history.dtype)[None], history[:-1]])


def random_keys(*shape: int, seed: int) -> np.ndarray:
    """Zobrist's table: a random word for each thing that may be true of a position.

    The same in every process and on every machine.
    """
    rng = np.random.default_rng(seed)
    return rng.integers(1, 2**32, size=shape, dtype=np.uint32)


def combined(words: Array) -> Array:
    """The exclusive or of `[S, ...]` over its first axis."""
    return lax.reduce(words, np.uint32(0), lax.bitwise_xor, (0,))


def num_earlier(keys: Array, key: Array, num_kept: Array) -> Array:
    """`[]` int32: how many of the first `num_kept` positions are this one.

    Args:
      keys: `[M, W]` uint32.
      key: `[W]` uint32.
      num_kept: `[]`.
    """
    return is_earlier(keys, key, num_kept).sum(dtype=jnp.int32)


def is_earlier(keys: Array, key: Array, num_kept: Array) -> Array:
    """`[M]` bool: which of the first `num_kept` positions are this one."""
    return (keys == key).all(axis=-1) & (jnp.arange(keys.shape[0]) < num_kept)
