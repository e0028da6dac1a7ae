"""Ratings and the sequential test, against numbers worked out by hand."""

import math

import numpy as np
import pytest

from tolman.launchers.arena import ratings
from tolman.launchers.arena.ratings import Result
from tolman.launchers.arena.sprt import Sprt


def games(first, second, wins, draws, losses, opening=0):
    scores = [1.0] * wins + [0.5] * draws + [0.0] * losses
    return [Result(first, second, score, opening + i) for i, score in enumerate(scores)]


def test_elo_of_a_score():
    # 400 log10(3) = 190.85; 400 log10(10) = 400.
    assert ratings.elo_difference(0.75) == pytest.approx(190.8485)
    assert ratings.elo_difference(10 / 11) == pytest.approx(400.0)
    assert ratings.elo_difference(0.5) == 0.0
    assert ratings.expected_score(400.0) == pytest.approx(10 / 11)
    for score in (0.0, 1.0):
        with pytest.raises(ValueError, match="above 0 and below 1"):
            ratings.elo_difference(score)


def test_two_players_without_a_prior_are_as_their_score():
    wins = ratings.win_matrix(games(0, 1, 6, 6, 0), 2)  # 9 of 12.
    np.testing.assert_array_equal(wins, [[0, 9], [3, 0]])
    elo = ratings.fit_elo(wins, anchor=1, prior_draws=0.0)
    np.testing.assert_allclose(elo, [190.8485, 0.0], atol=1e-3)


def test_the_prior_is_one_drawn_game_of_each_player():
    # 3 : 0 becomes 3.5 : 0.5 against the only other: 400 log10(7) = 338.04.
    wins = ratings.win_matrix(games(0, 1, 3, 0, 0), 2)
    elo = ratings.fit_elo(wins, anchor=1)
    np.testing.assert_allclose(elo, [400 * math.log10(7), 0.0], atol=1e-3)
    with pytest.raises(ValueError, match="no finite maximum"):
        ratings.fit_elo(wins, prior_draws=0.0)


def test_maximum_likelihood_of_three_players():
    """At the maximum each player's expected points equal the ones it made."""
    results = games(0, 1, 5, 2, 3) + games(1, 2, 7, 1, 2) + games(2, 0, 1, 2, 7)
    wins = ratings.win_matrix(results, 3)
    elo = ratings.fit_elo(wins, prior_draws=0.0)
    assert elo.sum() == pytest.approx(0.0, abs=1e-6) and elo[0] > elo[1] > elo[2]
    played = wins + wins.T
    expected = [
        sum(played[i, j] * ratings.expected_score(elo[i] - elo[j]) for j in range(3))
        for i in range(3)
    ]
    np.testing.assert_allclose(expected, wins.sum(axis=1), atol=1e-5)


def test_intervals_hold_the_rating_and_shrink():
    names = ["a", "b"]
    few = ratings.rate(names, games(0, 1, 6, 2, 4), anchor="b", num_resamples=100)
    many = ratings.rate(names, games(0, 1, 60, 20, 40), anchor="b", num_resamples=100)
    for rated in (few, many):
        one = rated["a"]
        assert one.low < one.elo < one.high
        assert rated["b"].low == rated["b"].high == 0.0
    assert many["a"].high - many["a"].low < 0.6 * (few["a"].high - few["a"].low)
    assert (few["a"].num_games, few["a"].score) == (12, pytest.approx(7 / 12))
    # Of one opening alone there is nothing to draw from.
    alone = ratings.rate(names, [Result(0, 1, 1.0, 0), Result(1, 0, 0.5, 0)])
    assert alone["a"].low == alone["a"].elo == alone["a"].high
    with pytest.raises(ValueError, match="anchor 'c'"):
        ratings.rate(names, [], anchor="c")


def test_cross_table_counts_both_ways():
    table = ratings.cross_table(["a", "b"], games(0, 1, 3, 2, 1))
    assert table == {("a", "b"): (3, 2, 1), ("b", "a"): (1, 2, 3)}


def test_sprt_bounds_and_ratio():
    sprt = Sprt(0.0, 50.0)
    # log(0.95 / 0.05) = log(19) = 2.9444.
    np.testing.assert_allclose(sprt.bounds, (-math.log(19), math.log(19)))
    # Scores 1/2 and 0.57146 at 50 Elo. 20 pairs: 10 of 3/4, 10 of 1/2, and the prior's
    # half a pair at each end: mean (12.5 + 0.5) / 21, square (8.125 + 0.5) / 21.
    scores = [0.75] * 10 + [0.5] * 10
    expected = 1 / (1 + 10 ** (-50 / 400))
    mean, square = 13 / 21, 8.625 / 21
    ratio = 20 * (expected - 0.5) * (2 * mean - 0.5 - expected) / (2 * (square - mean**2))
    assert sprt.log_likelihood_ratio(scores) == pytest.approx(ratio)
    assert ratio == pytest.approx(4.331, abs=1e-3) and sprt.verdict(scores) == "H1"
    assert sprt.verdict([0.25] * 20) == "H0"
    assert sprt.verdict([]) is None and sprt.verdict([1.0]) is None
    assert sprt.verdict([0.5, 0.75, 0.5, 0.25]) is None


def test_sprt_errs_as_rarely_as_it_says():
    """Scores of pairs of two games, at no difference and at 200 Elo."""
    sprt, rng = Sprt(0.0, 200.0), np.random.default_rng(0)
    for elo, right in ((0.0, "H0"), (200.0, "H1")):
        verdicts = []
        for _ in range(100):
            scores, verdict = [], None
            while verdict is None:
                wins = rng.random(2) < ratings.expected_score(elo)
                scores.append(float(wins.mean()))
                verdict = sprt.verdict(scores)
            verdicts.append(verdict)
        # 5 % of 100 is 5, standard deviation 2.2.
        assert verdicts.count(right) >= 100 - 14
