"""Perfect play where a game can be solved: tic-tac-toe, and connect four when late."""

from __future__ import annotations

import functools
import random

import numpy as np

from tolman.envs.board.game import HostGame
from tolman.launchers.arena.player import (
    Player,
    player_count,
    refuse_rest,
    register_player,
)
from tolman.launchers.arena.players.connect_four_solver import Solver
from tolman.launchers.arena.players.rollouts import RolloutPlayer

# Rows, columns and diagonals of tic-tac-toe.
LINES = [0b111 << 3 * row for row in range(3)]
LINES += [0b001001001 << column for column in range(3)]
LINES += [0b100010001, 0b001010100]
NUM_NODES = 200_000  # Of the solver for each legal move: some seconds.


class PerfectTicTacToe:
    """Picks uniformly among all optimal moves.

    One that always picks the same move replays the same two games, and proves nothing.
    """

    def __init__(self, name: str = "perfect") -> None:
        """A player of that name."""
        self.name = name
        self._rng = random.Random(0)

    def reset(self, seed: int) -> None:
        self._rng.seed(seed)

    def choose(self, game: HostGame) -> int:
        check_game_name(game, "tic_tac_toe", self.name)
        return self._rng.choice(best_actions(tic_tac_toe_values(game)))


class ConnectFourSolverPlayer:
    """Picks uniformly among the moves that keep the value, where the solver finishes.

    From 18 stones on it does, from 14 it mostly does. Before that another player chooses;
    so a whole game of this player is not perfect play.
    """

    def __init__(
        self, opening: Player, num_nodes: int = NUM_NODES, name: str | None = None
    ) -> None:
        """`opening` chooses where a legal move takes the solver more nodes."""
        if num_nodes < 1:
            raise ValueError(f"num_nodes={num_nodes} of solver: must be at least 1.")
        self.name = name or f"solver:{num_nodes}"
        self.opening = opening
        self._solver = Solver(num_nodes)
        self._rng = random.Random(0)

    def reset(self, seed: int) -> None:
        self._rng.seed(seed)
        self.opening.reset(seed)

    def choose(self, game: HostGame) -> int:
        check_game_name(game, "connect_four", self.name)
        values = self._solver.try_action_values(game)
        if values is None:
            return self.opening.choose(game)
        return self._rng.choice(best_actions(values))


def best_actions(values: dict[int, int]) -> list[int]:
    """The actions of the highest value."""
    best = max(values.values())
    return [action for action, value in values.items() if value == best]


def check_game_name(game: HostGame, wanted: str, player: str) -> None:
    """Raises ValueError unless that is the game."""
    if game.info.name != wanted:
        raise ValueError(f"player {player!r}: plays {wanted} only, not {game.info.name}.")


def tic_tac_toe_values(game: HostGame) -> dict[int, int]:
    """1, 0 or -1 of each legal action, for the player who takes it."""
    squares = np.asarray(game.observe(), bool).reshape(9, 2)
    own, other = (sum(1 << i for i in np.flatnonzero(s).tolist()) for s in squares.T)
    return square_values(own, other)


def square_values(own: int, other: int) -> dict[int, int]:
    """1, 0 or -1 of each empty square of bitboards, for the player who has `own`."""
    return {i: -_value(other, own | 1 << i) for i in range(9) if not (own | other) >> i & 1}


def has_won(stones: int) -> bool:
    """Whether a bitboard of tic-tac-toe holds a line."""
    return any(stones & line == line for line in LINES)


@functools.cache
def _value(own: int, other: int) -> int:
    """For the player to move, who has `own`; the other has moved just now."""
    return -1 if has_won(other) else max(square_values(own, other).values(), default=0)


@register_player("perfect")
def _make_perfect(spec: str, rest: str) -> PerfectTicTacToe:
    """Of tic-tac-toe: picks among all optimal moves."""
    refuse_rest(spec, rest)
    return PerfectTicTacToe()


@register_player("solver")
def _make_solver(spec: str, rest: str) -> ConnectFourSolverPlayer:
    """solver[:N], of connect four: exact within N nodes a legal move."""
    num_nodes = player_count(spec, rest) if rest else NUM_NODES
    return ConnectFourSolverPlayer(RolloutPlayer(10_000), num_nodes, name=spec)
