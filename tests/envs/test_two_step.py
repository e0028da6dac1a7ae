"""The two-step task's transitions and rewards, against their probabilities."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tolman.envs.meta_rl import TwoStep

NUM_COPIES = 2000
SIGMAS = 4.5


@pytest.fixture(scope="module")
def played():
    """Actions `[T, N]`, FIRST, and states before and after each step, and time steps."""
    environment = TwoStep(num_trials=4)
    actions = np.random.default_rng(2).integers(
        2, size=(2 * environment.num_trials, NUM_COPIES)
    )

    def run(keys, actions):
        state, first = jax.vmap(environment.reset)(keys)

        def step(state, action):
            after, timestep = jax.vmap(environment.step)(state, action)
            return after, (state, after, timestep)

        return first, jax.lax.scan(step, state, actions)[1]

    keys = jax.random.split(jax.random.PRNGKey(0), NUM_COPIES)
    result = jax.jit(run)(keys, jnp.asarray(actions, jnp.int32))
    return actions, *jax.tree.map(np.asarray, result)


def assert_frequency(events, probability):
    bound = SIGMAS * np.sqrt(probability * (1 - probability) / events.size)
    assert abs(events.mean() - probability) < bound


def test_transitions_and_rewards(played):
    actions, first, (before, after, timesteps) = played
    np.testing.assert_array_equal(first.observation, [[1, 0, 0, 0]] * NUM_COPIES)
    assert (before.position[0::2] == 0).all()
    assert (before.position[1::2] > 0).all()

    reached, chosen = after.position[0::2], actions[0::2]
    assert_frequency(reached[chosen == 0] == 1, 0.75)
    assert_frequency(reached[chosen == 1] == 2, 0.75)
    assert not timesteps.reward[0::2].any()

    is_good = before.position[1::2] == before.good_state[1::2]
    assert_frequency(timesteps.reward[1::2][is_good], 0.9)
    assert_frequency(timesteps.reward[1::2][~is_good], 0.1)
    assert_frequency(before.good_state[0] == 1, 0.5)
    assert (before.good_state == before.good_state[0]).all()


def test_the_state_tells_the_transition(played):
    actions, _, (_, after, _) = played
    is_common = after.position[0::2] == actions[0::2] + 1
    np.testing.assert_array_equal(after.is_common[0::2], is_common)
    # It stands through the paid step, when the trial is over.
    np.testing.assert_array_equal(after.is_common[1::2], is_common)


def test_observation_is_one_hot_position_and_clock(played):
    _, _, (_, after, timesteps) = played
    expected = np.concatenate(
        [np.eye(3)[after.position], np.full((8, NUM_COPIES, 1), 0.0)], axis=-1
    )
    expected[..., 3] = np.arange(1, 9)[:, None] / 8
    np.testing.assert_allclose(timesteps.observation, expected)
    assert timesteps.observation.dtype == np.float32
