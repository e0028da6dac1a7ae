"""The sequential probability ratio test: when two players have played enough.

The games from one opening, colours exchanged, are one observation: their mean score is in
{0, 1/4, 1/2, 3/4, 1}. The log-likelihood ratio of two expected scores is that of a normal
distribution with the variance that was seen (the generalised test's first term).

Source: Wald 1945, "Sequential Tests of Statistical Hypotheses", section 3; for scores of
  game pairs the approximation that chess engine testers use.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from tolman.launchers.arena.ratings import expected_score

# Of one observation at each of the two extremes: without it, equal scores have no variance
# and the first pair of wins would decide.
PRIOR_WEIGHT = 0.5


class PairScores:
    """The first player's mean scores over pairs of games, summed up as they come.

    Attributes:
      num_pairs: openings from which both games have been played.
      total: the sum of their mean scores.
      square: the sum of the squares of these.
    """

    def __init__(self) -> None:
        """No game yet."""
        self.num_pairs, self.total, self.square = 0, 0.0, 0.0
        self._waiting: dict[int, float] = {}  # For the second game from their opening.

    def add(self, opening: int, score: float) -> None:
        """Takes the first player's score, 1, 0.5 or 0, in a game from that opening."""
        if opening not in self._waiting:
            self._waiting[opening] = score
            return
        mean = (self._waiting.pop(opening) + score) / 2.0
        self.num_pairs += 1
        self.total += mean
        self.square += mean * mean


@dataclass(frozen=True)
class Sprt:
    """A test of whether a player is stronger than another.

    Attributes:
      elo_0: the difference under H0, "no stronger than this".
      elo_1: the difference under H1, "at least this much stronger"; above elo_0.
      alpha: probability to accept H1 where H0 holds.
      beta: probability to accept H0 where H1 holds.
    """

    elo_0: float = 0.0
    elo_1: float = 50.0
    alpha: float = 0.05
    beta: float = 0.05

    @property
    def bounds(self) -> tuple[float, float]:
        """Below the first H0 is accepted, above the second H1; -2.944 and 2.944 at 5 %."""
        return (
            math.log(self.beta / (1.0 - self.alpha)),
            math.log((1.0 - self.beta) / self.alpha),
        )

    def log_likelihood_ratio(self, scores: PairScores) -> float:
        """Of H1 over H0, in nats."""
        weight = scores.num_pairs + 2.0 * PRIOR_WEIGHT
        mean = (scores.total + PRIOR_WEIGHT) / weight  # One extreme is 1, the other 0.
        square = (scores.square + PRIOR_WEIGHT) / weight
        variance = square - mean * mean
        score_0, score_1 = expected_score(self.elo_0), expected_score(self.elo_1)
        return (
            scores.num_pairs
            * (score_1 - score_0)
            * (2.0 * mean - score_0 - score_1)
            / (2.0 * variance)
        )

    def verdict(self, scores: PairScores) -> str | None:
        """Which hypothesis is accepted: H0, H1, or None where more games are needed."""
        low, high = self.bounds
        ratio = self.log_likelihood_ratio(scores)
        return "H0" if ratio <= low else "H1" if ratio >= high else None
