"""How good a position looks to the player to move, without search: numbers in (-1, 1).

Read off the planes of `observe`, so that any rules with these planes will do. C planes.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from tolman.envs.board.game import HostGame
from tolman.launchers.arena.players import connect_four_board as bits

Heuristic = Callable[[HostGame], float]

# In pawns; pgx's order of planes: pawn, knight, bishop, rook, queen, king.
CHESS_VALUES = np.array([1, 3, 3, 5, 9, 0])
CENTRE = bits.COLUMN << (bits.HEIGHT_STEP * 3)


def chess_material(game: HostGame) -> float:
    """Pawn 1, knight and bishop 3, rook 5, queen 9."""
    counts = game.observe()[..., :12].sum((0, 1))
    return math.tanh(float((counts[:6] - counts[6:]) @ CHESS_VALUES) / 20)


def disc_difference(game: HostGame) -> float:
    """Own stones less the other's, over all cells: Othello, Go before territory."""
    planes = game.observe()[..., :2]
    own, other = planes.sum((0, 1))
    return float(own - other) / (planes.shape[0] * planes.shape[1] + 1)


def open_fours(game: HostGame) -> float:
    """Connect four: cells that would complete a four, own less the other's; the centre."""
    own, mask = bits.from_planes(game.observe())
    return open_fours_of(own, mask)


def open_fours_of(own: int, mask: int) -> float:
    """As `open_fours`, of bitboards: an open cell counts 8, a stone in the centre 1."""
    other = own ^ mask
    score = 8 * (
        bits.winning_cells(own, mask).bit_count()
        - bits.winning_cells(other, mask).bit_count()
    )
    score += (own & CENTRE).bit_count() - (other & CENTRE).bit_count()
    return score / 400


def nothing(game: HostGame) -> float:
    """Every position looks even."""
    return 0.0


HEURISTICS: dict[str, Heuristic] = {
    "chess": chess_material,
    "connect_four": open_fours,
    "othello": disc_difference,
}


def heuristic_of(game: HostGame) -> Heuristic:
    """The heuristic of that game; `nothing` where there is none."""
    name = game.info.name
    return disc_difference if name.startswith("go_") else HEURISTICS.get(name, nothing)
