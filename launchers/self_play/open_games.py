"""The moves of games under way; a game is handed on when it has ended.

Only then is it known who won.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import numpy as np

from tolman.agents.alphazero.self_play import Moves


class Row(NamedTuple):
    """What is kept of `[n]` positions; see `Moves`.

    Attributes:
      position: `[n, ...]`.
      slots: `[n, K]`.
      weights: `[n, K]`.
      value: `[n]`, what the search made of it.
      outcome: `[n]` int8: how the game ended for the player to move.
      version: `[n]` int32, updates that the playing network had had.
    """

    position: Any
    slots: Any
    weights: Any
    value: Any
    outcome: Any
    version: Any


class EndedGame(NamedTuple):
    """A game from its first position to its last, without a random opening.

    Attributes:
      rows: of its `[n]` positions.
      outcome: for player 0.
    """

    rows: Row
    outcome: float

    @property
    def value_error(self) -> float:
        """Mean squared error of what the search made of the positions as it was played.

        Nothing had been learned from the game yet; always to call it a draw would err by 1
        if it was won, by 0 if it was drawn.
        """
        return float(np.square(self.rows.value - self.rows.outcome).mean())

    @property
    def length(self) -> int:
        """Moves."""
        return len(self.rows.version)


class OpenGames:
    """Games under way, side by side.

    Attributes:
      pieces: of each game, moves and the versions of the networks that made them.
    """

    def __init__(self) -> None:
        self.pieces: list[list[tuple[Moves, np.ndarray]]] = []

    def add(self, moves: Moves, version: int) -> list[EndedGame]:
        """Takes `[T, B, ...]` moves in NumPy; returns the games that ended in them."""
        num_moves, num_games = moves.is_last.shape
        if not self.pieces:
            self.pieces = [[] for _ in range(num_games)]
        ended = []
        for game in range(num_games):
            column = jax.tree.map(lambda leaf, game=game: leaf[:, game], moves)
            first = 0
            for last in np.flatnonzero(column.is_last):
                self._keep(game, column, first, int(last) + 1, version)
                ended.append(self._close(game))
                first = int(last) + 1
            if first < num_moves:
                self._keep(game, column, first, num_moves, version)
        return ended

    def actions(self) -> list[list[int]]:
        """The moves made so far in each game."""
        return [
            [int(action) for piece, _ in pieces for action in piece.action]
            for pieces in self.pieces
        ]

    def _keep(self, game: int, column: Moves, first: int, end: int, version: int) -> None:
        # A copy: a view would hold on to the moves of all games.
        piece = jax.tree.map(lambda leaf: leaf[first:end].copy(), column)
        self.pieces[game].append((piece, np.full(end - first, version, np.int32)))

    def _close(self, game: int) -> EndedGame:
        """Takes a game that has ended out."""
        pieces = [piece for piece, _ in self.pieces[game]]
        whole = jax.tree.map(lambda *parts: np.concatenate(parts), *pieces)
        version = np.concatenate([part for _, part in self.pieces[game]])
        self.pieces[game] = []
        player = whole.player.astype(int)
        outcome = whole.outcome[-1][player].astype(np.int8)
        rows = Row(
            whole.position, whole.slots, whole.weights, whole.value, outcome, version
        )
        return EndedGame(rows, float(whole.outcome[-1, 0]))
