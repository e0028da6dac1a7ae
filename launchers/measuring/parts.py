"""Training, and the parts of it that are timed alone."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import haiku as hk
import jax
import jax.numpy as jnp
from jax import lax

from tolman.agents.actor_critic import ActorCritic
from tolman.agents.agent import Agent, Unroll, draw_noise
from tolman.envs import vector
from tolman.envs.environment import MID, Environment, TimeStep
from tolman.networks.core import MemoryCore, split_inputs


def network_pass(agent: ActorCritic, environment: Environment) -> Callable[[int], None]:
    """Forward and backward over random rows, and nothing else."""
    length, batch_size = agent.data.unroll_length, agent.data.batch_size
    keys = jax.random.split(jax.random.PRNGKey(1), 3)
    rows = (length + 1, batch_size)
    num_actions = environment.action_spec().num_values

    def observe(spec: Any) -> Any:
        values = jax.random.normal(keys[1], (*rows, *spec.shape))
        return values.astype(spec.dtype)

    unroll = Unroll(
        timestep=TimeStep(
            step_type=jnp.full(rows, MID),
            reward=jax.random.normal(keys[0], rows),
            discount=jnp.ones(rows),
            observation=jax.tree.map(observe, environment.observation_spec()),
            new_task=jnp.zeros(rows, bool),
        ),
        action=jax.random.randint(keys[2], (length, batch_size), 0, num_actions),
        policy=jnp.zeros((length, batch_size, num_actions)),
        actor_state=agent.initial_actor_state(batch_size),
    )

    def outputs(params: Any, unroll: Unroll) -> Any:
        output = agent.network.unroll(params, unroll)
        return jnp.square(output.policy).mean() + jnp.square(output.value).mean()

    return _gradients(outputs, jax.jit(agent.init)(jax.random.PRNGKey(0)).params, unroll)


def core_pass(
    make_core: Callable[[], MemoryCore], num_features: int, length: int, batch_size: int
) -> Callable[[int], None]:
    """Forward and backward of a core's unroll over random rows, and nothing else.

    Gradients are those of parameters and of inputs, as below a torso.

    Args:
      make_core: builds the core; called inside a Haiku transform.
      num_features: D of its input.
      length: T of the unroll.
      batch_size: B.
    """

    def unroll(x: Any, reset: Any) -> Any:
        core = make_core()
        state = core.initial_state(batch_size)
        return core.unroll(split_inputs(core, x), reset, state)[0]

    network: Any = hk.without_apply_rng(hk.transform(unroll))
    x = jax.random.normal(jax.random.PRNGKey(1), (length, batch_size, num_features))
    reset = jnp.zeros((length, batch_size), bool)
    params = jax.jit(network.init)(jax.random.PRNGKey(0), x[:1], reset[:1])

    def outputs(params_and_x: Any, reset: Any) -> Any:
        return jnp.square(network.apply(params_and_x[0], params_and_x[1], reset)).mean()

    return _gradients(outputs, (params, x), reset)


def _gradients(
    outputs: Callable[[Any, Any], Any], params: Any, rows: Any
) -> Callable[[int], None]:
    """The gradient of a number by `params`, over and over."""

    @jax.jit
    def passes(params: Any, rows: Any, count: Any) -> Any:
        def body(_: Any, params: Any) -> Any:
            # The tiny step keeps the passes from being computed once for all.
            gradients = jax.grad(outputs)(params, rows)
            return jax.tree.map(lambda p, g: p - 1e-9 * g, params, gradients)

        return lax.fori_loop(0, count, body, params)

    return lambda count: jax.block_until_ready(passes(params, rows, count))


def updating(agent: Agent, batch: Unroll) -> Callable[[int], None]:
    """One batch learned from again and again, and not a thing more."""

    @jax.jit
    def updates(learner: Any, batch: Unroll, count: Any) -> Any:
        def body(_: Any, learner: Any) -> Any:
            progress = jnp.float32(0.5)
            return agent.update(learner, batch, jax.random.PRNGKey(0), progress)[0]

        return lax.fori_loop(0, count, body, learner)

    learner = jax.jit(agent.init)(jax.random.PRNGKey(0))
    return lambda count: jax.block_until_ready(updates(learner, batch, count))


def acting(
    agent: Agent, environment: Environment, length: int, batch_size: int
) -> Callable[[int], None]:
    """Acting on rows of one kind: the network's steps and the draws of actions."""
    params = jax.jit(agent.init)(jax.random.PRNGKey(0)).params
    keys = jax.random.split(jax.random.PRNGKey(2), batch_size)
    _, timestep = jax.jit(partial(vector.reset, environment))(keys)

    @jax.jit
    def unrolls(params: Any, timestep: Any, count: Any) -> Any:
        def act(carry: Any, noise: Any) -> Any:
            actor_state, total = carry
            # Each row hangs on the decision before, and all of that is summed: else what
            # needs no memory would be computed once, or never.
            observation = jax.tree.map(
                lambda leaf: leaf + (0.0 * total).astype(leaf.dtype), timestep.observation
            )
            row = timestep._replace(observation=observation)
            decision, actor_state = agent.act(params, noise, row, actor_state)
            total = total + sum(leaf.sum() for leaf in jax.tree.leaves(decision))
            return (actor_state, total), None

        draw = partial(draw_noise, agent, batch_size=batch_size)

        def body(index: Any, carry: Any) -> Any:
            step_keys = jax.random.split(jax.random.PRNGKey(index), length)
            return lax.scan(act, carry, jax.vmap(draw)(step_keys))[0]

        carry = agent.initial_actor_state(batch_size), jnp.float32(0.0)
        return lax.fori_loop(0, count, body, carry)

    return lambda count: jax.block_until_ready(unrolls(params, timestep, count))


def training(runner: Any, state: Any) -> Callable[[int], None]:
    """The training loop of a runner that is prepared; takes so many updates.

    Args:
      runner: of any kind.
      state: of it.
    """

    def updates(count: int) -> None:
        nonlocal state
        state, _ = runner.train(state, count)
        jax.block_until_ready(state)

    return updates
