"""One random layer of attention: how far its last token moves when it is repeated.

Shapes: T tokens, D features.
"""

from __future__ import annotations

from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from tolman.networks.attention import sinusoids
from tolman.networks.core import Array
from tolman.networks.positions import rotate

Positions = Literal["none", "sinusoidal", "rope", "alibi"]
ROPE_BASE = 10_000.0
ALIBI_SLOPE = 0.5  # Of one head; Press et al. 2022 have slopes from 2^-8 to 1.


def last_state(query: Array, key: Array, value: Array, positions: Positions) -> Array:
    """The last token's state: its value and what it attends to, normalised, `[D]` float32.

    Args:
      query: `[T, D]`, before positions are added to it.
      key: `[T, D]`, likewise.
      value: `[T, D]`.
      positions: how queries and keys know where they stand.

    Source: Barbero et al. 2024, section 4.1: one head, one layer.
    """
    num_tokens, size = key.shape
    place = jnp.arange(num_tokens)
    if positions == "sinusoidal":
        table = sinusoids(num_tokens, size)
        query, key = query + table, key + table
    elif positions == "rope":
        query, key = _rotate(query, place), _rotate(key, place)
    with jax.default_matmul_precision("highest"):
        logits = key @ query[-1] / jnp.sqrt(size)
        if positions == "alibi":
            logits -= ALIBI_SLOPE * (num_tokens - 1 - place)
        state = value[-1] + jax.nn.softmax(logits) @ value
    return state * jax.lax.rsqrt((state**2).mean())


def repeat_gap(key: Array, num_tokens: int, positions: Positions) -> tuple[Array, Array]:
    """The last states of T random tokens, and of the same with the last one repeated.

    Args:
      key: `[2]`, of all chance.
      num_tokens: T.
      positions: see `last_state`.

    Returns:
      Two arrays `[D]`, D = 64.
    """
    random = jax.random.normal(key, (3, num_tokens, 64))
    longer = jnp.concatenate([random, random[:, -1:]], axis=1)
    first, second = (last_state(x[0], x[1], x[2], positions) for x in (random, longer))
    return first, second


def _rotate(x: Array, place: Array) -> Array:
    return rotate(x[None, :, None], place[None], ROPE_BASE)[0, :, 0]


def slope(lengths: np.ndarray, gaps: np.ndarray) -> float:
    """Of a line through the logarithm of gaps over that of lengths, by least squares."""
    return float(np.polyfit(np.log(lengths), np.log(gaps), 1)[0])


def softmax_variation(logits: np.ndarray, noise: np.ndarray) -> float:
    """Total variation between two softmax distributions over the same tokens.

    Args:
      logits: `[T]`.
      noise: `[k]`, added to the first k of them.

    Returns:
      Half the sum of the absolute differences, in [0, 1].

    Source: Barbero et al. 2024, lemma B.2.
    """
    changed = logits.astype(float)
    changed[: len(noise)] += noise
    return float(0.5 * np.abs(_softmax(changed) - _softmax(logits)).sum())


def _softmax(logits: np.ndarray) -> np.ndarray:
    weights = np.exp(logits - logits.max())
    return weights / weights.sum()
