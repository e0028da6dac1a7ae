"""Tic-tac-toe solved: every position in which one can go wrong, and its best moves."""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np

LINES = [(0, 1, 2), (3, 4, 5), (6, 7, 8), (0, 3, 6), (1, 4, 7), (2, 5, 8)]
LINES += [(0, 4, 8), (2, 4, 6)]


class Solved(NamedTuple):
    """All positions in which some moves are better than others.

    Attributes:
      observation: `[S, 3, 3, 2]`, the mover's stones and the other's.
      optimal: `[S, 9]` bool, moves that keep the value.
      value: `[S]`, to the player to move.
    """

    observation: np.ndarray
    optimal: np.ndarray
    value: np.ndarray


@functools.cache
def solve() -> Solved:
    """Walks through all games from the empty board."""
    found: dict[tuple[int, int], None] = {}
    _visit(0, 0, found)
    planes, optimal, values = [], [], []
    for own, other in found:
        moves = {cell: -_value(other, own | 1 << cell) for cell in _empty(own, other)}
        best = max(moves.values())
        if best == min(moves.values()):
            continue  # Any move is as good; three in ten positions are of that kind.
        optimal.append([moves.get(cell) == best for cell in range(9)])
        values.append(best)
        planes.append([[own >> cell & 1, other >> cell & 1] for cell in range(9)])
    observation = np.array(planes, np.float32).reshape(-1, 3, 3, 2)
    return Solved(observation, np.array(optimal), np.array(values, np.float32))


def stones_of(observation: np.ndarray) -> tuple[int, int]:
    """The bitboards, mover's and other's, of planes `[3, 3, 2]`."""
    planes = observation.reshape(9, 2) > 0.5
    own, other = (sum(1 << int(i) for i in np.flatnonzero(plane)) for plane in planes.T)
    return own, other


def optimal_moves(observation: np.ndarray) -> list[int]:
    """The moves that keep the value, of planes `[3, 3, 2]`."""
    own, other = stones_of(observation)
    moves = {cell: -_value(other, own | 1 << cell) for cell in _empty(own, other)}
    best = max(moves.values())
    return [cell for cell, value in moves.items() if value == best]


def _visit(own: int, other: int, found: dict[tuple[int, int], None]) -> None:
    if (own, other) in found or _has_won(other) or not _empty(own, other):
        return
    found[own, other] = None
    for cell in _empty(own, other):
        _visit(other, own | 1 << cell, found)


def _empty(own: int, other: int) -> list[int]:
    return [cell for cell in range(9) if not (own | other) >> cell & 1]


def _has_won(stones: int) -> bool:
    return any(all(stones >> cell & 1 for cell in line) for line in LINES)


@functools.cache
def _value(own: int, other: int) -> int:
    """To the player to move."""
    if _has_won(other):
        return -1
    return max((-_value(other, own | 1 << cell) for cell in _empty(own, other)), default=0)
