"""Planes in a replay: a bit for each square where a plane is a mask times one number.

Chess has 8 x 8 x 119 numbers a position, 15 kB even in half precision; packed, they take
1.4 kB.

Shapes: n positions, R rows, S columns, C planes.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np


class Packed(NamedTuple):
    """Attributes:
    bits: `[n, ceil(R S / 8), C]` uint8, where a plane is not 0.
    value: `[n, C]` float32, what it is there.
    """

    bits: Any
    value: Any


def pack(planes: np.ndarray) -> Packed:
    """Packs `[n, R, S, C]` planes, each of which has one number beside 0.

    Raises:
      ValueError: if one has two.
    """
    flat = planes.reshape(len(planes), -1, planes.shape[-1])
    most, least = flat.max(1), flat.min(1)
    value = np.where(most > 0, most, least).astype(np.float32)
    mask = flat != 0
    if not np.array_equal(np.where(mask, value[:, None], 0.0), flat):
        raise ValueError(
            "info.planes_are_masks=True: a plane has two numbers beside 0. Set it to False."
        )
    return Packed(np.packbits(mask, axis=1), value)


def unpack(packed: Packed, shape: tuple[int, ...]) -> jax.Array:
    """The planes `[n, *shape]` again, float32; may be jitted."""
    rows, columns, _ = shape
    mask = jnp.unpackbits(packed.bits, axis=1, count=rows * columns)
    planes = mask.astype(jnp.float32) * packed.value[:, None]
    return planes.reshape(-1, *shape)
