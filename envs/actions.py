"""Actions as an environment takes them: in its dtypes, within its bounds, and legal.

An environment tells which actions are legal by a part of its observation that is called
`action_mask` or `legal_actions`: nonzero for what may be chosen, of as many entries as the
numbered parts of the action have values, one behind the other.

Shapes: K numbers in an action, L values of all those that are numbered.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from dm_env import specs

from tolman.envs.checks import fail, spec_leaves
from tolman.envs.environment import Array

MASKS = ("action_mask", "legal_actions")
WIDEST = 1e3  # Of a random number without bounds.


def is_mask(name: str) -> bool:
    """Whether the part of an observation with this path, such as "a.b", is a mask."""
    return name.split(".")[0] in MASKS


def is_continuous(spec: specs.Array) -> bool:
    """Whether an array of an action is one of floats."""
    return bool(np.issubdtype(spec.dtype, np.floating))


def bounds(spec: specs.Array) -> tuple[np.ndarray, np.ndarray]:
    """The lowest and the highest values of an array of an action, `[*shape]` float64.

    Raises:
      ConformanceError: for what holds no numbers, such as text.
    """
    if np.dtype(spec.dtype).kind not in "biuf":
        fail(
            "action_spec()",
            repr(spec),
            "numbered, or an array of integers or floats",
            "Wrap the environment.",
        )
    low: Any = getattr(spec, "minimum", -np.inf)
    high: Any = getattr(spec, "maximum", np.inf)
    if spec.dtype == np.bool_:
        low, high = 0, 1
    elif np.issubdtype(spec.dtype, np.integer):
        limits = np.iinfo(spec.dtype)
        low, high = np.maximum(low, limits.min), np.minimum(high, limits.max)
    return (
        np.broadcast_to(np.asarray(low, np.float64), spec.shape),
        np.broadcast_to(np.asarray(high, np.float64), spec.shape),
    )


def clip_action(spec: Any, action: Any) -> Any:
    """An action, or a batch, in the dtypes and, where continuous, bounds of its spec."""

    def clip(leaf: specs.Array, part: Any) -> Any:
        if is_continuous(leaf) and isinstance(leaf, specs.BoundedArray):
            part = jnp.clip(part, leaf.minimum, leaf.maximum)
        return jnp.asarray(part, jax.dtypes.canonicalize_dtype(leaf.dtype))

    return jax.tree.map(clip, spec, action)


def cast_action(spec: Any, action: Any) -> Any:
    """An action, or a batch of them, as NumPy arrays in the dtypes of its spec."""
    return jax.tree.map(lambda leaf, part: np.asarray(part, leaf.dtype), spec, action)


def within_bounds(spec: specs.Array, action: np.ndarray) -> np.ndarray:
    """Continuous actions `[E, *shape]` of the host, clipped to the bounds of their spec.

    Raises:
      ValueError: for what is not finite.
    """
    if not np.isfinite(action).all():
        got = action[~np.isfinite(action)].flat[0]
        raise ValueError(
            f"action: got {got}; must be finite. Lower --agent.learning-rate, or look for "
            "what made the policy's parameters so."
        )
    if not isinstance(spec, specs.BoundedArray):
        return action
    return np.clip(action, spec.minimum, spec.maximum, dtype=action.dtype)


def value_counts(action_spec: Any) -> list[int]:
    """How many values each number of the numbered parts of an action has."""
    counts: list[int] = []
    for _, leaf in spec_leaves(action_spec):
        if not is_continuous(leaf):
            low, high = bounds(leaf)
            counts += (high - low + 1).astype(np.int64).reshape(-1).tolist()
    return counts


class Legal:
    """Reads the mask of legal actions out of observations.

    Attributes:
      is_told: whether the environment tells which actions are legal.
    """

    def __init__(self, observation_spec: Any, action_spec: Any) -> None:
        """Finds the mask.

        Raises:
          ConformanceError: for a mask of another size than the actions have values.
        """
        leaves, _ = jax.tree_util.tree_flatten_with_path(observation_spec)
        names = [
            jax.tree_util.keystr(path, simple=True, separator=".") for path, _ in leaves
        ]
        self._indices = [index for index, name in enumerate(names) if is_mask(name)]
        self.is_told = bool(self._indices)
        if not self.is_told:
            return
        self._num_axes = [len(leaves[index][1].shape) for index in self._indices]
        size = sum(math.prod(leaves[index][1].shape) for index in self._indices)
        self._counts = value_counts(action_spec)
        if size != sum(self._counts):
            fail(
                names[self._indices[0]],
                f"{size} entries",
                f"{sum(self._counts)}, one for each value of the numbered actions",
                "Change its shape, or give it another name.",
            )

    def read(self, observation: Any) -> Array | None:
        """The mask, `[..., L]` bool, of observations `[..., *shape]`; None without one.

        Where nothing is legal, as after the end of a game, everything is.
        """
        if not self.is_told:
            return None
        mask = self._told(observation)
        return mask | ~mask.any(-1, keepdims=True)

    def none_is_legal(self, observation: Any) -> Array:
        """Where there is a number of which no value is legal: `[...]` bool of what is told.

        Args:
          observation: `[..., *shape]`, with a mask.
        """
        parts = jnp.split(self._told(observation), np.cumsum(self._counts)[:-1], axis=-1)
        return ~jnp.stack([part.any(-1) for part in parts]).all(0)

    def _told(self, observation: Any) -> Array:
        """What the environment tells: `[..., L]` bool."""
        leaves = jax.tree.leaves(observation)
        pairs = zip(self._indices, self._num_axes, strict=True)
        flat = [
            leaves[index].reshape(*leaves[index].shape[: leaves[index].ndim - axes], -1)
            for index, axes in pairs
        ]
        return jnp.concatenate(flat, axis=-1) != 0

    def check(self, leaves: Sequence[np.ndarray]) -> None:
        """Checks the leaves of one observation on which an action is to be taken.

        Raises:
          ConformanceError: if there is a number of which no value is legal.
        """
        if not self.is_told:
            return
        mask = np.concatenate([leaves[index].reshape(-1) for index in self._indices]) != 0
        first = np.cumsum([0, *self._counts[:-1]])
        if not np.logical_or.reduceat(mask, first).all():
            fail(
                "legal actions",
                "none",
                "at least one until the episode ends",
                "End the episode where nothing can be done.",
            )


def count_numbers(action_spec: Any) -> int:
    """K."""
    return sum(math.prod(leaf.shape) for _, leaf in spec_leaves(action_spec))


def random_action(action_spec: Any, uniform: Array, mask: Array | None) -> Any:
    """A random action, in jax.

    Args:
      action_spec: a `dm_env.specs.Array`, or a nest of them.
      uniform: `[K]` in [0, 1).
      mask: `[L]` bool, of legal actions; None where all are.
    """
    parts: list[Any] = []
    for _, leaf in spec_leaves(action_spec):
        size = math.prod(leaf.shape)
        own, uniform = uniform[:size], uniform[size:]
        low, high = (end.reshape(-1) for end in bounds(leaf))
        if is_continuous(leaf):
            low, high = np.maximum(low, -WIDEST), np.minimum(high, WIDEST)
            values = low + own * (high - low)
        elif mask is None:
            values = low + jnp.floor(own * (high - low + 1))
        else:
            counts = (high - low + 1).astype(np.int64)
            legal = jnp.split(mask[: counts.sum()], np.cumsum(counts)[:-1])
            mask = mask[counts.sum() :]
            chosen = [_pick(*pair) for pair in zip(legal, own, strict=True)]
            values = low + jnp.stack(chosen)
        parts.append(values.reshape(leaf.shape))
    structure: Any = jax.tree.structure(action_spec)
    return clip_action(action_spec, structure.unflatten(parts))


def _pick(legal: Array, uniform: Array) -> Array:
    """The number of a legal value, each as likely, from one number in [0, 1)."""
    return jnp.argmax(jnp.cumsum(legal) > jnp.floor(uniform * legal.sum()))
