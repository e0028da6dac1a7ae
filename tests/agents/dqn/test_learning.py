"""Double DQN learns toys to their optimum with a tiny replay; its broken twins do not."""

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from dm_env import specs
from toys import make_agent

from tolman.agents.agent import Unroll, draw_noise
from tolman.agents.dqn import with_epsilon
from tolman.envs import vector
from tolman.envs.environment import restart, transition

KEY = jax.random.PRNGKey(0)  # The update draws nothing.
NUM_ENVS, NUM_SEQUENCES = 16, 1024
NUM_ROUNDS, UPDATES_PER_ROUND = 150, 4


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


class Replay:
    """The latest sequences in NumPy, drawn in proportion to a power of their priority."""

    def __init__(self, agent):
        self._data, self._rows = agent.data, None
        self._priority = np.zeros(NUM_SEQUENCES)
        self._inserted, self._rng = 0, np.random.default_rng(0)

    def insert(self, unroll):
        if self._rows is None:
            self._rows = [
                np.zeros((NUM_SEQUENCES, *x.shape[1:]), x.dtype)
                for x in self._by_sequence(unroll)
            ]
        places = (self._inserted + np.arange(NUM_ENVS)) % NUM_SEQUENCES
        for row, leaf in zip(self._rows, self._by_sequence(unroll), strict=True):
            row[places] = leaf
        self._priority[places] = self._priority.max() or 1.0
        self._inserted += NUM_ENVS

    def sample(self, like):
        share = self._priority**self._data.priority_exponent
        share /= share.sum()
        places = self._rng.choice(NUM_SEQUENCES, self._data.batch_size, p=share)
        leaves = [row[places] for row in self._rows]
        actor_state = jax.tree.leaves(like.actor_state)
        in_time = len(leaves) - len(actor_state)
        leaves[:in_time] = [np.moveaxis(leaf, 0, 1) for leaf in leaves[:in_time]]
        unroll = jax.tree.unflatten(jax.tree.structure(like), leaves)
        return places, unroll._replace(probability=share[places].astype(np.float32))

    def set_priorities(self, places, priorities):
        self._priority[places] = priorities

    def _by_sequence(self, unroll):
        """Leaves `[B, T, ...]`, those of the actor state `[B, ...]`."""
        parts = unroll._replace(actor_state=None)
        in_time = [np.moveaxis(np.asarray(x), 1, 0) for x in jax.tree.leaves(parts)]
        return [*in_time, *map(np.asarray, jax.tree.leaves(unroll.actor_state))]


def _collect(agent, environment, length, params, carry):
    """`length` decisions of every environment: the unroll, and where to go on."""

    def one(carry, _):
        key, env_state, timestep, actor_state = carry
        key, act_key = jax.random.split(key)
        noise = draw_noise(agent, act_key, NUM_ENVS)
        decision, actor_state = agent.act(params, noise, timestep, actor_state)
        env_state, following = vector.step(environment, env_state, decision.action)
        return (key, env_state, following, actor_state), (following, *decision)

    opening, actor_state = carry[2], carry[3]
    carry, (following, action, logits) = jax.lax.scan(one, carry, None, length)
    rows = jax.tree.map(lambda a, b: jnp.concatenate([a[None], b]), opening, following)
    return Unroll(rows, action, logits, actor_state), carry


def _start(agent, environment, seed):
    key, env_key = jax.random.split(jax.random.PRNGKey(seed))
    started = vector.reset(environment, jax.random.split(env_key, NUM_ENVS))
    return key, *started, agent.initial_actor_state(NUM_ENVS)


def _train(agent, environment, seed=0):
    """Acts and learns in turns; returns the parameters."""
    collect = jax.jit(partial(_collect, agent, environment, agent.data.unroll_length))
    learner = jax.jit(agent.init)(jax.random.PRNGKey(seed))
    carry = _start(agent, environment, seed)
    replay, update = Replay(agent), jax.jit(agent.update)
    for _ in range(NUM_SEQUENCES // NUM_ENVS):
        unroll, carry = collect(learner.params, carry)
        replay.insert(unroll)
    for step in range(NUM_ROUNDS):
        unroll, carry = collect(learner.params, carry)
        replay.insert(unroll)
        for _ in range(UPDATES_PER_ROUND):
            places, batch = replay.sample(unroll)
            learned = update(learner, batch, KEY, jnp.float32(step / NUM_ROUNDS))
            learner = learned.learner_state
            replay.set_priorities(places, learned.priorities)
    return learner.params


def _reward_per_episode(agent, environment, params):
    collect = jax.jit(partial(_collect, agent, environment, 200))
    unroll, _ = collect(params, _start(agent, environment, seed=99))
    ended = unroll.timestep.is_last().sum()
    return float(unroll.timestep.reward.sum() / ended)


SETTINGS = {
    "batch_size": 32,
    "learning_rate": 3e-3,
    "target_update_period": 20,
    "exploration_share": 0.5,
    "final_epsilon": 0.05,
    "discount": 0.9,
    "torso_size": 32,
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
