"""Mirrored and turned boards.

Shapes: N views, R rows, C columns, P planes, A actions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import jax.numpy as jnp

from tolman.envs.board.game import Array

View = Callable[[Array], Array]  # Of an array [R, C, ...].


def same(board: Array) -> Array:
    """The board itself."""
    return board


def mirrored(board: Array) -> Array:
    """Left and right exchanged."""
    return board[:, ::-1]


def turned_twice(board: Array) -> Array:
    """Turned by 180 degrees."""
    return board[::-1, ::-1]


def transposed(board: Array) -> Array:
    """Rows and columns exchanged."""
    return jnp.swapaxes(board, 0, 1)


def transposed_the_other_way(board: Array) -> Array:
    """Mirrored at the other diagonal."""
    return turned_twice(transposed(board))


DIAGONAL = (same, turned_twice, transposed, transposed_the_other_way)
SQUARE = tuple(
    view
    for first in DIAGONAL
    for view in (first, lambda board, first=first: mirrored(first(board)))
)


def views(
    observation: Array, policy: Array, transforms: Sequence[View]
) -> tuple[Array, Array]:
    """Each view of a game whose first R * C actions are the squares, row by row.

    Actions beyond, such as to pass, stay where they are.

    Args:
      observation: `[R, C, P]`.
      policy: `[A]`.
      transforms: N of them, the first `same`.

    Returns:
      `[N, R, C, P]` and `[N, A]`.
    """
    rows, columns = observation.shape[:2]
    squares = policy[: rows * columns].reshape(rows, columns)
    rest = policy[rows * columns :]
    seen = [view(observation) for view in transforms]
    moves = [jnp.concatenate([view(squares).ravel(), rest]) for view in transforms]
    return jnp.stack(seen), jnp.stack(moves)
