"""POPGym's bandits by hand."""

import jax
import numpy as np
from popgym_rows import play

from tolman.envs.popgym.bandit import MultiarmedBandit, MultiarmedBanditState


def test_an_arm_hits_where_its_chance_is_above_the_luck_of_the_step():
    state = MultiarmedBanditState(
        chances=np.array([0.2, 0.7], np.float32),
        luck=np.array([0.1, 0.3, 0.3, 0.7], np.float32),
        time=np.int32(0),
    )
    environment = MultiarmedBandit(num_arms=2, max_num_steps=4)
    _, seen, reward, ends, discount = play(environment, state, [0, 0, 1, 1])
    assert seen.tolist() == [1, 0, 1, 0]
    assert reward.tolist() == [0.25, -0.25, 0.25, -0.25]
    assert ends.tolist() == [False, False, False, True]
    assert discount.tolist() == [1.0] * 4  # The clock cuts; nothing was over.


def test_chances_and_luck_are_uniform_and_independent():
    reset = jax.vmap(MultiarmedBandit().reset)
    state = jax.device_get(reset(jax.random.split(jax.random.PRNGKey(0), 4000))[0])
    assert state.chances.shape == (4000, 10) and state.luck.shape == (4000, 200)
    for numbers in (state.chances, state.luck[:, :10]):
        np.testing.assert_allclose(numbers.mean(0), 0.5, atol=4.5 * 0.289 / 4000**0.5)
        np.testing.assert_allclose(numbers.std(0), 12**-0.5, rtol=0.05)
    together = np.corrcoef(state.chances[:, 0], state.luck[:, 0])[0, 1]
    assert abs(together) < 4.5 / 4000**0.5
