"""An auxiliary task reads what the core tells of each step."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from dm_env import StepType
from toys import CountingTask, make_agent

from tolman.agents.actor_critic import AuxiliaryTask
from tolman.agents.agent import Unroll
from tolman.envs.environment import TimeStep


def test_ponder_cost_of_memo_is_charged_at_every_decision():
    ponder = AuxiliaryTask(
        name="ponder",
        cost=0.5,
        head=lambda features: features.diagnostics["expected_hops"],
        loss=lambda hops, unroll: hops[:-1],
    )
    agents = [
        make_agent("actor_critic", CountingTask(), "memo", tasks=tasks)
        for tasks in ([], [ponder])
    ]
    num_steps, batch = agents[0].data.unroll_length, agents[0].data.batch_size
    rng = np.random.default_rng(0)
    shape = (num_steps + 1, batch)
    timestep = TimeStep(
        step_type=jnp.full(shape, int(StepType.MID)),
        reward=rng.normal(size=shape).astype(np.float32),
        discount=jnp.ones(shape),
        observation=rng.normal(size=(*shape, 2)).astype(np.float32),
        new_task=jnp.zeros(shape, bool),
    )
    logits = jnp.zeros((num_steps, batch, 2))
    action = jnp.zeros((num_steps, batch), jnp.int32)
    state = agents[0].initial_actor_state(batch)
    learner = jax.jit(agents[0].init)(jax.random.PRNGKey(0))
    arguments = learner.params, Unroll(timestep, action, logits, state)
    arguments = *arguments, learner.hyperparameters, jnp.float32(0.0)
    (plain, *_), (charged, metrics, _) = (
        jax.jit(agent.loss)(*arguments) for agent in agents
    )
    hops = float(metrics["loss/ponder"])
    assert 1.0 < hops < 4.0
    assert float(charged - plain) == pytest.approx(0.5 * hops * num_steps, rel=1e-4)
