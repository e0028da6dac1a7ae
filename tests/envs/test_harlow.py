"""Harlow's task by scripted play, with and without the screen."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tolman.envs.meta_rl import Harlow, HarlowChoice
from tolman.envs.meta_rl.harlow import CHOICE, FIXATION, INTERVAL, LEFT, NO_OP, RIGHT


def screen(**settings):
    return Harlow(
        **{"screen_size": 24, "num_images": 16, "source": "generated", **settings}
    )


def choice(**settings):
    return HarlowChoice(
        **{"image_size": 6, "num_images": 16, "source": "generated", **settings}
    )


class Player:
    """Steps one copy, keeping what came of it."""

    def __init__(self, environment, seed=0):
        self._step = jax.jit(environment.step)
        self.state, self.timestep = jax.jit(environment.reset)(jax.random.PRNGKey(seed))
        self.rewards = []

    def __call__(self, action):
        self.state, self.timestep = self._step(self.state, jnp.int32(action))
        self.rewards.append(round(float(self.timestep.reward), 5))
        return self.rewards[-1]

    def correct_side(self):
        return int(self.state.pair.rewarded_is_right[int(self.state.trial)])


def test_choice_rewards_one_picture_all_episode_on_shuffled_sides():
    environment = choice(num_trials=40)
    player = Player(environment)
    table = environment.images.reshape(-1, 6, 6, 3)
    rewarded, other = int(player.state.pair.rewarded), int(player.state.pair.other)
    assert rewarded != other
    sides = []
    for trial in range(40):
        side = player.correct_side()
        sides.append(side)
        halves = np.split(np.asarray(player.timestep.observation), 2, axis=1)
        np.testing.assert_array_equal(halves[side], table[rewarded])
        np.testing.assert_array_equal(halves[1 - side], table[other])
        is_correct = trial % 3 > 0
        assert player(side if is_correct else 1 - side) == (1.0 if is_correct else -1.0)
    assert 8 < sum(sides) < 32
    assert player.timestep.is_last()
    assert player.timestep.discount == 0.0
    np.testing.assert_array_equal(
        player.state.outcomes, [1 if trial % 3 > 0 else -1 for trial in range(40)]
    )


def test_pair_is_of_two_classes_and_rewarded_one_is_drawn_fairly():
    environment = choice(num_images=4)
    keys = jax.random.split(jax.random.PRNGKey(0), 4000)
    states, _ = jax.jit(jax.vmap(environment.reset))(keys)
    rewarded, other = np.asarray(states.pair.rewarded), np.asarray(states.pair.other)
    assert (rewarded != other).all()
    # 12 ordered pairs, each with probability 1/12.
    counts = np.bincount(4 * rewarded + other, minlength=16)
    drawn = counts[counts > 0]
    assert len(drawn) == 12
    assert np.abs(drawn - 4000 / 12).max() < 4.5 * np.sqrt(4000 * 11 / 144)


def test_momentum_by_hand():
    # A push of 4.4 / 4 x (1 - 0.5) = 0.55 a frame: velocities .55, .825, .9625, 1.03125.
    player = Player(screen())
    player(RIGHT)
    assert float(player.state.gaze) == pytest.approx(3.36875)
    for _ in range(6):
        player(NO_OP)
    assert float(player.state.gaze) == pytest.approx(4.4, abs=1e-4)
    without = Player(screen(momentum=0.0))
    without(LEFT)
    assert float(without.state.gaze) == pytest.approx(-4.4)


def test_gaze_is_limited():
    environment = screen(hold_steps=100)
    player = Player(environment)
    for _ in range(30):
        player(RIGHT)
    assert float(player.state.gaze) == pytest.approx(environment.max_gaze_degrees)
    player(LEFT)
    assert float(player.state.gaze) < environment.max_gaze_degrees


def fixate_and_choose(player, side):
    """One trial; returns the rewards of holding the cross and of the choice."""
    for _ in range(60):
        if int(player.state.phase) == CHOICE:
            break
        # Where the gaze comes to rest: what is left of the velocity adds as much again.
        rest = float(player.state.gaze + player.state.velocity)
        player(NO_OP if abs(rest) < 2.5 else (LEFT if rest > 0 else RIGHT))
    held = player.rewards[-1]
    for _ in range(10):
        if int(player.state.phase) != CHOICE:
            break
        player(RIGHT if side else LEFT)
    return held, player.rewards[-1]


def test_screen_trial_by_script():
    player = Player(screen())
    assert [player(NO_OP) for _ in range(4)] == [0.0, 0.0, 0.0, 0.2]
    assert int(player.state.phase) == CHOICE
    side = player.correct_side()
    # The picture is 17.5 degrees off; 3.37, 7.70, 12.10: within 7 after three actions.
    assert [player(RIGHT if side else LEFT) for _ in range(3)] == [0.0, 0.0, 1.0]
    assert int(player.state.phase) == INTERVAL
    assert int(player.state.trial) == 1
    blank = np.asarray(player.timestep.observation)
    assert (blank == blank[0, 0]).all()
    assert [player(NO_OP) for _ in range(9)] == [0.0] * 9
    assert int(player.state.phase) == INTERVAL
    player(NO_OP)
    assert int(player.state.phase) == FIXATION


def test_looking_away_starts_the_hold_anew():
    player = Player(screen())
    for _ in range(3):
        player(NO_OP)
    player(RIGHT)  # Comes to rest at 4.4, but is still within 3.5 now.
    assert player.rewards == [0.0, 0.0, 0.0, 0.2]
    player = Player(screen())
    for action in (NO_OP, NO_OP, RIGHT, RIGHT):
        player(action)
    assert int(player.state.phase) == FIXATION
    assert int(player.state.phase_time) == 0


def test_screen_episode_ends_after_the_last_trial():
    player = Player(screen(num_trials=4))
    choices = [True, False, True, True]
    for is_correct in choices:
        side = player.correct_side()
        held, chosen = fixate_and_choose(player, side if is_correct else 1 - side)
        assert held == 0.2
        assert chosen == (1.0 if is_correct else -1.0)
    assert player.timestep.is_last()
    assert player.timestep.discount == 0.0
    np.testing.assert_array_equal(player.state.outcomes, [1, -1, 1, 1])
    assert sum(player.rewards) == pytest.approx(4 * 0.2 + 2.0)


def test_screen_episode_is_truncated_by_the_clock():
    player = Player(screen(max_num_steps=7))
    for _ in range(7):
        player(NO_OP)
    assert player.timestep.is_last()
    assert player.timestep.discount == 1.0
    np.testing.assert_array_equal(player.state.outcomes, np.zeros(10))


def test_window_shows_the_wall_where_the_gaze_is():
    environment = Harlow(source="generated", num_images=8)
    assert environment.picture_size == 34
    player = Player(environment)
    cross = np.asarray(player.timestep.observation)
    assert (cross == cross[:, ::-1]).all()
    assert (cross == cross[::-1]).all()
    assert cross.min() == 0
    for _ in range(4):
        player(NO_OP)
    table = environment.images.reshape(-1, 34, 34, 3)
    pair, side = player.state.pair, player.correct_side()
    pictures = [table[int(pair.other)], table[int(pair.rewarded)]]
    left, right = pictures if side else pictures[::-1]
    window = np.asarray(player.timestep.observation)
    np.testing.assert_array_equal(window[25:59, :34], left)
    np.testing.assert_array_equal(window[25:59, 50:], right)
    assert (window[:25] == 128).all()
    player(RIGHT)  # 3.36875 degrees x 1.4 pixels a degree = 4.7, so 5 pixels to the left.
    window = np.asarray(player.timestep.observation)
    np.testing.assert_array_equal(window[25:59, :29], left[:, 5:])
    np.testing.assert_array_equal(window[25:59, 45:79], right)
