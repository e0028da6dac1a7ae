"""Task recognition: by hand, by a slow oracle, on scripted streams and on real games."""

import math
from dataclasses import replace

import numpy as np
import pytest

from tolman.agents.ewc.forget_me_not import (
    ForgetMeNotConfig,
    levels_of,
    log_likelihood,
    observe,
    start,
)
from tolman.launchers.report.continual import adjusted_rand_index

CONFIG = ForgetMeNotConfig()
SMALL = ForgetMeNotConfig(window=2, num_levels=2, prior_mass=1.0, max_contexts=3)


def labels_of(config, windows):
    known, labels = start(config, windows[0].shape[1]), []
    for window in windows:
        known = observe(config, known, window)
        labels.append(known.label)
    return np.array(labels), known


def streams(config, screens_of, num_sources, rng, num_segments=10):
    """Windows of sources in turn, none after itself; and which source each is of."""
    windows, sources, last = [], [], -1
    for segment in range(num_segments):
        choices = [s for s in range(num_sources) if s != last]
        last = segment if segment < num_sources else int(rng.choice(choices))
        for _ in range(int(rng.integers(20, 61))):
            windows.append(screens_of(last, config.window, rng))
            sources.append(last)
    return windows, np.array(sources)


def test_a_window_by_hand():
    # Two pixels, two levels, half a screen of prior each: (1/2 / 1) (3/2 / 2) of equal
    # screens, (1/2 / 1) (1/2 / 2) of a pixel that changes.
    window = np.array([[0, 0], [0, 1]])
    counts = np.zeros((2, 2, 2), np.float32)
    counts[1, :, 0] = 3  # A context that has seen three black screens.
    got = log_likelihood(SMALL, counts, window)
    fresh = (0.5 * 1.5 / 2) * (0.5 * 0.5 / 2)
    black = (3.5 / 4 * 4.5 / 5) * (3.5 / 4 * 0.5 / 5)
    np.testing.assert_allclose(got, np.log([fresh, black]))


def test_the_posterior_is_that_of_a_loop():
    rng = np.random.default_rng(0)
    config = replace(SMALL, wins_to_open=1)
    windows = [(rng.random((2, 6)) < p).astype(int) for p in (0.1, 0.9, 0.1, 0.5, 0.1)]
    known = start(config, 6)
    for window in windows:
        before, known = known, observe(config, known, window)
        open_ones = [*range(before.num_contexts), 3]
        switch = 1 / (before.num_windows + 1)
        joint = []
        for c in open_ones:
            reached = 0.0
            for d in open_ones:
                stays = 1 - switch if len(open_ones) > 1 else 1
                moves = switch / max(len(open_ones) - 1, 1)
                reached += math.exp(before.log_weight[d]) * (stays if c == d else moves)
            likelihood, counts = 1.0, before.counts[c].astype(float).copy()
            for screen in window:
                for pixel, level in enumerate(screen):
                    likelihood *= (counts[pixel, level] + 0.5) / (counts[pixel].sum() + 1)
                    counts[pixel, level] += 1
            joint.append(reached * likelihood)
        expected = np.array(joint) / sum(joint)
        got = np.exp(known.log_weight)
        if known.num_contexts > before.num_contexts:  # The hold-out's share moved.
            np.testing.assert_allclose(got[before.num_contexts], expected[-1])
            np.testing.assert_allclose(got[: before.num_contexts], expected[:-1])
        else:
            np.testing.assert_allclose(got[open_ones], expected)
        assert got.sum() == pytest.approx(1.0)


def test_only_the_winner_learns_and_the_hold_out_stays_as_it_was():
    black, white = np.zeros((2, 9), int), np.ones((2, 9), int)
    labels, known = labels_of(SMALL, [black, black, white, white, white, black])
    # White must win twice before it is a context; until then the label stays.
    assert labels.tolist() == [0, 0, 0, 1, 1, 0]
    assert known.num_contexts == 2 and known.num_windows == 6
    np.testing.assert_array_equal(known.counts[0, :, 0], 6)
    np.testing.assert_array_equal(known.counts[1, :, 1], 4)
    assert not known.counts[0, :, 1].any() and not known.counts[[2, 3]].any()
    at_once, _ = labels_of(replace(SMALL, wins_to_open=1), [black, black, white, black])
    assert at_once.tolist() == [0, 0, 1, 0]


def test_wins_must_be_running():
    black, white = np.zeros((2, 9), int), np.ones((2, 9), int)
    labels, known = labels_of(SMALL, [black, white, black, white, black, black])
    assert labels.tolist() == [0] * 6 and known.num_contexts == 1


def test_each_new_context_must_win_for_itself():
    config = replace(SMALL, num_levels=3)
    windows = [np.full((2, 9), level) for level in (0, 1, 1, 2, 2)]
    labels, known = labels_of(config, windows)
    assert labels.tolist() == [0, 0, 1, 1, 2] and known.wins == 0


def test_observing_changes_nothing_that_was_known():
    known = observe(SMALL, start(SMALL, 9), np.zeros((2, 9), int))
    copies = [np.copy(part) for part in known]
    observe(SMALL, known, np.ones((2, 9), int))
    for part, copy in zip(known, copies, strict=True):
        np.testing.assert_array_equal(part, copy)


def test_no_room_is_told_in_one_line():
    config = replace(SMALL, max_contexts=1, wins_to_open=1)
    known = observe(config, start(config, 9), np.zeros((2, 9), int))
    with pytest.raises(ValueError, match="max_tasks=1: a further task was seen"):
        observe(config, known, np.ones((2, 9), int))


def test_levels_by_hand_and_no_byte_wraps():
    screen = np.array([[[0, 16, 255, 255], [16, 32, 255, 255]]], np.uint8)
    assert levels_of(CONFIG, screen).tolist() == [[1, 15]]  # Means 16 and 255.
    with pytest.raises(ValueError, match=r"screens uint8\[3, 3\]: must be uint8"):
        levels_of(CONFIG, np.zeros((3, 3), np.uint8))
    with pytest.raises(ValueError, match="screens float64"):
        levels_of(CONFIG, np.zeros((4, 4)))


@pytest.mark.parametrize("kind", ["pixels", "moving"])
def test_scripted_streams_are_told_apart_and_known_again(kind):
    rng = np.random.default_rng(3)
    probability = rng.dirichlet(np.full(16, 0.5), (4, 1764)).cumsum(-1)
    still = rng.integers(0, 16, (4, 42, 42))

    def screens_of(source, number, rng):
        if kind == "pixels":
            drawn = rng.random((number, 1764, 1))
            return (drawn > probability[source][..., :-1]).sum(-1)
        screens = np.repeat(still[source][None], number, 0)
        for screen in screens:
            row, column = rng.integers(0, 36, 2)
            screen[row : row + 6, column : column + 6] = 15
        return screens.reshape(number, -1)

    windows, sources = streams(CONFIG, screens_of, 4, rng)
    labels, known = labels_of(CONFIG, windows)
    assert adjusted_rand_index(labels, sources) >= 0.9
    assert known.num_contexts == 4


GAMES = ("Pong", "Breakout", "Boxing", "SpaceInvaders", "Freeway", "Asterix")
ORDERS = 4


@pytest.fixture(scope="module")
def screens():
    """`[N, 84, 84]` of random play, 170 decisions a game."""
    pytest.importorskip("ale_py")
    from tolman.envs.atari import AtariEnvironment, AtariSettings

    found = []
    for number, name in enumerate(GAMES):
        game = AtariEnvironment(f"ALE/{name}-v5", AtariSettings(), seed=number)
        rng, rows = np.random.default_rng(number), [game.reset()]
        while len(rows) < 170:
            rows.append(game.step(int(rng.integers(game.action_spec().num_values))))
        found.append(np.stack([row.observation[..., -1] for row in rows[4:]]))
    return found


def games_in(config, screens, order):
    """Twelve segments of 40 to 80 decisions, every game twice, cut into windows."""
    rng = np.random.default_rng(order)
    turns = np.concatenate([rng.permutation(6), rng.permutation(6)])
    if turns[5] == turns[6]:
        turns[6:] = turns[6:][::-1]
    used, rows, truth = [0] * 6, [], []
    for game in turns:
        length = int(rng.integers(40, 81))
        rows.append(screens[game][used[game] : used[game] + length])
        truth += [game] * len(rows[-1])
        used[game] += length
    levels = levels_of(config, np.concatenate(rows))
    number = len(levels) // config.window
    windows = levels[: number * config.window].reshape(number, config.window, -1)
    cut = np.array(truth)[: number * config.window].reshape(number, config.window)
    return windows, cut[:, 0]


@pytest.mark.parametrize("order", range(ORDERS))
def test_real_games_are_told_apart_and_known_again(screens, order):
    windows, games = games_in(CONFIG, screens, order)
    labels, known = labels_of(CONFIG, windows)
    assert adjusted_rand_index(labels, games) >= 0.9
    assert known.num_contexts == 6
    for game in range(6):  # A game that returns has its old label.
        mine = labels[games == game]
        assert np.bincount(mine).max() >= 0.75 * len(mine)


def test_with_few_levels_games_are_taken_for_each_other(screens):
    config = replace(CONFIG, num_levels=4)
    found = []
    for order in range(ORDERS):
        windows, games = games_in(config, screens, order)
        labels, _ = labels_of(config, windows)
        found.append(adjusted_rand_index(labels, games))
    assert min(found) < 0.9  # In one order of the four, as it came out.
