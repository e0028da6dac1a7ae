"""What minibatches are made of: whole sequences, or pieces of these.

Shapes: T decisions, B sequences; L decisions in a piece, N = B T / L pieces.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from tolman.agents.agent import Array, Unroll
from tolman.agents.ppo.loss import Old
from tolman.agents.recurrent import RecurrentState


def cut(unroll: Unroll, old: Old, length: int) -> tuple[Unroll, Old]:
    """Cuts sequences into pieces `[L, N]`, for a core without memory.

    As in a whole sequence, a row after the last decision is part of a piece.
    """
    starts = np.arange(0, len(old.mask), length)
    rows = starts[:, None] + np.arange(length + 1)  # [T / L, L + 1]

    def pieces(tree: Any, rows: np.ndarray) -> Any:
        return jax.tree.map(lambda leaf: _side_by_side(leaf[rows]), tree)

    before = jax.tree.map(
        lambda first, rest: jnp.concatenate([first[None], rest])[starts],
        unroll.actor_state.previous_action,
        unroll.action,
    )  # [T / L, B, ...]
    before = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), before)
    parts = Unroll(
        timestep=pieces(unroll.timestep, rows),
        action=pieces(unroll.action, rows[:, :-1]),
        policy=pieces(unroll.policy, rows[:, :-1]),
        actor_state=RecurrentState(unroll.actor_state.core, before),
    )
    return parts, pieces(old, rows[:, :-1])


def _side_by_side(x: Array) -> Array:
    """`[T / L, L, B, ...]` to `[L, N, ...]`."""
    x = jnp.moveaxis(x, 0, 1)
    return x.reshape(x.shape[0], -1, *x.shape[3:])


def pick_unroll(unroll: Unroll, members: Array) -> Unroll:
    """The sequences or pieces of these numbers."""
    return Unroll(
        timestep=pick(unroll.timestep, members),
        action=pick(unroll.action, members),
        policy=pick(unroll.policy, members),
        actor_state=jax.tree.map(lambda leaf: leaf[members], unroll.actor_state),
    )


def pick(tree: Any, members: Array) -> Any:
    """The same of `[T, B, ...]` leaves."""
    return jax.tree.map(lambda leaf: leaf[:, members], tree)
