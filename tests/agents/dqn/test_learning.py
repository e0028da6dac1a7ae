"""Double DQN learns toys to their optimum on-device; its broken twins do not."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from dm_env import specs
from toys import make_agent

from tolman.agents.dqn import with_epsilon
from tolman.envs.environment import restart, transition
from tolman.launchers.device.episodes import play_episodes
from tolman.launchers.device.on_device import OnDeviceRunner

NUM_ENVS, NUM_UPDATES, NUM_EPISODES = 16, 600, 200


@dataclass(frozen=True)
class Chain:
    """Five places in a row: 0.2 for leaving by the left end, 1 by the right.

    From the left end, where an episode starts, the optimum of discount 0.9 is to walk
    right: 0.9^4 = 0.66 against 0.2. Walking and turning for ever is cut after 20 steps.
    """

    def reset(self, key):
        return (jnp.int32(0), jnp.int32(0)), restart(self._observe(jnp.int32(0)))

    def step(self, state, action):
        place, time = state[0] + 2 * action - 1, state[1] + 1
        reward = jnp.where(place < 0, 0.2, jnp.where(place > 4, 1.0, 0.0))
        leaves = (place < 0) | (place > 4)
        place = jnp.clip(place, 0, 4)
        following = transition(reward, self._observe(place), leaves, time >= 20)
        return (place, time), following

    def _observe(self, place):
        return jax.nn.one_hot(place, 5)

    def observation_spec(self):
        return specs.Array((5,), np.float32, "place")

    def action_spec(self):
        return specs.DiscreteArray(2)


@dataclass(frozen=True)
class Recall:
    """A cue of two is shown at the start alone; after three blanks, name it."""

    def reset(self, key):
        cue = jax.random.bernoulli(key).astype(jnp.int32)
        return (cue, jnp.int32(0)), restart(jax.nn.one_hot(cue, 2))

    def step(self, state, action):
        cue, time = state[0], state[1] + 1
        ends = time == 4
        reward = jnp.where(ends, jnp.where(action == cue, 1.0, -1.0), 0.0)
        return (cue, time), transition(reward, jnp.zeros(2), ends)

    def observation_spec(self):
        return specs.Array((2,), np.float32, "cue")

    def action_spec(self):
        return specs.DiscreteArray(2)


def _train(agent, environment, seed=0):
    """Acts and learns in turns; returns the parameters."""
    runner = OnDeviceRunner(agent, environment, num_envs=NUM_ENVS)
    state = runner.init(jax.random.PRNGKey(seed)[None])
    state, _ = runner.train(runner.prepare(state, NUM_UPDATES), NUM_UPDATES)
    return jax.tree.map(lambda leaf: leaf[0], state.learner.params)


def _reward_per_episode(agent, environment, params):
    params = jax.tree.map(lambda leaf: leaf[None], params)
    key = jax.random.PRNGKey(99)
    played = play_episodes(agent, environment, params, key, NUM_EPISODES, chunk_length=20)
    return float(played.episode_return.mean())


SETTINGS = {
    "batch_size": 32,
    "learning_rate": 3e-3,
    "target_update_period": 20,
    "exploration_share": 0.5,
    "final_epsilon": 0.05,
    "discount": 0.9,
    "torso_size": 32,
    "capacity": 1024,
    "min_size": 1024,
}


def _chain(**settings):
    """What the agent earns on the chain as trained, and greedily."""
    settings = {**SETTINGS, "unroll_length": 1, "n_step": 1, **settings}
    agent = make_agent("dqn", Chain(), "feedforward", **settings)
    params = _train(agent, Chain())
    return [
        _reward_per_episode(agent, Chain(), p) for p in (params, with_epsilon(params, 0.0))
    ]


def test_chain_is_walked_to_its_end():
    trained, greedy = _chain()
    assert trained > 0.9 and greedy == pytest.approx(1.0)


def test_broken_twins_fail_on_the_chain():
    """A target that is never renewed sees one step ahead; epsilon 1 never uses a value."""
    _, greedy = _chain(target_update_period=10**6)
    trained, _ = _chain(final_epsilon=1.0)
    assert greedy < 0.5 and trained < 0.6


def test_memory_recalls_the_cue_and_its_control_does_not():
    """Sequences with burn-in; without a memory the answer is a guess."""
    settings = {
        **SETTINGS,
        "unroll_length": 10,
        "burn_in": 3,
        "n_step": 2,
        "torso": "flat",
        "use_value_rescaling": True,
    }
    earned = {}
    for core in ("gru", "feedforward"):
        agent = make_agent("dqn", Recall(), core, **settings)
        params = with_epsilon(_train(agent, Recall()), 0.0)
        earned[core] = _reward_per_episode(agent, Recall(), params)
    assert earned["gru"] > 0.98 and abs(earned["feedforward"]) < 0.4
