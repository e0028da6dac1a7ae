"""Leagues of agents, engines and players that know the rules alone; and what they tell.

Ratings are on the Elo scale, with random play at 0.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path

import numpy as np

from tolman.envs.board.game import HostGame
from tolman.launchers.arena.match import Side
from tolman.launchers.arena.ratings import Rating, Result, rate
from tolman.launchers.studies.alphazero.matches import play_match

RANDOM = "random"
NUM_RANDOM_MOVES = 2


def league(
    sides: Mapping[str, Side], start: HostGame, num_games: int, seed: int, file: Path
) -> dict[str, Rating]:
    """Everybody against everybody; ratings with random play at 0.

    Args:
      sides: by their names, "random" among them.
      start: the game under rules on the host, at its start.
      num_games: of each pair, even.
      seed: of openings and chance.
      file: keeps the results of pairs that have played, should the league be broken off:
        1, 0 or -1 for the first of two, game by game; two after another share an opening.

    Raises:
      ValueError: if `file` holds something else.
    """
    names = list(sides)
    pairs = list(combinations(names, 2))
    played = _load(file)
    print(f"Playing a league of {len(names)}: " + ", ".join(names), flush=True)
    began, num_before = time.monotonic(), len(played)
    for first, second in pairs:
        label = f"{first} - {second}"
        if label in played:
            continue
        results = play_match(
            sides[first], sides[second], start, num_games, seed, NUM_RANDOM_MOVES
        )
        played[label] = [float(result) for result in results]
        file.write_text(json.dumps(played))
        seconds = (time.monotonic() - began) / (len(played) - num_before)
        print(
            f"  {label}: {_points(played[label]):g} of {num_games}; about "
            f"{seconds * (len(pairs) - len(played)):.0f} s to go",
            flush=True,
        )
    games = [
        game
        for first, second in pairs
        for game in _games(
            names.index(first), names.index(second), played[f"{first} - {second}"]
        )
    ]
    return rate(names, games, RANDOM)


def rate_over(results: Sequence[float]) -> Rating:
    """A side's rating with its opponent at 0.

    Args:
      results: 1, 0 or -1 for the side, game by game; two after another share an opening.
    """
    return rate(("side", "opponent"), _games(0, 1, results), "opponent")["side"]


def _games(first: int, second: int, results: Sequence[float]) -> list[Result]:
    """What two players' results are to a rating; see `rate_over`."""
    return [
        Result(first, second, _points([result]), number // 2)
        for number, result in enumerate(results)
    ]


def _points(results: Sequence[float]) -> float:
    """A win 1, a draw a half."""
    return sum((result + 1.0) / 2.0 for result in results)


def _load(file: Path) -> dict[str, list[float]]:
    """The results so far."""
    played = json.loads(file.read_text()) if file.is_file() else {}
    if not all(isinstance(results, list) for results in played.values()):
        raise ValueError(
            f"{file}: holds points of pairs and not the results of their games, as an "
            "earlier version wrote it. Remove it, and the league is played again."
        )
    return played


def positions_to(target: float, elo_at: Mapping[int, float]) -> float:
    """Positions of self-play after which the rating would be `target`.

    Should each doubling go on to bring what it has brought, by a line through the ratings
    over the logarithm of positions; infinite where it brought nothing.

    Args:
      target: Elo.
      elo_at: positions, above 0, to the rating after them; two at least.
    """
    doublings = np.log2(list(elo_at))
    slope, at_one = np.polyfit(doublings, list(elo_at.values()), 1)
    if slope <= 0.0:
        return math.inf
    exponent = (target - at_one) / slope
    return float(2.0**exponent) if exponent < 1000.0 else math.inf
