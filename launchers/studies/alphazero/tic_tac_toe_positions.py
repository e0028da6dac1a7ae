"""Every position of tic-tac-toe in which one can go wrong, and its best moves."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tolman.launchers.arena.players.perfect import best_actions, has_won, square_values


class Solved(NamedTuple):
    """All positions in which some moves are better than others.

    Attributes:
      observation: `[S, 3, 3, 2]`, the mover's stones and the other's.
      optimal: `[S, 9]` bool, moves that keep the value.
    """

    observation: np.ndarray
    optimal: np.ndarray


def solve() -> Solved:
    """Walks through all games from the empty board."""
    found: set[tuple[int, int]] = set()
    _visit(0, 0, found)
    planes, optimal = [], []
    for own, other in sorted(found):
        values = square_values(own, other)
        best = best_actions(values)
        if len(best) == len(values):
            continue  # Any move is as good; three in ten positions are of that kind.
        optimal.append([cell in best for cell in range(9)])
        planes.append([[own >> cell & 1, other >> cell & 1] for cell in range(9)])
    observation = np.array(planes, np.float32).reshape(-1, 3, 3, 2)
    return Solved(observation, np.array(optimal))


def _visit(own: int, other: int, found: set[tuple[int, int]]) -> None:
    values = square_values(own, other)
    if (own, other) in found or has_won(other) or not values:
        return
    found.add((own, other))
    for cell in values:
        _visit(other, own | 1 << cell, found)
