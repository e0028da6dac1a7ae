"""Random actions in many copies of an environment, all of an unroll kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
from jax import lax

from tolman.envs import vector
from tolman.envs.actions import count_numbers, random_action
from tolman.envs.environment import Environment


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
