"""The forms of what a memory core returns: shapes, dtypes and the nest of its state.

Shapes: B batch, T time, D features.
"""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from tolman.networks.bound_core import BoundCore
from tolman.networks.core import State


class ConformanceError(ValueError):
    """A core breaks its contract; the message names the property."""


def check_forms(core: BoundCore, x: np.ndarray, reset: np.ndarray) -> None:
    """A step and an unroll return outputs of one width, and states like the first one.

    Args:
      core: the core; nothing of it is computed.
      x: `[T, B, D]`.
      reset: `[T, B]`.

    Raises:
      ConformanceError: naming the first form that does not fit.
    """
    num_rows = reset.shape[1]
    start = jax.eval_shape(lambda: core.initial_state(num_rows))
    for path, leaf in jax.tree_util.tree_flatten_with_path(start)[0]:
        if leaf.shape[:1] != (num_rows,):
            raise ConformanceError(
                f"initial_state returned {_leaf(path, leaf)}, must begin with [B] = "
                f"({num_rows},): give every leaf an axis of the batch."
            )
    widths = {}
    for name, method, rows, opens in (
        ("__call__", core.step, x[0], reset[0]),
        ("unroll", core.unroll, x, reset),
    ):
        outputs, state = jax.eval_shape(method, rows, opens, start)
        if outputs.shape[:-1] != opens.shape:
            axes = "[T, B]" if opens.ndim == 2 else "[B]"
            raise ConformanceError(
                f"{name} returned outputs of shape {outputs.shape}, must be {axes} = "
                f"{opens.shape} and an axis of features: one output a row and step."
            )
        widths[name] = outputs.shape[-1]
        _check_state(name, start, state)
    if len(set(widths.values())) > 1:
        raise ConformanceError(
            f"outputs have {widths['__call__']} features by __call__ and "
            f"{widths['unroll']} by unroll, must have as many: return the same from both."
        )


def _check_state(name: str, start: State, state: State) -> None:
    """That the state which a method returns has the form of the first one."""
    found: Any
    wanted: Any
    found, wanted = jax.tree.structure(state), jax.tree.structure(start)
    if found != wanted:
        raise ConformanceError(
            f"{name} returned a state of the structure {found}, must be that of "
            f"initial_state, {wanted}: return the same nest of arrays."
        )
    leaves, first = (
        jax.tree_util.tree_flatten_with_path(tree)[0] for tree in (state, start)
    )
    for (path, leaf), (_, before) in zip(leaves, first, strict=True):
        if (leaf.shape, leaf.dtype) != (before.shape, before.dtype):
            raise ConformanceError(
                f"{name} returned a state with {_leaf(path, leaf)}, must be "
                f"{_leaf(path, before)} as in initial_state: keep shapes and dtypes."
            )


def _leaf(path: Any, leaf: Any) -> str:
    """A leaf of a state in words."""
    place = jax.tree_util.keystr(path)
    return f"a leaf{' ' + place if place else ''} of {leaf.dtype} {leaf.shape}"
