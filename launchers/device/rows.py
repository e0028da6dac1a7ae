"""Rows of a replay, in words of 32 bits: what is drawn at once lies side by side in memory.

A replay of a million rows does not fit into a processor's cache, and each array that a
drawn row is spread over is one more place in memory to wait for.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from tolman.agents.agent import Array

LARGEST_SMALL = 16  # Numbers of a row; what is larger is apart, and waited for once anyway.


@dataclass(frozen=True)
class Layout:
    """What a row is made of.

    Attributes:
      structure: of the pytree.
      shapes: of each leaf of one row.
      dtypes: of each leaf.
    """

    structure: Any
    shapes: tuple[tuple[int, ...], ...]
    dtypes: tuple[Any, ...]

    def is_small(self, leaf: int) -> bool:
        """Whether it lies among the words."""
        size = math.prod(self.shapes[leaf])
        return self.dtypes[leaf].itemsize <= 4 and size <= LARGEST_SMALL


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["words", "large"],
    meta_fields=["layout"],
)
@dataclass(frozen=True)
class Rows:
    """Any number of rows; `...` is their leading axes.

    Attributes:
      words: `[..., W]` uint32, of the small leaves.
      large: the others, `[..., *S]`.
      layout: of a row.
    """

    words: Array
    large: tuple[Array, ...]
    layout: Layout


def pack(tree: Any, num_axes: int) -> Rows:
    """Rows of a pytree whose leaves have `num_axes` leading axes; no bit is lost."""
    leaves, structure = jax.tree.flatten(tree)
    layout = Layout(
        structure,
        tuple(leaf.shape[num_axes:] for leaf in leaves),
        tuple(jnp.dtype(leaf.dtype) for leaf in leaves),
    )
    leading = leaves[0].shape[:num_axes]
    words, large = [jnp.zeros((*leading, 0), jnp.uint32)], []
    for number, leaf in enumerate(leaves):
        if layout.is_small(number):
            words.append(_to_words(leaf).reshape(*leading, -1))
        else:
            large.append(leaf)
    return Rows(jnp.concatenate(words, -1), tuple(large), layout)


def unpack(rows: Rows) -> Any:
    """The pytree that was packed."""
    layout, large = rows.layout, iter(rows.large)
    leading, first, leaves = rows.words.shape[:-1], 0, []
    for number, (shape, dtype) in enumerate(zip(layout.shapes, layout.dtypes, strict=True)):
        if layout.is_small(number):
            after = first + math.prod(shape)
            words = rows.words[..., first:after].reshape(*leading, *shape)
            leaves.append(_from_words(words, dtype))
            first = after
        else:
            leaves.append(next(large))
    return layout.structure.unflatten(leaves)


def _to_words(x: Array) -> Array:
    """One word for each number; those of fewer bits are widened first."""
    if x.dtype.itemsize < 4:
        x = x.astype(_wide(x.dtype))
    return lax.bitcast_convert_type(x, jnp.uint32)


def _from_words(words: Array, dtype: Any) -> Array:
    wide = dtype if dtype.itemsize == 4 else _wide(dtype)
    return lax.bitcast_convert_type(words, wide).astype(dtype)


def _wide(dtype: Any) -> Any:
    return jnp.float32 if jnp.issubdtype(dtype, jnp.floating) else jnp.int32
