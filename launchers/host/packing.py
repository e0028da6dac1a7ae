"""The leaves of a tree as one array of bytes: Reverb's cost is a column, not a byte."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from tolman.agents.agent import Array


class Packing:
    """A fixed layout of the leaves of a tree, one behind the other.

    Attributes:
      num_bytes: N, of a tree.
    """

    def __init__(self, tree: Any) -> None:
        """Lays out a tree of arrays or `jax.ShapeDtypeStruct`s, in the dtypes of jax."""
        leaves, self._structure = jax.tree.flatten(tree)
        self._shapes = [tuple(leaf.shape) for leaf in leaves]
        self._dtypes = [jax.dtypes.canonicalize_dtype(leaf.dtype) for leaf in leaves]
        sizes = [
            math.prod(shape) * dtype.itemsize
            for shape, dtype in zip(self._shapes, self._dtypes, strict=True)
        ]
        ends = np.cumsum([0, *sizes]).tolist()
        self._parts = [slice(*ends[index : index + 2]) for index in range(len(sizes))]
        self.num_bytes = ends[-1]

    def __eq__(self, other: object) -> bool:
        """Whether the other lays out the same trees alike."""
        return isinstance(other, Packing) and self._layout() == other._layout()

    def __hash__(self) -> int:
        return hash(self._layout())

    def pack(self, tree: Any, num_rows: int) -> np.ndarray:
        """The bytes of R trees, `[R, N]` uint8.

        Args:
          tree: whose leaves hold R of the layout's, one behind the other.
          num_rows: R.
        """
        leaves = jax.tree.leaves(tree)
        parts = [np.zeros((num_rows, 0), np.uint8)]
        for leaf, dtype in zip(leaves, self._dtypes, strict=True):
            array = np.ascontiguousarray(leaf, dtype)
            parts.append(array.reshape(num_rows, -1).view(np.uint8))
        return np.concatenate(parts, axis=1)

    def unpack(self, packed: Array) -> Any:
        """The tree of `[..., N]` bytes, with `[..., *shape]` leaves; in a jit."""
        return self._split(packed, _from_bytes)

    def read(self, packed: np.ndarray) -> Any:
        """The tree of `[..., N]` bytes on the host."""
        return self._split(packed, lambda part, dtype: part.copy().view(dtype))

    def _layout(self) -> tuple[Any, ...]:
        return self._structure, tuple(self._shapes), tuple(self._dtypes)

    def _split(self, packed: Any, convert: Callable[[Any, Any], Any]) -> Any:
        layout = zip(self._parts, self._dtypes, self._shapes, strict=True)
        leaves = [
            convert(packed[..., part], dtype).reshape(*packed.shape[:-1], *shape)
            for part, dtype, shape in layout
        ]
        return jax.tree.unflatten(self._structure, leaves)


def _from_bytes(packed: Array, dtype: Any) -> Array:
    """`[..., n * itemsize]` bytes as `[..., n]` numbers."""
    if dtype == jnp.bool_:
        return packed.astype(jnp.bool_)
    if dtype.itemsize > 1:
        packed = packed.reshape(*packed.shape[:-1], -1, dtype.itemsize)
    return jax.lax.bitcast_convert_type(packed, dtype)
