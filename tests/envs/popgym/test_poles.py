"""POPGym's cart-poles and pendulums by hand."""

import math

import jax
import numpy as np
import pytest
from popgym_rows import play, random_rows

from tolman.envs.classic import CartPole
from tolman.envs.classic.cartpole import CartPoleState
from tolman.envs.popgym.cartpole import PositionOnlyCartPole, VelocityOnlyCartPole
from tolman.envs.popgym.noise import (
    NoisyPositionOnlyCartPole,
    NoisyPositionOnlyCartPoleHard,
    NoisyPositionOnlyPendulum,
    NoisyPositionOnlyPendulumMedium,
    draw_noise,
)
from tolman.envs.popgym.pendulum import PendulumState, PositionOnlyPendulum

PHYSICS = np.array([0.1, -0.2, 0.03, 0.4], np.float32)


def test_cartpole_shows_what_it_says():
    state = CartPoleState(PHYSICS, np.int32(0))
    actions = [1, 0, 1]
    _, whole, _, _, _ = play(CartPole(), state, actions)
    # By hand, the first step: positions go on at their velocities for 0.02 seconds.
    np.testing.assert_allclose(whole[0][[0, 2]], [0.096, 0.038], rtol=1e-5)
    _, positions, reward, _, _ = play(PositionOnlyCartPole(), state, actions)
    np.testing.assert_array_equal(positions, whole[:, [0, 2]])
    np.testing.assert_allclose(reward, [1 / 200] * 3)
    _, velocities, reward, _, _ = play(VelocityOnlyCartPole(400), state, actions)
    np.testing.assert_array_equal(velocities, whole[:, [1, 3]])
    np.testing.assert_allclose(reward, [1 / 400] * 3)


def test_the_first_row_shows_positions_of_both():
    key = jax.random.PRNGKey(1)
    for environment in (PositionOnlyCartPole(), VelocityOnlyCartPole()):
        state, first = environment.reset(key)
        np.testing.assert_array_equal(first.observation, state.physics[::2])


def test_a_fall_pays_and_is_over_and_the_clock_cuts():
    state = CartPoleState(np.array([0, 0, 0.2, 2.0], np.float32), np.int32(0))
    _, _, reward, ends, discount = play(PositionOnlyCartPole(), state, [0])
    assert ends[0] and discount[0] == 0.0  # 0.24 radians are more than 12 degrees.
    np.testing.assert_allclose(reward[0], 1 / 200)
    state = CartPoleState(PHYSICS, np.int32(0))
    _, _, reward, ends, discount = play(PositionOnlyCartPole(2), state, [1, 0])
    assert ends.tolist() == [False, True] and discount.tolist() == [1.0, 1.0]
    np.testing.assert_allclose(reward.sum(), 1.0)


def test_pendulum_by_hand():
    """At rest, level: gravity gives 15 and a torque of 1 gives 3 radians a second squared.

    The speed becomes 18 * 0.05 = 0.9 and the angle pi / 2 + 0.9 * 0.05. The cost is
    pi^2 / 4 + 0.001, of at most pi^2 + 6.4 + 0.004 = 16.2736044.
    """
    state = PendulumState(np.float32(math.pi / 2), np.float32(0.0), np.int32(0))
    environment = PositionOnlyPendulum()
    after, timestep = environment.step(state, np.array([1.0], np.float32))
    np.testing.assert_allclose(after.speed, 0.9, rtol=1e-6)
    angle = math.pi / 2 + 0.045
    np.testing.assert_allclose(
        timestep.observation, [math.cos(angle), math.sin(angle)], atol=1e-6
    )
    cost = math.pi**2 / 4 + 0.001
    reward = (1 - cost / 8.1368022) / 200
    np.testing.assert_allclose(timestep.reward, reward, rtol=1e-6)


@pytest.mark.parametrize(
    ("angle", "speed", "torque", "reward"),
    [
        (0.0, 0.0, 0.0, 1.0),
        (math.pi, 8.0, 2.0, -1.0),
        (-math.pi, -8.0, -9.0, -1.0),  # A torque beyond 2 counts as 2.
    ],
)
def test_pendulum_pays_from_minus_1_to_1(angle, speed, torque, reward):
    state = PendulumState(np.float32(angle), np.float32(speed), np.int32(0))
    after, timestep = PositionOnlyPendulum(1).step(state, np.array([torque], np.float32))
    np.testing.assert_allclose(timestep.reward, reward, atol=1e-5)
    assert abs(after.speed) <= 8.0
    assert timestep.is_last() and timestep.discount == 1.0


def test_the_angle_goes_round():
    state = PendulumState(np.float32(3.1), np.float32(7.0), np.int32(0))
    after, _ = PositionOnlyPendulum().step(state, np.zeros(1, np.float32))
    speed = 7.0 + 0.05 * 15 * math.sin(3.1)
    np.testing.assert_allclose(after.angle, 3.1 + 0.05 * speed - 2 * math.pi, rtol=1e-5)


def test_pendulum_starts_anywhere():
    keys = jax.random.split(jax.random.PRNGKey(0), 4000)
    state = jax.device_get(jax.vmap(PositionOnlyPendulum().reset)(keys)[0])
    for numbers, high in ((state.angle, math.pi), (state.speed, 1.0)):
        assert np.abs(numbers).max() <= high
        np.testing.assert_allclose(numbers.mean(), 0, atol=4.5 * high / 3**0.5 / 4000**0.5)
        np.testing.assert_allclose(numbers.std(), high / 3**0.5, rtol=0.05)


@pytest.mark.parametrize(
    ("environment", "deviation"),
    [
        (NoisyPositionOnlyCartPole(), 0.1),
        (NoisyPositionOnlyCartPole(0.0), 0.0),
        (NoisyPositionOnlyCartPoleHard(), 0.3),
    ],
)
def test_noise_on_the_cartpole(environment, deviation):
    """The first row: a start within 0.05 under normal noise, hardly ever clipped."""
    state, first, _, rows, _ = random_rows(environment, 8, 4000)
    physics = np.asarray(state.inner.physics)
    noise = first[:, 0] - physics[:, 0]  # Clipped at 4.8 only, 16 deviations away.
    np.testing.assert_allclose(noise.mean(), 0, atol=4.5 * deviation / 4000**0.5 + 1e-9)
    np.testing.assert_allclose(noise.std(), deviation, rtol=0.06, atol=1e-8)
    if deviation:
        # Normal, of which 68.3 % lie within one deviation and 95.4 % within two.
        for times, share in ((1, 0.683), (2, 0.954)):
            within = np.mean(np.abs(noise) < times * deviation)
            assert abs(within - share) < 4.5 * 0.47 / 4000**0.5
        later = rows.observation[0, :, 0] - physics[:, 0] - 0.02 * physics[:, 1]
        together = np.corrcoef(noise, later)[0, 1]  # Independent from row to row.
        assert abs(together) < 4.5 / 4000**0.5
    limit = environment.observation_spec().maximum
    assert (np.abs(rows.observation) <= limit).all()
    is_clipped = np.abs(first[:, 1]) == limit[1]
    assert is_clipped.any() == (deviation == 0.3)  # At 24 degrees, 1.4 deviations.


def test_noise_on_the_pendulum_is_clipped_at_1():
    state, first, _, rows, _ = random_rows(NoisyPositionOnlyPendulumMedium(), 3, 2000)
    angle = state.inner.angle
    draw = jax.vmap(jax.vmap(draw_noise, (None, 0)), (0, None))
    noise = np.asarray(draw(state.key, np.arange(4)))
    wanted = np.stack([np.cos(angle), np.sin(angle)], -1) + 0.2 * noise[:, 0]
    np.testing.assert_allclose(first, np.clip(wanted, -1, 1), atol=1e-6)
    assert (np.abs(wanted) > 1).any() and np.abs(rows.observation).max() == 1.0
    quiet = random_rows(NoisyPositionOnlyPendulum(0.0), 3, 2000)[3]
    np.testing.assert_array_equal(rows.reward, quiet.reward)  # Noise is in the eye only.
    wanted = quiet.observation + 0.2 * noise[:, 1:4].swapaxes(0, 1)
    np.testing.assert_allclose(rows.observation, np.clip(wanted, -1, 1), atol=1e-6)
