"""What a memory is for in POPGym's tasks: chance is -0.5 where suits are to be named."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tolman.agents.ppo import PPO, PPOConfig
from tolman.launchers.catalog.names import CORE, ENV, find, make_core
from tolman.launchers.device.on_device import OnDeviceRunner

SEEDS = 3


def last_returns(task, core, num_env_steps, **settings):
    """Mean returns of the last tenth of a run with the default settings, `[seeds]`."""
    environment = find(ENV, task).thing()
    agent = PPO(
        replace(PPOConfig(), **settings),
        environment.observation_spec(),
        environment.action_spec(),
        make_core(core, find(CORE, core).default_settings()),
    )
    runner = OnDeviceRunner(agent, environment, SEEDS, devices=jax.devices()[:1])
    total = runner.total_updates(num_env_steps)
    keys = jnp.stack([jax.random.PRNGKey(seed) for seed in range(SEEDS)])
    state = runner.prepare(runner.init(keys), total)
    state, _ = runner.train(state, total - total // 10)
    return np.asarray(runner.train(state, total // 10)[1]["train/episode_return"])


@pytest.mark.slow
def test_only_a_memory_repeats_the_first_suit():
    assert (last_returns("popgym/repeat_first/easy", "gru", 200_000) > 0.85).all()
    alone = last_returns("popgym/repeat_first/easy", "feedforward", 200_000)
    assert (alone < -0.45).all()


@pytest.mark.slow
def test_the_last_action_is_no_memory_of_earlier_suits():
    """Nothing in a row tells the suit of three cards before, nor does an action do."""
    settings = {"use_previous_action": True}
    alone = last_returns("popgym/repeat_previous/easy", "feedforward", 200_000, **settings)
    assert (alone < -0.4).all()
