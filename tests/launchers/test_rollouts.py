"""What random actions return, on a task whose returns are known."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from dm_env import specs

from tolman.envs.environment import restart, transition
from tolman.launchers.measuring.rollouts import random_returns


class State(NamedTuple):
    time: jax.Array
    length: jax.Array


class Coins:
    """Pays 1 for action 2 of 1 to 3; episodes last one to four steps, each as likely."""

    def observation_spec(self):
        return specs.Array((), np.float32)

    def action_spec(self):
        return specs.BoundedArray((), np.int32, 1, 3)

    def reset(self, key):
        return State(jnp.int32(0), jax.random.randint(key, (), 1, 5)), restart(
            jnp.zeros(())
        )

    def step(self, state, action):
        time = state.time + 1
        reward = jnp.where(action == 2, 1.0, 0.0)
        is_over = time == state.length
        return State(time, state.length), transition(
            reward, jnp.zeros(()), is_over, jnp.bool_(False)
        )


def test_returns_are_of_the_first_episode_of_each_copy():
    returns = random_returns(Coins(), jax.random.PRNGKey(0), 20_000)
    assert returns.shape == (20_000,)
    # With n heads wanted of a length drawn from 1 to 4: sums over lengths of the binomial.
    shares = np.zeros(5)
    for length in range(1, 5):
        row = np.array([1.0])
        for _ in range(length):
            row = np.convolve(row, [2 / 3, 1 / 3])
        shares[: length + 1] += row / 4
    found = np.bincount(returns.astype(int), minlength=5) / 20_000
    np.testing.assert_allclose(found, shares, atol=4 * np.sqrt(0.25 / 20_000))
    again = random_returns(Coins(), jax.random.PRNGKey(0), 20_000)
    np.testing.assert_array_equal(again, returns)
