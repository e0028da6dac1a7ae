"""Ratings and the sequential test, against numbers worked out by hand."""

import itertools
import math

import numpy as np
import pytest

from tolman.launchers.arena import ratings
from tolman.launchers.arena.ratings import Result
from tolman.launchers.arena.sprt import PairScores, Sprt


def games(first, second, wins, draws, losses, opening=0):
    scores = [1.0] * wins + [0.5] * draws + [0.0] * losses
    return [Result(first, second, score, opening + i) for i, score in enumerate(scores)]


def elo_difference(score):
    """At which that score is expected."""
    return 400.0 * np.log10(score / (1.0 - score))


def test_expected_scores_by_hand():
    # 400 log10(3) = 190.85; 400 log10(10) = 400.
    assert ratings.expected_score(190.8485) == pytest.approx(0.75)
    assert ratings.expected_score(400.0) == pytest.approx(10 / 11)
    assert ratings.expected_score(0.0) == 0.5


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


def pairs(points, one=0, other=1):
    """Two players' games, an opening for each number of points of the first."""
    results = []
    for opening, total in enumerate(points):
        score = min(total, 1.0)
        results += [
            Result(one, other, score, opening),
            Result(other, one, 1.0 - (total - score), opening),
        ]
    return results


def interval(points):
    """Of the first player over the second."""
    rated = ratings.rate(["a", "b"], pairs(points), anchor="b")
    assert rated["b"].low == rated["b"].elo == rated["b"].high == 0.0
    one = rated["a"]
    assert one.low < one.elo < one.high
    return one.low, one.high


def test_intervals_hold_the_rating_and_shrink():
    few, many = interval([1.5, 1, 0.5] * 2), interval([1.5, 1, 0.5] * 20)
    assert many[1] - many[0] < 0.35 * (few[1] - few[0])
    rated = ratings.rate(["a", "b"], games(0, 1, 6, 2, 4), anchor="b")["a"]
    assert (rated.num_games, rated.score) == (12, pytest.approx(7 / 12))
    with pytest.raises(ValueError, match="anchor 'c'"):
        ratings.rate(["a", "b"], [], anchor="c")


def test_an_interval_of_many_pairs_is_that_of_their_mean():
    """400 pairs, half of 1.5 points and half of 0.5: score 0.5 +- 1.966 * 0.25 / 20."""
    half = 1.966 * 0.25 / 20  # Student's quantile at 401 degrees of freedom: 95 %.
    low, high = interval([1.5, 0.5] * 200)
    assert high == pytest.approx(elo_difference(0.5 + half), rel=0.01)
    assert low == pytest.approx(-high)


def test_intervals_of_extreme_results_are_finite_and_tell_something():
    assert interval([2.0] * 4) == pytest.approx((-50, 1823), abs=2)
    assert interval([0.0] * 4) == pytest.approx((-1823, 50), abs=2)
    assert interval([1.0] * 5) == pytest.approx((-165, 165), abs=2)
    # One opening tells little, and so do none.
    for points in ([2.0], []):
        low, high = interval(points)
        assert low < -500 and 500 < high < 5000


def test_intervals_move_with_the_score():
    for num_pairs in (2, 4, 10):
        ends = []
        for total in np.arange(0.0, 2.0 * num_pairs + 0.1, 0.5):
            # As even as the total allows.
            least, rest = divmod(2.0 * total, num_pairs)
            points = np.full(num_pairs, least / 2.0)
            points[: int(rest)] += 0.5
            ends.append(interval(points))
        assert (np.diff(ends, axis=0) > 0).all()


def points_distribution(elo, kind):
    """Probability of 0, 1/2, 1, 3/2 and 2 points from a pair of games."""

    def one_game(difference, draw_share=0.0):
        score = ratings.expected_score(difference)
        draws = draw_share * 2.0 * min(score, 1.0 - score)
        return np.array([1.0 - score - draws / 2.0, draws, score - draws / 2.0])

    if kind == "drawish":
        return np.convolve(one_game(elo, 0.8), one_game(elo, 0.8))
    if kind == "openings":  # Worth 300 Elo to one colour, to none, or to the other.
        games = [np.convolve(one_game(elo + x), one_game(elo - x)) for x in (-300, 0, 300)]
        return np.mean(games, axis=0)
    loss, _, win = one_game(elo)
    repeated = np.array([loss, 0.0, 0.0, 0.0, win])
    independent = np.convolve(one_game(elo), one_game(elo))
    return {"independent": independent, "repeated": (independent + repeated) / 2.0}[kind]


KINDS = ("independent", "drawish", "openings", "repeated")


@pytest.mark.parametrize(("num_pairs", "least"), [(2, 0.985), (3, 0.985), (5, 0.97)])
def test_coverage_of_few_pairs_is_as_said(num_pairs, least):
    """The intervals of all results, weighed by their probabilities."""
    counts = [
        count
        for count in itertools.product(range(num_pairs + 1), repeat=5)
        if sum(count) == num_pairs
    ]
    ends = np.array([interval(np.repeat(np.arange(5) / 2.0, count)) for count in counts])
    check_coverage(np.array(counts), ends, num_pairs, least)


def check_coverage(counts, ends, num_pairs, least):
    orders = math.factorial(num_pairs) / np.prod(
        [[math.factorial(number) for number in count] for count in counts], axis=1
    )
    for kind, elo in itertools.product(KINDS, (0.0, 100.0, 200.0, 400.0)):
        chances = points_distribution(elo, kind)
        truth = elo_difference(float(chances @ np.arange(5)) / 4.0)
        probability = orders * np.prod(chances**counts, axis=1)
        assert probability.sum() == pytest.approx(1.0)
        inside = (ends[:, 0] <= truth) & (truth <= ends[:, 1])
        assert probability[inside].sum() > least, (kind, elo)


def test_coverage_of_20_pairs():
    num_pairs, rng, known = 20, np.random.default_rng(0), {}
    for kind, elo in (("independent", 100.0), ("drawish", 0.0), ("repeated", 200.0)):
        chances = points_distribution(elo, kind)
        truth, num_inside = elo_difference(float(chances @ np.arange(5)) / 4.0), 0
        for count in map(tuple, rng.multinomial(num_pairs, chances, size=150)):
            if count not in known:
                known[count] = interval(np.repeat(np.arange(5) / 2.0, count))
            num_inside += known[count][0] <= truth <= known[count][1]
        # 95 % of 150 is 142.5, standard deviation 2.7.
        assert 134 <= num_inside <= 149, (kind, elo)


def test_intervals_of_several_players():
    """A player's interval is narrower with more games, whoever they were against."""
    rng = np.random.default_rng(3)

    def season(num_openings):
        results = []
        for opening in range(num_openings):
            for one, other in itertools.combinations(range(3), 2):
                chance = ratings.expected_score(100.0 * (one - other))
                for first, second in ((one, other), (other, one)):
                    wins = float(rng.random() < (chance if first == one else 1.0 - chance))
                    results.append(Result(first, second, wins, opening))
        return results

    names = ["a", "b", "c"]
    for anchor, truth in (("a", (0.0, 100.0, 200.0)), (None, (-100.0, 0.0, 100.0))):
        many = ratings.rate(names, season(60), anchor)
        few = ratings.rate(names, season(6), anchor)
        for name, elo in zip(names, truth, strict=True):
            if name != anchor:
                assert many[name].low < elo < many[name].high
                assert many[name].high - many[name].low < 0.5 * (
                    few[name].high - few[name].low
                )


def test_games_of_others_make_no_rating_surer():
    """Neither by what they say nor by their number, which the quantile goes by."""
    own, others = pairs([1.5, 0.5] * 2), pairs([1.5, 0.5] * 100, 1, 2)
    alone = ratings.rate(["a", "b"], own, "b")["a"]
    among = ratings.rate(["a", "b", "c"], own + others, "b")["a"]
    assert (among.low, among.high) == pytest.approx((alone.low, alone.high), rel=1e-3)


def test_cross_table_counts_both_ways():
    table = ratings.cross_table(["a", "b"], games(0, 1, 3, 2, 1))
    assert table == {("a", "b"): (3, 2, 1), ("b", "a"): (1, 2, 3)}


def of_pairs(*means):
    """Two games of that mean score from each opening."""
    scores = PairScores()
    for opening, mean in enumerate(means):
        scores.add(opening, mean)
        scores.add(opening, mean)
    return scores


def test_sprt_bounds_and_ratio():
    sprt = Sprt(0.0, 50.0)
    # log(0.95 / 0.05) = log(19) = 2.9444; to accept H1 wrongly is alpha's part.
    uneven = Sprt(0.0, 50.0, alpha=0.01, beta=0.2)
    np.testing.assert_allclose(uneven.bounds, (math.log(0.2 / 0.99), math.log(0.8 / 0.01)))
    np.testing.assert_allclose(sprt.bounds, (-math.log(19), math.log(19)))
    # Scores 1/2 and 0.57146 at 50 Elo. 20 pairs: 10 of 3/4, 10 of 1/2, and the prior's
    # half a pair at each end: mean (12.5 + 0.5) / 21, square (8.125 + 0.5) / 21.
    scores = of_pairs(*[0.75] * 10, *[0.5] * 10)
    expected = 1 / (1 + 10 ** (-50 / 400))
    mean, square = 13 / 21, 8.625 / 21
    ratio = 20 * (expected - 0.5) * (2 * mean - 0.5 - expected) / (2 * (square - mean**2))
    assert sprt.log_likelihood_ratio(scores) == pytest.approx(ratio)
    assert ratio == pytest.approx(4.331, abs=1e-3) and sprt.verdict(scores) == "H1"
    assert sprt.verdict(of_pairs(*[0.25] * 20)) == "H0"
    assert sprt.verdict(of_pairs()) is None and sprt.verdict(of_pairs(1.0)) is None
    assert sprt.verdict(of_pairs(0.5, 0.75, 0.5, 0.25)) is None


def test_sprt_errs_as_rarely_as_it_says():
    """Scores of pairs of two games, at no difference and at 200 Elo."""
    sprt, rng = Sprt(0.0, 200.0), np.random.default_rng(0)
    for elo, right in ((0.0, "H0"), (200.0, "H1")):
        verdicts = []
        for _ in range(100):
            scores, verdict = PairScores(), None
            while verdict is None:
                for won in rng.random(2) < ratings.expected_score(elo):
                    scores.add(scores.num_pairs, float(won))
                verdict = sprt.verdict(scores)
            verdicts.append(verdict)
        # 5 % of 100 is 5, standard deviation 2.2.
        assert verdicts.count(right) >= 100 - 14
