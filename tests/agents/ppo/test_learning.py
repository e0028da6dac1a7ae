"""CartPole as shipped, and without its velocities: what a memory is for."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from dm_env import specs

from tolman.agents.ppo import PPO, PPOConfig
from tolman.envs.classic.cartpole import CartPole
from tolman.launchers.catalog.names import CORE, find, make_core
from tolman.launchers.device.on_device import OnDeviceRunner

SEEDS = 3


@dataclass(frozen=True)
class Positions(CartPole):
    """CartPole that shows where the cart and the pole are, and not how they move."""

    def reset(self, key):
        state, timestep = super().reset(key)
        return state, self._hide(timestep)

    def step(self, state, action):
        state, timestep = super().step(state, action)
        return state, self._hide(timestep)

    def _hide(self, timestep):
        return timestep._replace(observation=timestep.observation[jnp.array([0, 2])])

    def observation_spec(self):
        return specs.Array((2,), np.float32, "observation")


def _last_returns(environment, core, num_env_steps, num_rows):
    """Mean returns of the last rows of a run with the default settings, `[rows, seeds]`."""
    agent = PPO(
        PPOConfig(),
        environment.observation_spec(),
        environment.action_spec(),
        make_core(core, find(CORE, core).default_settings()),
    )
    runner = OnDeviceRunner(agent, environment, SEEDS, devices=jax.devices()[:1])
    total = runner.total_updates(num_env_steps)
    keys = jnp.stack([jax.random.PRNGKey(seed) for seed in range(SEEDS)])
    state, rows = runner.prepare(runner.init(keys), total), []
    for _ in range(10):
        state, metrics = runner.train(state, total // 10)
        rows.append(np.asarray(metrics["train/episode_return"]))
    return np.array(rows[-num_rows:])


@pytest.mark.slow
@pytest.mark.parametrize("core", ["feedforward", "lstm"])
def test_the_defaults_solve_cartpole(core):
    assert (_last_returns(CartPole(), core, 100_000, 3).mean(0) > 475.0).all()


@pytest.mark.slow
def test_only_a_memory_solves_cartpole_without_velocities():
    assert (_last_returns(Positions(), "lstm", 200_000, 3).mean(0) > 400.0).all()
    assert (_last_returns(Positions(), "feedforward", 200_000, 3) < 100.0).all()
