"""What all suites need: specs of their spaces, and states whose types stay as they are."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from dm_env import specs


def spec_of(space: Any, shaped: Any, name: str) -> Any:
    """The spec of a suite's space.

    Args:
      space: of one array, by `n` or `num_values`, or by a shape and perhaps bounds, `low`,
        `high` or `minimum`, `maximum`; or of several, by `spaces` or in a dictionary.
      shaped: what has the shape and the dtype of such an array, or a nest of them.
      name: of the spec.

    Raises:
      ValueError: for a space of another kind.
    """
    parts = space if isinstance(space, dict) else getattr(space, "spaces", None)
    if isinstance(parts, dict):
        return {key: spec_of(part, shaped[key], key) for key, part in parts.items()}
    if parts is not None:
        numbered = zip(parts, shaped, strict=True)
        return tuple(spec_of(*both, f"{name}_{i}") for i, both in enumerate(numbered))
    count = getattr(space, "n", getattr(space, "num_values", None))
    if count is not None and shaped.shape == ():
        return specs.DiscreteArray(int(count), dtype=np.int32, name=name)
    low: Any
    high: Any
    low, high = (
        getattr(space, names[0], getattr(space, names[1], None))
        for names in (("low", "minimum"), ("high", "maximum"))
    )
    if not hasattr(space, "shape"):
        raise ValueError(
            f"{name}: is a {type(space).__name__}; must be a space of numbers, or of "
            "several of these."
        )
    dtype = jax.dtypes.canonicalize_dtype(shaped.dtype)
    has_bounds = low is not None and high is not None and dtype.kind != "b"
    if not (has_bounds and np.all(np.isfinite(low)) and np.all(np.isfinite(high))):
        return specs.Array(shaped.shape, dtype, name)
    # A bound in a wider type may lie beyond the narrower one's range.
    limits = np.iinfo(dtype) if np.issubdtype(dtype, np.integer) else np.finfo(dtype)
    low, high = (
        np.clip(np.asarray(bound), limits.min, limits.max) for bound in (low, high)
    )
    return specs.BoundedArray(
        shaped.shape, dtype, low.astype(dtype), high.astype(dtype), name
    )


def common_types(*trees: Any) -> Any:
    """The dtype of every leaf that loses nothing of any of these trees' leaves."""
    return jax.tree.map(lambda *leaves: jnp.result_type(*(x.dtype for x in leaves)), *trees)


def cast(tree: Any, types: Any) -> Any:
    """The tree as arrays of these dtypes, none of them weak."""
    return jax.tree.map(
        lambda leaf, dtype: jax.lax.convert_element_type(jnp.asarray(leaf), dtype),
        tree,
        types,
    )
