"""Every core's speed of acting and of learning, as ratios to an LSTM of equal size."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from tolman.agents.actor_critic import ActorCritic
from tolman.agents.agent import draw_noise
from tolman.envs import vector
from tolman.envs.environment import Environment
from tolman.launchers.catalog.names import CORE, registered
from tolman.launchers.measuring.core_speed import measure
from tolman.launchers.measuring.core_tasks import Player, Task, make_player, t_maze
from tolman.launchers.measuring.turns import take_turns

LENGTH = 30  # Of the T-maze, and so of unrolls, windows and stores: 32, 30, 30.
# In steps since the task opened, as multiples of gtrxl's window.
POSITIONS = (0.0, 0.5, 1.0, 4.0)
NUM_STEPS = 8  # Taken from each position, over and over.


def run() -> list[dict[str, Any]]:
    """One row a core, then one row for each position in the episode at which gtrxl steps.

    All networks have about the parameters of that with `lstm`, as in the study
    `cores/recall`, whose agents on the T-maze these are.
    """
    task = t_maze(LENGTH, num_env_steps=0)
    players = {core: make_player(task, core) for core in sorted(registered(CORE))}
    return [*measure(players, task), *measure_positions(players["gtrxl"], task)]


def measure_positions(player: Player, task: Task) -> list[dict[str, Any]]:
    """What a step costs at several positions in an episode.

    Args:
      player: with a core that has a `memory_length`.
      task: whose observations it takes.
    """
    window = player.config.memory_length
    positions = [round(share * window) for share in POSITIONS]
    parts = {
        str(position): stepping_from(
            player.agent,
            task.environment,
            memory_after(player.agent, task.environment, position),
        )
        for position in positions
    }
    seconds = take_turns(parts, least=20)
    return [
        {
            "core": "gtrxl",
            "window": window,
            "position": position,
            "microseconds a step": round(1e6 * seconds[str(position)] / NUM_STEPS, 1),
            "ratio to the first": round(seconds[str(position)] / seconds["0"], 3),
        }
        for position in positions
    ]


def memory_after(agent: ActorCritic, environment: Environment, num_steps: int) -> Any:
    """The actors' state after so many steps of one task."""
    params, timestep, noise = _inputs(agent, environment)

    @jax.jit
    def walk(actor_state: Any, num_steps: Any) -> Any:
        def step(_: Any, actor_state: Any) -> Any:
            return agent.act(params, noise, timestep, actor_state)[1]

        return lax.fori_loop(0, num_steps, step, actor_state)

    return walk(agent.initial_actor_state(agent.data.batch_size), num_steps)


def stepping_from(
    agent: ActorCritic, environment: Environment, actor_state: Any
) -> Callable[[int], None]:
    """Takes `NUM_STEPS` steps from the same memory, over and over."""
    params, timestep, noise = _inputs(agent, environment)

    @jax.jit
    def repeat(actor_state: Any, count: Any) -> Any:
        def step(_: Any, carry: Any) -> Any:
            total, actor_state = carry
            # Too small to change a thing, but nothing is computed once for all repetitions.
            seen = timestep._replace(observation=timestep.observation + 1e-30 * total)
            decision, actor_state = agent.act(params, noise, seen, actor_state)
            return total + decision.policy.sum(), actor_state

        def body(_: Any, total: Any) -> Any:
            total, last = lax.fori_loop(0, NUM_STEPS, step, (total, actor_state))
            # What the last step stored is read too, so that all of it is computed.
            return total + sum(leaf.sum() for leaf in jax.tree.leaves(last.core))

        return lax.fori_loop(0, count, body, jnp.float32(0.0))

    return lambda count: jax.block_until_ready(repeat(actor_state, count))


def _inputs(agent: ActorCritic, environment: Environment) -> tuple[Any, Any, Any]:
    """Parameters, time steps that open no task, and the noise of one decision."""
    batch_size = agent.data.batch_size
    keys = jax.random.split(jax.random.PRNGKey(2), batch_size)
    _, opening = vector.reset(environment, keys)
    timestep = opening._replace(new_task=jnp.zeros(batch_size, bool))
    params = jax.jit(agent.init)(jax.random.PRNGKey(0)).params
    return params, timestep, draw_noise(agent, jax.random.PRNGKey(3), batch_size)
