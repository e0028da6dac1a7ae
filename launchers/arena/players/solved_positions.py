"""Solved positions of connect four, as a judge: how often does a player keep the value?

The 300 positions of `connect_four_positions.txt` are those of `make_positions(300, 0)`.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tolman.envs.board.game import HostGame
from tolman.envs.board.openspiel_games import openspiel_game
from tolman.launchers.arena.player import Player
from tolman.launchers.arena.players import connect_four_board
from tolman.launchers.arena.players.connect_four_solver import Solver
from tolman.launchers.arena.players.rollouts import RolloutPlayer
from tolman.launchers.arena.recorded import RecordedGame

POSITIONS_FILE = Path(__file__).with_name("connect_four_positions.txt")
NUM_STONES = (12, 26)  # The fewest and the most.
NUM_RANDOM_MOVES = 4  # That open a game; then both sides take the best of so many rollouts.
NUM_ROLLOUTS = 30
LETTERS = {-1: "-", 0: "=", 1: "+"}


class SolvedPosition(NamedTuple):
    """A position and the value of each move in it.

    Attributes:
      moves: the columns that led here, "1" to "7".
      values: a letter for each column: "+" wins, "=" draws, "-" loses, "." is full.
    """

    moves: str
    values: str

    @property
    def keeping(self) -> frozenset[int]:
        """The actions that keep the value of the position."""
        best = next(letter for letter in "+=-" if letter in self.values)
        return frozenset(i for i, letter in enumerate(self.values) if letter == best)


def load_positions() -> list[SolvedPosition]:
    """The fixed set."""
    lines = POSITIONS_FILE.read_text().splitlines()
    return [SolvedPosition(*line.split()) for line in lines]


def make_positions(
    num_positions: int, seed: int, num_stones: tuple[int, int] = NUM_STONES
) -> list[SolvedPosition]:
    """Positions of weak play, all different, in which one must look ahead.

    Some move loses value there, and none wins at once. In random play one side mostly has
    three in a row that nobody has stopped, so that a search of one move tells as much as a
    good player. Positions with few stones take long, some seconds each with 12.
    """
    rng, solver = random.Random(seed), Solver()
    player = RolloutPlayer(NUM_ROLLOUTS)
    player.reset(seed)
    found: dict[tuple[int, ...], SolvedPosition] = {}
    while len(found) < num_positions:
        game = RecordedGame(openspiel_game("connect_four"))
        target = rng.randint(*num_stones)
        while not game.is_over() and len(game.texts) < target:
            opens = len(game.texts) < NUM_RANDOM_MOVES
            game.step(rng.choice(game.legal_actions()) if opens else player.choose(game))
        if game.is_over() or _wins_at_once(game):
            continue
        position = solve(game, solver)
        if len(set(position.values) - {"."}) > 1:
            found.setdefault(tuple(game.observe().ravel().tolist()), position)
    return list(found.values())


def _wins_at_once(game: HostGame) -> bool:
    own, mask = connect_four_board.from_planes(game.observe())
    open_cells = connect_four_board.next_cells(mask)
    return bool(connect_four_board.winning_cells(own, mask) & open_cells)


def solve(game: RecordedGame, solver: Solver) -> SolvedPosition:
    """The values of the moves of a game of connect four under way."""
    values = solver.action_values(game)
    letters = [LETTERS[values[i]] if i in values else "." for i in range(7)]
    return SolvedPosition("".join(game.texts), "".join(letters))


def value_preserving_rate(
    player: Player, positions: Sequence[SolvedPosition], game: HostGame, seed: int = 0
) -> float:
    """The share of these positions in which a move of the player keeps the value.

    Args:
      player: is asked once in each, after `reset(seed + index)`.
      positions: such as `load_positions()`.
      game: connect four, under any rules; is not changed.
      seed: of the player.
    """
    num_kept = 0
    for index, position in enumerate(positions):
        current = RecordedGame(game.new())
        for move in position.moves:
            current.step(int(move) - 1)
        player.reset(seed + index)
        num_kept += player.choose(current) in position.keeping
    return num_kept / len(positions)
