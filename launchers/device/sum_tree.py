"""A tree of sums: draws items in proportion to weights that change all the time.

A leaf holds the weight of an item, every other node the sum of the nodes below it, `FANOUT`
of them. To change a weight is to add up one node's children on every level; to draw is to
walk down from the top, each step with a random number of its own, so that a million items
are told apart as well as ten. A wide tree has few levels, and each is one operation.

Source: Schaul et al. 2016, "Prioritized Experience Replay", appendix B.2.1.
  Departure: there a node has two children; `docs/performance.md` has the measured times.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from tolman.agents.agent import Array

FANOUT = 16

SumTree = tuple[Array, ...]  # The levels from the leaves up, each a multiple of FANOUT.


def make_sum_tree(num_items: int) -> SumTree:
    """A tree of weights 0."""
    levels = [_padded(num_items)]
    while levels[-1] > FANOUT:
        levels.append(_padded(levels[-1] // FANOUT))
    return tuple(jnp.zeros(size) for size in levels)


def set_weights(tree: SumTree, items: Array, weights: Array) -> SumTree:
    """Changes weights.

    Args:
      tree: to change.
      items: `[n]` int32; one that is there twice has the same weight twice.
      weights: `[n]`, at least 0.
    """
    levels = [tree[0].at[items].set(weights)]
    for above in tree[1:]:
        items = items // FANOUT
        sums = levels[-1].reshape(-1, FANOUT)[items].sum(-1)
        levels.append(above.at[items].set(sums))
    return tuple(levels)


def draw_items(tree: SumTree, key: Array, num_items: int) -> tuple[Array, Array]:
    """Draws with replacement; some weight is above 0.

    Args:
      tree: of weights.
      key: `[2]`.
      num_items: n, to draw.

    Returns:
      `[n]` int32 items, and the `[n]` probability of each in one draw.
    """
    uniform = jax.random.uniform(key, (len(tree), num_items, 1))
    items, weight = jnp.zeros(num_items, jnp.int32), jnp.zeros(num_items)
    for level, drawn in zip(reversed(tree), uniform, strict=True):
        weights = level.reshape(-1, FANOUT)[items]  # [n, FANOUT]
        # Of items of weight 0, rounded sums could say otherwise.
        sums = jnp.where(weights > 0.0, jnp.cumsum(weights, -1), 0.0)
        child = jnp.argmax(sums > drawn * sums.max(-1, keepdims=True), -1)
        items = FANOUT * items + child.astype(jnp.int32)
        weight = jnp.take_along_axis(weights, child[:, None], -1)[:, 0]
    return items, weight / tree[-1].sum()


def _padded(size: int) -> int:
    return -(-size // FANOUT) * FANOUT
