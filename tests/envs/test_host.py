"""The on-device environment stepped from the host, against the same on the device."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from toys import CountingTask, make_agent

from tolman.envs import vector
from tolman.envs.environment import TimeStep
from tolman.envs.host import OnDeviceVector
from tolman.envs.meta_rl import TwoStep
from tolman.launchers.catalog.environments import find_environments
from tolman.launchers.device.on_device import OnDeviceRunner

NUM_ENVS, NUM_STEPS = 3, 20


@pytest.mark.parametrize("environment", [TwoStep(2), CountingTask(3, 2)], ids=repr)
def test_trajectory_is_that_of_the_device_bit_for_bit(environment):
    keys = jax.random.split(jax.random.PRNGKey(5), NUM_ENVS)
    actions = np.random.default_rng(0).integers(2, size=(NUM_STEPS, NUM_ENVS))
    actions = actions.astype(np.int32)

    @jax.jit
    def play(keys, actions):
        state, first = vector.reset(environment, keys)

        def step(state, action):
            return vector.step(environment, state, action)

        return first, lax.scan(step, state, actions)[1]

    first, rest = play(keys, jnp.asarray(actions))
    host = OnDeviceVector(environment, keys)
    rows = [host.reset(), *(host.step(action) for action in actions)]
    assert any(row.is_last().any() for row in rows)
    for time, row in enumerate(rows):
        wanted = (
            first if time == 0 else jax.tree.map(lambda leaf, t=time: leaf[t - 1], rest)
        )
        for got, leaf in zip(jax.tree.leaves(row), jax.tree.leaves(wanted), strict=True):
            assert isinstance(got, np.ndarray)
            assert got.tobytes() == np.asarray(leaf).tobytes()
            assert got.dtype == leaf.dtype


def test_reset_draws_on():
    host = OnDeviceVector(TwoStep(2), jax.random.split(jax.random.PRNGKey(0), 64))
    with pytest.raises(ValueError, match="step before reset"):
        host.step(np.zeros(64))
    first = [host.reset(), host.step(np.zeros(64)), host.step(np.zeros(64))]
    second = [host.reset(), host.step(np.zeros(64)), host.step(np.zeros(64))]
    assert (second[0].step_type == 0).all()
    assert any(
        (one.observation != other.observation).any()
        for one, other in zip(first, second, strict=True)
    )


def test_keys_are_those_of_the_on_device_runner():
    environment = CountingTask(3, 2)
    agent = make_agent("actor_critic", environment, "feedforward", batch_size=4)
    state = OnDeviceRunner(agent, environment).init(jax.random.PRNGKey(9)[None])
    host = find_environments("toys:CountingTask", environment).make_vector(9, 4)
    assert host.reset().new_task.all()
    actions = np.array([0, 1, 1, 0], np.int32)
    wanted = vector.step(environment, state.environment, actions)[1]
    got = host.step(actions)
    assert isinstance(got, TimeStep)
    np.testing.assert_array_equal(got.reward, wanted.reward)
