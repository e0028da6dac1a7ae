"""CartPole in JAX, step by step beside Gymnasium's."""

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np

from tolman.envs.classic import CartPole
from tolman.envs.classic.cartpole import CartPoleState


def test_steps_are_those_of_gymnasium():
    """From the same state, in 32 bits: position, reward and end agree to rounding."""
    judge = gymnasium.make("CartPole-v1").unwrapped
    step = jax.jit(CartPole().step)
    rng = np.random.default_rng(0)
    num_ended = 0
    for _ in range(400):
        low = np.array([2.4, 3.0, 0.21, 3.0])
        judge.reset(seed=0)
        judge.state = rng.uniform(-low, low).astype(np.float32).astype(np.float64)
        state = CartPoleState(jnp.asarray(judge.state, jnp.float32), jnp.int32(0))
        action = int(rng.integers(2))
        following, timestep = step(state, action)
        observation, reward, terminated, _, _ = judge.step(action)
        np.testing.assert_allclose(timestep.observation, observation, atol=2e-6)
        assert float(timestep.reward) == reward == 1.0
        assert bool(timestep.is_last()) == terminated
        assert float(timestep.discount) == 1.0 - terminated
        assert int(following.time) == 1
        num_ended += terminated
    assert 20 < num_ended < 380


def test_a_whole_episode_is_that_of_gymnasium():
    judge = gymnasium.make("CartPole-v1").unwrapped
    environment = CartPole()
    state, timestep = jax.jit(environment.reset)(jax.random.PRNGKey(3))
    step = jax.jit(environment.step)
    judge.reset(seed=0)
    judge.state = np.asarray(state.physics, np.float64)
    ended = False
    for time in range(500):  # A pole that is pushed against its fall, for a while.
        action = int(timestep.observation[2] + 0.2 * timestep.observation[3] > 0)
        action = action if time < 60 else 1
        state, timestep = step(state, action)
        observation, _, ended, _, _ = judge.step(action)
        np.testing.assert_allclose(timestep.observation, observation, atol=1e-4)
        assert bool(timestep.is_last()) == ended
        if ended:
            break
    assert ended and 60 < time < 90


def test_starts_are_drawn_near_upright():
    physics = jax.vmap(CartPole().reset)(jax.random.split(jax.random.PRNGKey(0), 2000))[1]
    starts = np.asarray(physics.observation)
    assert np.abs(starts).max() <= 0.05
    # Uniform: a mean of 0 and a deviation of 0.1 / root(12), within five standard errors.
    np.testing.assert_allclose(starts.mean(0), 0.0, atol=5 * 0.0289 / 2000**0.5)
    np.testing.assert_allclose(starts.std(0), 0.1 / 12**0.5, rtol=0.06)


def test_the_clock_truncates():
    environment = CartPole(max_num_steps=2)
    state, _ = environment.reset(jax.random.PRNGKey(0))
    state, first = environment.step(state, 0)
    _, second = environment.step(state, 1)
    assert not first.is_last() and second.is_last()
    assert float(second.discount) == 1.0
    assert CartPole().max_num_steps == gymnasium.spec("CartPole-v1").max_episode_steps
