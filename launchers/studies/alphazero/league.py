"""Leagues of agents, engines and players that know the rules alone; and what they tell.

Ratings are on the Elo scale, with random play at 0.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping
from itertools import combinations
from pathlib import Path

import numpy as np

from tolman.envs.board.game import HostGame
from tolman.launchers.arena.ratings import fit_elo
from tolman.launchers.studies.alphazero.matches import Side, play_match, score

RANDOM = "random"
NUM_RANDOM_MOVES = 2


def league(
    sides: Mapping[str, Side], start: HostGame, num_games: int, seed: int, file: Path
) -> dict[str, float]:
    """Everybody against everybody; Elo with random play at 0.

    Args:
      sides: by their names, "random" among them.
      start: the game under rules on the host, at its start.
      num_games: of each pair, even.
      seed: of openings and chance.
      file: keeps the points of pairs that have played, should the league be broken off.
    """
    names = list(sides)
    pairs = list(combinations(names, 2))
    points: dict[str, float] = json.loads(file.read_text()) if file.is_file() else {}
    print(f"Playing a league of {len(names)}: " + ", ".join(names), flush=True)
    began, num_before = time.monotonic(), len(points)
    for first, second in pairs:
        label = f"{first} - {second}"
        if label in points:
            continue
        results = play_match(
            sides[first], sides[second], start, num_games, seed, NUM_RANDOM_MOVES
        )
        points[label] = num_games * score(results)
        file.write_text(json.dumps(points))
        seconds = (time.monotonic() - began) / (len(points) - num_before)
        print(
            f"  {label}: {points[label]:g} of {num_games}; about "
            f"{seconds * (len(pairs) - len(points)):.0f} s to go",
            flush=True,
        )
    wins = np.zeros((len(names), len(names)))
    for first, second in pairs:
        one, other = names.index(first), names.index(second)
        wins[one, other] = points[f"{first} - {second}"]
        wins[other, one] = num_games - wins[one, other]
    elo = fit_elo(wins, anchor=names.index(RANDOM))
    return {name: float(rating) for name, rating in zip(names, elo, strict=True)}


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
