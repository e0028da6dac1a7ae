"""Who wins connect four from here, exactly: alpha-beta over bitboards.

Fast enough in plain Python from about 18 stones on; from the empty board it would take
days.
"""

from __future__ import annotations

from tolman.envs.board.game import HostGame
from tolman.launchers.arena.players.connect_four_board import (
    BOTTOM,
    COLUMNS,
    FULL,
    ORDER,
    from_planes,
    next_cells,
    play,
    winning_cells,
)

MAX_TABLE_ENTRIES = 2_000_000  # About 300 MB.


class SearchTooLong(Exception):
    """The limit of nodes was reached."""


class Solver:
    """Solves positions for win, draw or loss; remembers what it has worked out."""

    def __init__(self, max_num_nodes: int | None = None) -> None:
        """Args: max_num_nodes: of one call of `value`; None for no limit."""
        self.max_num_nodes = max_num_nodes
        self.num_nodes = 0
        self._bounds: dict[int, tuple[int, int]] = {}

    def value(self, own: int, mask: int) -> int:
        """1, 0 or -1 for the player to move, of a position that is not over.

        Raises:
          SearchTooLong: if it takes more than `max_num_nodes`.
        """
        self.num_nodes = 0
        if len(self._bounds) > MAX_TABLE_ENTRIES:
            self._bounds.clear()
        if winning_cells(own, mask) & next_cells(mask):
            return 1
        return self._search(own, mask, -1, 1)

    def action_values(self, game: HostGame) -> dict[int, int]:
        """The value of each legal action, for the player who takes it.

        Raises:
          SearchTooLong: as `value`.
        """
        own, mask = from_planes(game.observe())
        values = {}
        for action in game.legal_actions():
            cell = next_cells(mask) & COLUMNS[action]
            if cell & winning_cells(own, mask):
                values[action] = 1
            elif mask | cell == FULL:
                values[action] = 0
            else:
                values[action] = -self.value(*play(own, mask, cell))
        return values

    def try_action_values(self, game: HostGame) -> dict[int, int] | None:
        """As `action_values`, but None if it takes too long."""
        try:
            return self.action_values(game)
        except SearchTooLong:
            return None

    def _search(self, own: int, mask: int, low: int, high: int) -> int:
        """Of a position in which the player to move cannot win at once."""
        self.num_nodes += 1
        if self.max_num_nodes is not None and self.num_nodes > self.max_num_nodes:
            raise SearchTooLong
        cells = next_cells(mask)
        threats = winning_cells(own ^ mask, mask)
        forced = cells & threats
        if forced:
            if forced & (forced - 1):
                return -1  # Two wins to stop.
            cells = forced
        cells &= ~(threats >> 1)  # Below a cell where the other wins one does not play.
        if not cells:
            return -1
        if (FULL ^ mask).bit_count() <= 2:
            return 0
        key = own + mask + BOTTOM
        bounds = self._bounds.get(key)
        known_low, known_high = bounds if bounds else (-1, 1)
        if known_low >= high or known_low == known_high:
            return known_low
        if known_high <= low:
            return known_high
        low, high = max(low, known_low), min(high, known_high)
        first_low = low
        best = -1
        for cell in _ordered(own, mask, cells):
            value = -self._search(*play(own, mask, cell), -high, -low)
            if value > best:
                best = value
                if best >= high:
                    break
                low = max(low, best)
        if best >= high:
            self._bounds[key] = (best, known_high)
        elif best > first_low:
            self._bounds[key] = (best, best)
        else:
            self._bounds[key] = (known_low, best)
        return best


def _ordered(own: int, mask: int, cells: int) -> list[int]:
    """Moves that make the most threats first, among equals the middle ones."""
    scored = []
    for place, column in enumerate(ORDER):
        cell = cells & COLUMNS[column]
        if cell:
            threats = winning_cells(own | cell, mask | cell).bit_count()
            scored.append((-threats, place, cell))
    scored.sort()
    return [cell for _, _, cell in scored]
