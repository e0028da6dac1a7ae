"""Plays whole episodes with frozen parameters: evaluation, and data for analyses.

Shapes: P members, E episodes a member, T decisions, N = P E environments.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from tolman.agents.agent import Agent, Array, Decision, Params, draw_noise
from tolman.envs import vector
from tolman.envs.environment import Environment, TimeStep
from tolman.launchers.device.acting import by_member, of_all_members

CHUNK_LENGTH = 128  # Decisions a dispatch; between two the host asks whether all are done.


class Trajectory(NamedTuple):
    """What happened, as host arrays; nothing after an episode's LAST counts.

    Attributes:
      timestep: a `TimeStep` of `[T + 1, P, E, ...]` rows.
      action: `[T, P, E, ...]`, a nest: the decision on rows 0 to T - 1.
      policy: `[T, P, E, ...]`, a nest: the parameters of the policy that took it.
      record: `[T + 1, P, E, ...]`, what `record` made of each row's environment state.
      episode_return: `[P, E]`.
      episode_length: `[P, E]` decisions.
    """

    timestep: Any
    action: Any
    policy: Any
    record: Any
    episode_return: np.ndarray
    episode_length: np.ndarray


def play_episodes(
    agent: Agent,
    environment: Environment,
    params: Params,
    key: Array,
    num_episodes: int,
    record: Callable[[Any], Any] | None = None,
    max_steps: int = 100_000,
    chunk_length: int = CHUNK_LENGTH,
) -> Trajectory:
    """Plays `num_episodes` episodes with every member, sampling from its policy.

    Every member meets the same tasks; memory starts empty in each episode and lives
    through it. Rows past an episode's end belong to the next one and are to be ignored:
    `episode_length` says where.

    Args:
      agent: whose `act` plays.
      environment: what is played.
      params: `[P, ...]`.
      key: `[2]`.
      num_episodes: E.
      record: maps one environment state to what an analysis needs of it; None records
        nothing. Pass the same function object again to reuse the compiled program.
      max_steps: decisions after which an unfinished episode is an error.
      chunk_length: decisions a dispatch; where all episodes have as many, that number.

    Raises:
      ValueError: if an episode is not over after `max_steps` decisions.
    """
    params = jax.device_get(params)
    carry, opening = _start(agent, environment, params, key, num_episodes, record)
    chunks = [jax.device_get(opening)]
    finished = np.zeros_like(chunks[0][0].is_last()[0])  # [P, E]
    decided: list[Decision] = []
    while not finished.all():
        if len(decided) * chunk_length >= max_steps:
            raise ValueError(
                f"{(~finished).sum()} of {finished.size} episodes are not over after "
                f"{max_steps} steps: raise max_steps, or give the environment an end."
            )
        carry, (rows, decisions) = _play_chunk(
            agent, environment, params, carry, num_episodes, record, chunk_length
        )
        chunks.append(jax.device_get(rows))
        decided.append(jax.device_get(decisions))
        finished |= chunks[-1][0].is_last().any(0)

    timestep, recorded = jax.tree.map(lambda *parts: np.concatenate(parts), *chunks)
    decision = jax.tree.map(lambda *parts: np.concatenate(parts), *decided)
    length = timestep.is_last().argmax(0)  # The first LAST is row `length`.
    counted = np.arange(len(timestep.reward))[:, None, None] <= length
    return Trajectory(
        timestep=timestep,
        action=decision.action,
        policy=decision.policy,
        record=recorded,
        episode_return=(timestep.reward * counted).sum(0),
        episode_length=length,
    )


@partial(jax.jit, static_argnums=(0, 1, 4, 5))
def _start(
    agent: Agent,
    environment: Environment,
    params: Params,
    key: Array,
    num_episodes: int,
    record: Any,
) -> Any:
    num_members = jax.tree.leaves(params)[0].shape[0]
    task_key, action_key = jax.random.split(key)
    task_keys = jnp.tile(jax.random.split(task_key, num_episodes), (num_members, 1))
    env_state, timestep = vector.reset(environment, task_keys)
    actor = jax.tree.map(
        lambda leaf: jnp.broadcast_to(leaf, (num_members, *leaf.shape)),
        agent.initial_actor_state(num_episodes),
    )
    rows = _rows(timestep, env_state, num_episodes, record)
    opening = jax.tree.map(lambda leaf: leaf[None], rows)
    return (actor, env_state, timestep, action_key), opening


@partial(jax.jit, static_argnums=(0, 1, 4, 5, 6), donate_argnums=3)
def _play_chunk(
    agent: Agent,
    environment: Environment,
    params: Params,
    carry: Any,
    num_episodes: int,
    record: Any,
    chunk_length: int,
) -> Any:
    num_members = jax.tree.leaves(params)[0].shape[0]

    def body(carry: Any, _: None) -> Any:
        actor, env_state, timestep, key = carry
        key, step_key = jax.random.split(key)
        seen = by_member(timestep, num_episodes, 0)  # [P, E, ...]
        keys = jax.random.split(step_key, num_members)
        noise = jax.vmap(partial(draw_noise, agent, batch_size=num_episodes))(keys)
        decision, actor = jax.vmap(agent.act)(params, noise, seen, actor)
        env_state, timestep = vector.step(
            environment, env_state, of_all_members(decision.action)
        )
        rows = _rows(timestep, env_state, num_episodes, record)
        return (actor, env_state, timestep, key), (rows, decision)

    return lax.scan(body, carry, None, length=chunk_length)


def _rows(
    timestep: TimeStep, env_state: vector.VectorState, num_episodes: int, record: Any
) -> Any:
    """One row of `[P, E, ...]`: the time step, and what is recorded of the state."""
    recorded = None if record is None else jax.vmap(record)(env_state.env)
    return by_member((timestep, recorded), num_episodes, 0)
