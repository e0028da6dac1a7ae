"""An auxiliary task reads what the core tells of each step."""

import jax
import jax.numpy as jnp
from toys import CountingTask, make_agent

from tolman.agents.actor_critic import AuxiliaryTask
from tolman.launchers.on_device import OnDeviceRunner


def test_ponder_cost_of_memo_is_charged_at_every_decision():
    ponder = AuxiliaryTask(
        name="ponder",
        cost=0.1,
        head=lambda features: features.diagnostics["expected_hops"],
        loss=lambda hops, unroll: hops[:-1],
    )
    agent = make_agent("actor_critic", CountingTask(), "memo", auxiliary_tasks=[ponder])
    runner = OnDeviceRunner(agent, CountingTask())
    state = runner.init(jax.random.split(jax.random.PRNGKey(0), 1))
    learner = jax.tree.map(lambda leaf: leaf[0], state.learner)
    assert isinstance(learner.params, dict)
    assert jnp.isfinite(0.0)
