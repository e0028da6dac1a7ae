"""What enters a memory core, and a burn-in beside the whole unroll."""

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
from dm_env import specs
from toys import CountingTask, make_agent

from tolman.agents.agent import Unroll
from tolman.agents.recurrent import make_recurrent_network
from tolman.agents.settings import InputSettings
from tolman.envs.environment import FIRST, MID, TimeStep


class Echo(hk.Module):
    """Gives back what it gets."""

    def initial_state(self, batch_size):
        return jnp.zeros((batch_size, 0))

    def __call__(self, x, reset, state):
        return x, state

    def unroll(self, x, reset, state):
        return x, state


def test_a_core_gets_what_is_seen_was_done_and_was_paid():
    network = make_recurrent_network(
        InputSettings(torso="flat"), specs.Array((2,), np.float32),
        specs.DiscreteArray(3), Echo, lambda: lambda features: features.core,
    )  # fmt: skip
    params = network.init(jax.random.PRNGKey(0))
    state = network.initial_state(2)._replace(previous_action=jnp.array([2, 1]))
    seen = TimeStep(
        jnp.array([FIRST, MID]),
        jnp.array([0.0, 7.0]),
        jnp.ones(2),
        jnp.array([[0.1, 0.2], [0.3, 0.4]]),
        jnp.array([True, False]),
    )
    output, _ = network.step(params, seen, state)
    expected = [[0.1, 0.2, 0, 0, 0, 0], [0.3, 0.4, 0, 1, 0, 7]]
    np.testing.assert_allclose(output, expected, rtol=1e-6)


def test_rows_after_a_burn_in_are_those_of_the_whole_unroll():
    """Where a task opens before, at and after its end."""
    agent = make_agent("actor_critic", CountingTask(), "lstm")
    params = jax.jit(agent.init)(jax.random.PRNGKey(0)).params
    rng, rows = np.random.default_rng(0), (11, 2)
    new_task = np.zeros(rows, bool)
    new_task[[1, 3, 7], [0, 1, 0]] = True
    unroll = Unroll(
        TimeStep(
            jnp.asarray(np.where(new_task, FIRST, MID), jnp.int32),
            jnp.asarray(rng.normal(size=rows), jnp.float32),
            jnp.ones(rows),
            jnp.asarray(rng.normal(size=(*rows, 2)), jnp.float32),
            jnp.asarray(new_task),
        ),
        jnp.asarray(rng.integers(0, 2, (10, 2)), jnp.int32),
        jnp.zeros((10, 2, 2)),
        agent.initial_actor_state(2),
    )
    whole = agent.network.unroll(params, unroll).policy
    for burn_in in (2, 3):
        rest = agent.network.unroll(params, unroll, burn_in=burn_in).policy
        np.testing.assert_allclose(rest, whole[burn_in:], atol=1e-6)
