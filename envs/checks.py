"""What is asked of environments, games and films: a violation is named in one line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn

import jax
import jax.numpy as jnp
import numpy as np
from dm_env import specs

from tolman.envs.places import summary_with_place


class ConformanceError(ValueError):
    """One broken promise of an environment: what, got, allowed, fix, on one line."""


def fail(what: str, got: Any, allowed: str, fix: str) -> NoReturn:
    """Raises the ConformanceError of one violation."""
    line = f"{what}: got {got}; must be {allowed}. {fix}"
    raise ConformanceError(" ".join(line.split()))


def check_methods(item: Any, methods: Sequence[str], protocol: str) -> None:
    """Fails for the first method of a protocol that cannot be called.

    Args:
      item: an environment or a game.
      methods: their names.
      protocol: where they are described.
    """
    for method in methods:
        if not callable(getattr(item, method, None)):
            fail(
                f"{type(item).__name__}.{method}",
                "nothing that can be called",
                "a method",
                f"See {protocol}.",
            )


def raised(error: BaseException) -> str:
    """What code raised that should not have, and where."""
    return f"raised {summary_with_place(error)}; must be free of errors."


def spec_leaves(spec: Any) -> list[tuple[str, specs.Array]]:
    """Every spec of a nest, with where it stands in it ("" for a bare one).

    Raises:
      ConformanceError: for a nest without specs, or with something else in it.
    """
    leaves = [
        (jax.tree_util.keystr(path), leaf)
        for path, leaf in jax.tree_util.tree_flatten_with_path(spec)[0]
    ]
    for where, leaf in leaves or [("", None)]:
        if not isinstance(leaf, specs.Array):
            fail(
                f"spec{where}",
                repr(leaf),
                "a dm_env.specs.Array",
                "Return a spec, or a dict or tuple of specs.",
            )
    return leaves


def check_structure(what: str, spec: Any, value: Any) -> None:
    """Raises ConformanceError unless `value` is nested as `spec` is, leaf shapes alike.

    Leaves of `value` may be arrays or anything else with a shape and a dtype.
    """
    wanted: Any = jax.tree.structure(spec)
    got: Any = jax.tree.structure(value)
    if wanted != got:
        fail(f"{what} structure", got, f"{wanted} as in its spec", "Make the two agree.")
    for (where, leaf_spec), leaf in zip(
        spec_leaves(spec), jax.tree.leaves(value), strict=True
    ):
        if not hasattr(leaf, "shape"):
            leaf = np.asarray(leaf)
        if tuple(leaf.shape) != tuple(leaf_spec.shape):
            fail(
                f"{what}{where} shape",
                tuple(leaf.shape),
                f"{tuple(leaf_spec.shape)} as in its spec",
                "Make the two agree.",
            )
        if np.dtype(leaf.dtype) != leaf_spec.dtype:
            fail(
                f"{what}{where} dtype",
                leaf.dtype,
                f"{leaf_spec.dtype} as in its spec",
                "Cast it, or change the spec.",
            )


def check_values(what: str, spec: Any, value: Any, num_axes: int = 0) -> None:
    """Raises ConformanceError for values that are not finite, or out of their bounds.

    Args:
      what: the name of `value` in the error.
      spec: a nest of specs.
      value: arrays in the same nest, with `num_axes` leading axes that the specs lack.
      num_axes: as said.
    """
    for (where, leaf_spec), leaf in zip(
        spec_leaves(spec), jax.tree.leaves(value), strict=True
    ):
        leaf = np.asarray(leaf)
        if np.issubdtype(leaf.dtype, np.floating) and not np.isfinite(leaf).all():
            first = leaf[~np.isfinite(leaf)].flat[0]
            fail(f"{what}{where}", first, "finite", "Look for a division by 0.")
        if isinstance(leaf_spec, specs.BoundedArray):
            low, high = leaf_spec.minimum, leaf_spec.maximum
            outside = (leaf < low) | (leaf > high)
            if outside.any():
                got, low, high = (
                    np.broadcast_to(values, leaf.shape)[outside].flat[0]
                    for values in (leaf, low, high)
                )
                fail(
                    f"{what}{where}",
                    got,
                    f"in [{low}, {high}] as in its spec",
                    "Widen the spec, or clip.",
                )


def is_same(
    first: Any, second: Any, pixel_share: float = 0.0, tolerance: float = 1e-5
) -> bool:
    """Two nests hold the same numbers; floats nearly, for two ways to compile.

    Args:
      first: a nest of arrays.
      second: another one.
      pixel_share: of the bytes of an image, how many may differ: two ways to compile may
        round a ray to two sides of an edge.
      tolerance: of floats, absolute and relative.
    """
    first_leaves, second_leaves = jax.tree.leaves(first), jax.tree.leaves(second)
    if len(first_leaves) != len(second_leaves):
        return False
    for one, other in zip(first_leaves, second_leaves, strict=True):
        one, other = _plain(one), _plain(other)
        if one.shape != other.shape or one.dtype != other.dtype:
            return False
        if np.issubdtype(one.dtype, np.floating):
            if not np.allclose(one, other, tolerance, tolerance, equal_nan=True):
                return False
        elif not np.array_equal(one, other):
            is_image = one.dtype == np.uint8 and one.ndim >= 2
            if not is_image or np.mean(one != other) > pixel_share:
                return False
    return True


def shapes_of(tree: Any) -> Any:
    """The structure of a nest of arrays, and the shape and dtype of each."""
    leaves, structure = jax.tree.flatten(tree)
    return structure, [(leaf.shape, str(leaf.dtype)) for leaf in leaves]


def _plain(leaf: Any) -> np.ndarray:
    if hasattr(leaf, "dtype") and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        leaf = jax.random.key_data(leaf)
    return np.asarray(leaf)
