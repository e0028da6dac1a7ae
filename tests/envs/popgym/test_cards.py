"""POPGym's card tasks by hand: decks written out, rows and payments worked out."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from popgym_rows import play

from tolman.envs.popgym import deck
from tolman.envs.popgym.concentration import (
    Concentration,
    ConcentrationHard,
    ConcentrationMedium,
    ConcentrationState,
)
from tolman.envs.popgym.counting import (
    CountRecall,
    CountRecallHard,
    CountRecallMedium,
    CountRecallState,
    HigherLower,
)
from tolman.envs.popgym.deck import DealtState
from tolman.envs.popgym.repeat import (
    Autoencode,
    RepeatFirst,
    RepeatFirstHard,
    RepeatPrevious,
    RepeatPreviousHard,
)

SORTED = np.arange(52, dtype=np.int32)  # Suits 0 1 2 3 0 1 2 3 ..., ranks 0 0 0 0 1 1 ...
START = np.int32(0)


def test_cards():
    cards = jnp.array([0, 1, 2, 3, 4, 51, 52, 103])
    assert deck.suits(cards).tolist() == [0, 1, 2, 3, 0, 3, 0, 3]
    assert deck.values(cards, "colors").tolist() == [0, 1, 0, 1, 0, 1, 0, 1]
    assert deck.values(cards, "ranks").tolist() == [0, 0, 0, 0, 1, 12, 0, 12]


def test_a_shuffle_holds_every_card_and_favours_no_place():
    keys = jax.random.split(jax.random.PRNGKey(0), 5000)
    cards = np.asarray(jax.vmap(lambda key: deck.shuffle(key, 2))(keys))
    np.testing.assert_array_equal(np.sort(cards), np.tile(np.arange(104), (5000, 1)))
    # Means of uniform numbers from 0 to 103, of deviation 30, within 4.5 standard errors.
    np.testing.assert_allclose(cards.mean(0), 51.5, atol=4.5 * 30.02 / 5000**0.5)
    together = np.mean(cards[:, 0] % 4 == cards[:, 1] % 4)  # 25 of the 103 others.
    assert abs(together - 25 / 103) < 4.5 * 0.43 / 5000**0.5


def test_repeat_first():
    actions = [2] * 51
    actions[:3] = [0, 2, 1]
    cards = np.roll(SORTED, -2)  # 2 3 4 5 ... 51 0 1; the first is a club, suit 2.
    _, seen, reward, ends, discount = play(RepeatFirst(), DealtState(cards, START), actions)
    assert seen.tolist() == [3, *[0, 1, 2, 3] * 12, 0, 1]
    np.testing.assert_allclose(reward, [-1 / 51, 1 / 51, -1 / 51, *[1 / 51] * 48])
    assert ends.tolist() == [False] * 50 + [True] and discount[-1] == 0.0


def test_repeat_previous():
    """Suits 0 1 2 3 0 1 2 3: four cards back from the fourth on is suit 0, then 1."""
    actions = [3, 3, 3, 0, 1, 2, 2, *[0] * 44]
    state = DealtState(SORTED, START)
    _, seen, reward, ends, _ = play(RepeatPrevious(), state, actions)
    assert seen.tolist() == [suit % 4 for suit in range(1, 52)]
    paid = [0, 0, 0, 1, 1, 1, -1]
    # From then on the suits asked are 0 1 2 3 ..., and the answer is always 0.
    paid += [1 if (time - 3) % 4 == 0 else -1 for time in range(7, 51)]
    np.testing.assert_allclose(reward * 48, paid, rtol=1e-6)
    assert ends.tolist() == [False] * 50 + [True]


def test_repeating_the_first_action_is_no_answer_to_repeat_previous():
    """A perfect memory returns 1, and the shown card repeated does not."""
    state = DealtState(SORTED, START)
    suits = SORTED % 4
    perfect = [0, 0, 0, *suits[:48]]
    *_, reward, _, _ = play(RepeatPrevious(), state, perfect)
    np.testing.assert_allclose(reward.sum(), 1.0, rtol=1e-6)
    *_, reward, _, _ = play(RepeatPrevious(), state, suits[:51])  # The card shown now.
    np.testing.assert_allclose(reward.sum(), -1.0, rtol=1e-6)


def test_autoencode():
    """51 rows are dealt; then cards 51, 50, 49 ... are asked, suits 3 2 1 0 3 ..."""
    state = DealtState(SORTED, START)
    answers = list(SORTED[::-1] % 4)
    actions = [0] * 51 + answers
    _, seen, reward, ends, _ = play(Autoencode(), state, actions)
    assert seen["suit"].tolist() == [suit % 4 for suit in range(1, 52)] + [0] * 52
    assert seen["mode"].tolist() == [1] * 50 + [0] * 53
    np.testing.assert_allclose(reward, [0.0] * 51 + [1 / 52] * 52, rtol=1e-6)
    assert ends.tolist() == [False] * 102 + [True]
    actions[51] = 0  # The last card is a heart, suit 3.
    *_, reward, _, _ = play(Autoencode(), state, actions)
    np.testing.assert_allclose(reward[50:53], [0.0, -1 / 52, 1 / 52], rtol=1e-6)


def test_count_recall():
    """Black and red in turn, and queries red for half of the deck: 0 1 1 2 2 ... red."""
    queries = np.concatenate([SORTED[1::2], SORTED[::2]])
    state = CountRecallState(SORTED, queries, START)
    counts = [(time + 1) // 2 for time in range(26)]  # Red ones among `time + 1` cards.
    counts += [(time + 2) // 2 for time in range(26, 51)]  # Black ones.
    _, seen, reward, ends, _ = play(CountRecall(), state, counts)
    assert seen[:3].tolist() == [[1, 1], [0, 1], [1, 1]]
    assert seen[-1].tolist() == [1, 0]
    np.testing.assert_allclose(reward, [1 / 51] * 51, rtol=1e-6)
    assert ends.tolist() == [False] * 50 + [True]
    counts[4] += 1
    *_, reward, _, _ = play(CountRecall(), state, counts)
    np.testing.assert_allclose(reward[3:6] * 51, [1.0, -1.0, 1.0], rtol=1e-6)


def test_count_recall_counts_to_the_last_card_of_a_kind():
    assert CountRecall().action_spec().num_values == 27
    assert CountRecallMedium().action_spec().num_values == 27
    assert CountRecallHard().action_spec().num_values == 17
    assert CountRecallHard().observation_spec().maximum == 12


def test_higher_lower():
    """Ranks 0 0 0 0 1: three ties, then a rise; then 12 falls to 3."""
    cards = SORTED.copy()
    cards[[5, 13]] = cards[[13, 5]]  # Ranks 0 0 0 0 1 3 1 1 2 ...
    state = DealtState(cards, START)
    _, seen, reward, ends, _ = play(HigherLower(), state, [0] * 51)
    assert seen[:8].tolist() == [0, 0, 0, 1, 3, 1, 1, 2]
    np.testing.assert_allclose(reward[:8] * 52, [0, 0, 0, 1, 1, -1, 0, 1], rtol=1e-6)
    *_, lower, _, _ = play(HigherLower(), state, [1] * 51)
    np.testing.assert_array_equal(lower, -reward)
    assert ends.tolist() == [False] * 50 + [True]


@pytest.fixture
def laid():
    return ConcentrationState(SORTED, np.zeros(52, bool), np.int32(-1), START)


def test_concentration_of_ranks(laid):
    """Places 0 to 3 have rank 0, places 4 to 7 rank 1; L is ceil(104 - 52 / 103) = 104."""
    actions = [0, 1, 2, 4, 3, 3, 0, 5, 1]
    _, seen, reward, ends, _ = play(ConcentrationHard(), laid, actions)
    fail = -1 / 104
    # A pair, two that differ, one twice, one that lies there as first, and as second.
    paid = [0, 1 / 26, 0, 2 * fail, 0, 2 * fail, fail, 0, 2 * fail]
    np.testing.assert_allclose(reward, paid, rtol=1e-6)
    up = [{0}, {0, 1}, {0, 1, 2}, {0, 1, 2, 4}, {0, 1, 3}, {0, 1, 3}, {0, 1}, {0, 1, 5}]
    for row, places in zip(seen, [*up, {0, 1, 5}], strict=True):
        assert set(np.flatnonzero(row != 13)) == places
        assert all(row[place] == place // 4 for place in places)
    assert not ends.any()


def test_concentration_ends_with_the_last_pair(laid):
    """Colours alternate, so places 0 and 2, 1 and 3, 4 and 6 ... are pairs."""
    actions = np.arange(52).reshape(-1, 2, 2).swapaxes(1, 2).reshape(-1)
    _, seen, reward, ends, discount = play(Concentration(), laid, actions)
    np.testing.assert_allclose(reward, [0, 1 / 26] * 26, rtol=1e-6)
    np.testing.assert_array_equal(seen[-1], SORTED % 2)
    assert ends.tolist() == [False] * 51 + [True] and discount[-1] == 0.0


def test_concentration_is_cut(laid):
    _, _, reward, ends, discount = play(Concentration(), laid, [0, 1] * 52)
    np.testing.assert_allclose(reward.sum(), -1.0, rtol=1e-5)
    assert ends.tolist() == [False] * 103 + [True] and discount[-1] == 1.0
    assert ConcentrationMedium().max_num_steps == 208  # ceil(208 - 104 / 207).


@pytest.mark.parametrize(
    ("environment", "problem"),
    [
        (RepeatPrevious(k=52), ("k", "less than the 52 cards")),
        (
            Concentration(feature="suits"),
            ("num_decks", "even, as suits come in odd numbers in one"),
        ),
    ],
)
def test_settings_that_do_not_fit(environment, problem):
    assert list(environment.setting_problems()) == [problem]


def test_settings_that_fit():
    assert not list(RepeatPreviousHard().setting_problems())
    assert not list(Concentration(num_decks=2, feature="suits").setting_problems())
    assert RepeatFirstHard().num_decks == 16
