"""Ratings from games: Bradley-Terry maximum likelihood on the conventional Elo scale.

P(a beats b) = 1 / (1 + 10^((e_b - e_a) / 400)); a draw counts half a win for each.

Departure: the paper prints 1 / (1 + exp(c_elo (e_b - e_a))) with c_elo = 1 / 400, whose
  natural exponential stretches the scale by ln 10 = 2.30; its figures fit base 10.
Source: Silver et al. 2017, "Mastering Chess and Shogi by Self-Play with a General
  Reinforcement Learning Algorithm", methods, evaluation.

Shapes: N players.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tolman.launchers.arena.intervals import Observations, profile_intervals

ELO_PER_NAT = 400.0 / math.log(10.0)
# Virtual draws of each player, shared out evenly among all others. They keep who won or
# lost every game finite, and tie players together who never met.
PRIOR_DRAWS = 1.0


@dataclass(frozen=True)
class Result:
    """One game's share in a rating.

    Attributes:
      first: index of player 0.
      second: index of player 1.
      score: of player 0: 1, 0.5 or 0.
      opening: games of two players with the same number are one observation.
    """

    first: int
    second: int
    score: float
    opening: int


@dataclass(frozen=True)
class Rating:
    """Of one player.

    Attributes:
      elo: relative to the anchor.
      low: of the 95 % interval, see `intervals`.
      high: of the same.
      num_games: that it played.
      score: points per game, a draw for half.
    """

    elo: float
    low: float
    high: float
    num_games: int
    score: float


def expected_score(difference: float) -> float:
    """Points per game at that difference of Elo: 0.75 at 190.8."""
    return 1.0 / (1.0 + 10.0 ** (-difference / 400.0))


def win_matrix(results: Sequence[Result], num_players: int) -> np.ndarray:
    """`[N, N]`: points of each row against each column."""
    wins = np.zeros((num_players, num_players))
    for result in results:
        wins[result.first, result.second] += result.score
        wins[result.second, result.first] += 1.0 - result.score
    return wins


def fit_elo(
    wins: np.ndarray, anchor: int | None = None, prior_draws: float = PRIOR_DRAWS
) -> np.ndarray:
    """The maximum-likelihood Elo of each player.

    Args:
      wins: `[N, N]`, see `win_matrix`.
      anchor: index of the player whose Elo is 0; None to set the mean to 0.
      prior_draws: see PRIOR_DRAWS.

    Raises:
      ValueError: if there is no finite answer, which takes `prior_draws` of 0.
    """
    import choix

    num_players = len(wins)
    if num_players < 2:
        return np.zeros(num_players)
    prior = _prior(num_players, prior_draws)
    try:
        strengths = choix.ilsr_pairwise_dense(wins + prior, max_iter=10_000, tol=1e-9)
    except (ValueError, RuntimeError) as error:
        raise ValueError(
            "ratings: have no finite maximum, as someone won or lost every game. Set "
            "prior_draws above 0."
        ) from error
    elo = ELO_PER_NAT * strengths
    return elo - (elo.mean() if anchor is None else elo[anchor])


def rate(
    names: Sequence[str], results: Sequence[Result], anchor: str | None = None
) -> dict[str, Rating]:
    """Ratings of all players, with intervals.

    Args:
      names: of the players.
      results: of their games; indices are places in `names`.
      anchor: the player whose Elo is 0; None to set the mean to 0.

    Raises:
      ValueError: if the anchor is none of the players.
    """
    if anchor is not None and anchor not in names:
        raise ValueError(f"anchor {anchor!r}: must be one of {', '.join(names)}.")
    place = None if anchor is None else list(names).index(anchor)
    wins = win_matrix(results, len(names))
    elo = fit_elo(wins, place)
    prior = _prior(len(names), PRIOR_DRAWS)
    ends = profile_intervals(_by_opening(results), prior, elo / ELO_PER_NAT, place)
    low, high = ELO_PER_NAT * ends[0], ELO_PER_NAT * ends[1]
    num_games = wins.sum(axis=1) + wins.sum(axis=0)
    return {
        name: Rating(
            float(elo[i]),
            float(low[i]),
            float(high[i]),
            round(num_games[i]),
            float(wins[i].sum() / max(num_games[i], 1.0)),
        )
        for i, name in enumerate(names)
    }


def _prior(num_players: int, prior_draws: float) -> np.ndarray:
    """`[N, N]`: virtual points of each row against each column."""
    prior = np.full((num_players, num_players), prior_draws / max(num_players - 1, 1) / 2.0)
    np.fill_diagonal(prior, 0.0)
    return prior


def _by_opening(results: Sequence[Result]) -> Observations:
    """The points of each two players from each opening."""
    points: dict[tuple[int, int, int], list[float]] = {}
    for result in results:
        is_turned = result.first > result.second
        pair = sorted((result.first, result.second))
        score = 1.0 - result.score if is_turned else result.score
        points.setdefault((pair[0], pair[1], result.opening), []).append(score)
    keys = np.array(list(points), int).reshape(-1, 3)
    return Observations(
        keys[:, 0],
        keys[:, 1],
        np.array([sum(scores) for scores in points.values()]),
        np.array([float(len(scores)) for scores in points.values()]),
    )


def cross_table(
    names: Sequence[str], results: Sequence[Result]
) -> dict[tuple[str, str], tuple[int, int, int]]:
    """Wins, draws and losses of the first against the second, for each pair that met."""
    table: dict[tuple[str, str], list[int]] = {}
    for result in results:
        pair = names[result.first], names[result.second]
        for (one, other), score in ((pair, result.score), (pair[::-1], 1 - result.score)):
            counts = table.setdefault((one, other), [0, 0, 0])
            counts[round(2 * (1 - score))] += 1
    return {pair: (wins, draws, losses) for pair, (wins, draws, losses) in table.items()}
