"""Short and long memories in two batches, so that the short ones need less padding.

Shapes: B questions, I facts, J facts of a short memory, Q = heads * head size.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from tolman.agents.agent import Array
from tolman.networks.memo import Hops

LONG_SHARE = 4  # One in so many questions is long.


def by_length(
    take: Callable[..., Hops],
    short_facts: int,
    query: Array,
    mask: Array,
    facts: Sequence[Array],
) -> Hops:
    """Takes the hops of the longest quarter of the memories, and then of the others.

    A short memory has `short_facts` slots for its newest facts.

    Args:
      take: the hops of some questions, from their rows of `query`, `mask` and `facts`.
      short_facts: J.
      query: `[B, Q]`.
      mask: `[B, I]` bool; facts come first, the oldest before all, and padding last.
      facts: `[B, I, ...]` each.

    Returns:
      The hops of all questions in their order, of one query each.
    """
    num_facts = mask.sum(1)  # [B]
    order = jnp.argsort(-num_facts)
    num_long = len(order) // LONG_SHARE
    long, short = order[:num_long], order[num_long:]
    of_long = take(query[long], mask[long], *(fact[long] for fact in facts))
    first = jnp.maximum(num_facts[short] - short_facts, 0)
    slot = first[:, None] + jnp.arange(short_facts)  # [B - B / 4, J]
    row = short[:, None]
    of_short = take(query[short], mask[row, slot], *(fact[row, slot] for fact in facts))

    room = mask.shape[1] - short_facts
    padding = [(0, 0)] * (of_short.attention.ndim - 1) + [(0, room)]
    of_short = of_short._replace(attention=jnp.pad(of_short.attention, padding))
    back = jnp.argsort(order)
    axes: Any = Hops  # Its leaves are numbers here: which axis is B.
    axis = axes(queries=2, continue_logits=2, features=2, attention=1)
    return jax.tree.map(
        lambda one, other, axis: jnp.concatenate([one, other], axis).take(back, axis),
        of_long,
        of_short,
        axis,
    )
