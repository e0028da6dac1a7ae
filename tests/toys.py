"""Small environments and agents for tests."""

import functools
from dataclasses import dataclass, replace
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from dm_env import specs

from tolman.envs.environment import restart, transition
from tolman.launchers.catalog.names import AGENT, CORE, find, make_core


def make_agent(name, environment, core_name, tasks=(), **settings):
    """A small agent, by its registered name, with the named core at its default size."""
    settings = {"unroll_length": 10, "batch_size": 2, **settings}
    agent = find(AGENT, name)
    if hasattr(agent.default_settings(), "num_minibatches"):
        settings = {"num_minibatches": 1, **settings}
    return agent.thing(
        replace(agent.default_settings(), **settings),
        environment.observation_spec(),
        environment.action_spec(),
        make_core(core_name, find(CORE, core_name).default_settings()),
        *([tasks] if tasks else []),
    )


@functools.cache
def compiled(function, *static):
    """One program of a function for all its callers; `static` are the places of constants.

    Without it, every operation is compiled alone, and `jax.jit` traces a method anew at
    each use.
    """
    return jax.jit(function, static_argnums=static)


class CountingState(NamedTuple):
    key: jax.Array
    time: jax.Array
    episode: jax.Array


@dataclass(frozen=True)
class CountingTask:
    """A task spans several episodes, which end by truncation; rewards are random."""

    episode_length: int = 3
    episodes_per_task: int = 2

    def reset(self, key):
        return self._start(key, jnp.int32(0))

    def next_episode(self, state, key):
        return self._start(key, (state.episode + 1) % self.episodes_per_task)

    def _start(self, key, episode):
        state = CountingState(key, jnp.int32(0), episode)
        return state, restart(self._observe(state), new_task=episode == 0)

    def step(self, state, action):
        key, reward_key = jax.random.split(state.key)
        state = CountingState(key, state.time + 1, state.episode)
        reward = jax.random.normal(reward_key) + action
        ends = state.time == self.episode_length
        return state, transition(reward, self._observe(state), False, ends)

    def _observe(self, state):
        return jnp.stack([state.time, state.episode]).astype(jnp.float32)

    def observation_spec(self):
        return specs.Array((2,), np.float32, "observation")

    def action_spec(self):
        return specs.DiscreteArray(2)
