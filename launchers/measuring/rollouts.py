"""Random actions in many copies of an environment: its speed, and what they return."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from tolman.envs import vector
from tolman.envs.actions import count_numbers, random_action
from tolman.envs.environment import Array, Environment


def random_returns(environment: Environment, key: Array, num_episodes: int) -> np.ndarray:
    """`[E]`, what uniformly random actions return in the first episode of each copy.

    Args:
      environment: whose episodes end; its actions are drawn within their bounds.
      key: `[2]`.
      num_episodes: E, played side by side.
    """
    spec = environment.action_spec()
    shape = (num_episodes, count_numbers(spec))

    def step(carry: Any) -> Any:
        state, key, returns, is_over = carry
        key, used = jax.random.split(key)
        action = jax.vmap(lambda row: random_action(spec, row, None))(
            jax.random.uniform(used, shape)
        )
        state, timestep = vector.step(environment, state, action)
        returns += jnp.where(is_over, 0.0, timestep.reward)
        return state, key, returns, is_over | timestep.is_last()

    @jax.jit
    def play(key: Array) -> Array:
        start, key = jax.random.split(key)
        state, _ = vector.reset(environment, jax.random.split(start, num_episodes))
        carry = state, key, jnp.zeros(num_episodes), jnp.zeros(num_episodes, bool)
        return lax.while_loop(lambda carry: ~carry[-1].all(), step, carry)[2]

    return np.asarray(play(key))


def rollout(
    environment: Environment, num_envs: int, unroll_length: int
) -> Callable[[int], None]:
    """What steps the copies for a number of unrolls; for `turns.take_turns`.

    Starts, resets and the drawing of actions count.
    """
    spec = environment.action_spec()
    shape = (unroll_length, num_envs, count_numbers(spec))

    def unroll(state: vector.VectorState, key: Any) -> Any:
        def step(state: vector.VectorState, numbers: Any) -> Any:
            action = jax.vmap(lambda row: random_action(spec, row, None))(numbers)
            state, timestep = vector.step(environment, state, action)
            return state, timestep.observation

        return lax.scan(step, state, jax.random.uniform(key, shape))

    compiled = jax.jit(unroll)
    keys = jax.random.split(jax.random.PRNGKey(0), num_envs)
    states = [jax.jit(lambda keys: vector.reset(environment, keys))(keys)[0]]

    def repeat(count: int) -> None:
        for index in range(count):
            states[0], kept = compiled(states[0], jax.random.PRNGKey(index))
            jax.block_until_ready(kept)

    return repeat
