"""Alpha-beta to a fixed depth, in any game."""

from __future__ import annotations

import math
import random

from tolman.envs.board.game import HostGame
from tolman.launchers.arena.player import player_count, refuse_rest, register_player
from tolman.launchers.arena.players import connect_four_board as bits
from tolman.launchers.arena.players.heuristics import Heuristic, heuristic_of, open_fours_of

WIN = 2.0  # Above what any heuristic says.
# An early win is worth more than a late one, a late loss more than an early one.
PER_PLY = 1e-3


class MinimaxPlayer:
    """The best move by `depth` plies and a heuristic; among equals, any.

    Depth 1 is greedy: it looks at the position after its own move.
    """

    def __init__(
        self, depth: int, heuristic: Heuristic | None = None, name: str | None = None
    ) -> None:
        """The heuristic is that of the game by default, see `heuristics`.

        Raises:
          ValueError: for a depth below 1.
        """
        if depth < 1:
            raise ValueError(f"depth={depth} of minimax: must be at least 1.")
        self.name = name or f"minimax:{depth}"
        self.depth = depth
        self.heuristic = heuristic
        self._rng = random.Random(0)

    def reset(self, seed: int) -> None:
        self._rng.seed(seed)

    def choose(self, game: HostGame) -> int:
        if game.info.name == "connect_four" and self.heuristic is None:
            values = _connect_four_values(game, self.depth)
        else:
            values = self._values(game)
        best = max(values.values())
        return self._rng.choice([action for action in values if values[action] == best])

    def _values(self, game: HostGame) -> dict[int, float]:
        heuristic = self.heuristic or heuristic_of(game)
        best, values = -math.inf, {}
        for action in game.legal_actions():
            after = game.copy()
            after.step(action)
            # A window just below the best keeps equals exact.
            low = math.nextafter(best, -math.inf)
            value = _from(game, after, self.depth - 1, low, math.inf, heuristic)
            values[action] = value
            best = max(best, value)
        return values


def _from(
    before: HostGame,
    after: HostGame,
    depth: int,
    low: float,
    high: float,
    heuristic: Heuristic,
) -> float:
    """The value of `after` for the player who was to play `before`."""
    if after.to_play() == before.to_play():
        return _search(after, depth, low, high, heuristic)
    return -_search(after, depth, -high, -low, heuristic)


def _search(
    game: HostGame, depth: int, low: float, high: float, heuristic: Heuristic
) -> float:
    """For the player to move."""
    if game.is_over():
        return (WIN + depth * PER_PLY) * game.outcome()[game.to_play()]
    if depth == 0:
        return heuristic(game)
    best = -math.inf
    for action in game.legal_actions():
        after = game.copy()
        after.step(action)
        best = max(best, _from(game, after, depth - 1, max(low, best), high, heuristic))
        if best >= high:
            break
    return best


def _connect_four_values(game: HostGame, depth: int) -> dict[int, float]:
    """As `MinimaxPlayer._values`, on bitboards: many times faster."""
    own, mask = bits.from_planes(game.observe())
    best, values = -math.inf, {}
    for action in sorted(game.legal_actions(), key=bits.ORDER.index):
        cell = bits.next_cells(mask) & bits.COLUMNS[action]
        low = math.nextafter(best, -math.inf)
        values[action] = _after(own, mask, cell, depth - 1, low, math.inf)
        best = max(best, values[action])
    return values


def _after(own: int, mask: int, cell: int, depth: int, low: float, high: float) -> float:
    """The value of a stone on `cell` for the player who puts it there."""
    if bits.winning_cells(own, mask) & cell:
        return WIN + depth * PER_PLY
    own, mask = bits.play(own, mask, cell)
    if mask == bits.FULL:
        return 0.0
    if depth == 0:
        return -open_fours_of(own, mask)
    cells, best = bits.next_cells(mask), -math.inf
    for column in bits.ORDER:
        reply = cells & bits.COLUMNS[column]
        if reply:
            floor = max(-high, best)
            best = max(best, _after(own, mask, reply, depth - 1, floor, -low))
            if best >= -low:
                break
    return -best


@register_player("greedy")
def _make_greedy(spec: str, rest: str) -> MinimaxPlayer:
    """Alpha-beta to depth 1."""
    refuse_rest(spec, rest)
    return MinimaxPlayer(1, name="greedy")


@register_player("minimax")
def _make_minimax(spec: str, rest: str) -> MinimaxPlayer:
    """minimax:K: alpha-beta to depth K."""
    return MinimaxPlayer(player_count(spec, rest))
