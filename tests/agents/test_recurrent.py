"""What enters a memory core, and a burn-in beside the whole unroll."""

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import pytest
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


@pytest.mark.parametrize(
    ("name", "settings"), [("actor_critic", {}), ("ppo", {"value_network": "own"})]
)
def test_rows_after_a_burn_in_are_those_of_the_whole_unroll(name, settings):
    """Where a task opens before, at and after its end."""
    agent = make_agent(name, CountingTask(), "lstm", **settings)
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
    whole = agent.network.unroll(params, unroll)
    for burn_in in (2, 3):
        rest = agent.network.unroll(params, unroll, burn_in=burn_in)
        np.testing.assert_allclose(rest.policy, whole.policy[burn_in:], atol=1e-6)
        np.testing.assert_allclose(rest.value, whole.value[burn_in:], atol=1e-6)


def test_a_value_of_its_own_is_computed_step_by_step_as_in_an_unroll():
    agent = make_agent("ppo", CountingTask(), "lstm", value_network="own")
    params = jax.jit(agent.init)(jax.random.PRNGKey(0)).params
    params = jax.tree.map(lambda leaf: leaf * 3.0, params)
    rng, state = np.random.default_rng(0), agent.initial_actor_state(2)
    new_task = jnp.zeros((4, 2), bool).at[2, 0].set(True)
    rows = TimeStep(
        jnp.full((4, 2), MID),
        jnp.zeros((4, 2)),
        jnp.ones((4, 2)),
        jnp.asarray(rng.normal(size=(4, 2, 2)), jnp.float32),
        new_task,
    )
    unroll = Unroll(rows, jnp.zeros((3, 2), jnp.int32), jnp.zeros((3, 2, 2)), state)
    whole = agent.network.unroll(params, unroll)
    for row in range(4):
        timestep = jax.tree.map(lambda leaf, row=row: leaf[row], rows)
        output, core = agent.network.step(params, timestep, state)
        state = state._replace(core=core)
        np.testing.assert_allclose(output.value, whole.value[row], atol=1e-6)
        np.testing.assert_allclose(output.policy, whole.policy[row], atol=1e-6)
