"""The Behaviour Suite's memory chain as an on-device environment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from annotated_types import Ge
from dm_env import specs

from tolman.envs.environment import Array, TimeStep, register_env, restart, transition


class MemoryLengthState(NamedTuple):
    """What the task is, and how far it is.

    Attributes:
      time: `[]` int32, steps taken.
      context: `[N]` int32, the bits to remember.
      query: `[]` int32, which of them is asked.
    """

    time: Array
    context: Array
    query: Array


@register_env("memory/memory_length")
@dataclass(frozen=True)
class MemoryLength:
    """Bits are seen at the start; after `memory_length` steps one of them is asked.

    Row for row what `bsuite/memory_len` (one bit) and `bsuite/memory_size` (several)
    show and pay: the last action pays 1 if it is the bit asked and -1 otherwise, and every
    policy without memory returns 0 in the mean. As there, the first row is shown twice,
    before and after the first action, and a clock runs in all rows.

    Source: Osband et al. 2020, "Behaviour suite for reinforcement learning", memory tasks.

    Attributes:
      memory_length: decisions between the first row and the asking one; an episode has one
        more.
      num_bits: in the context.
    """

    memory_length: Annotated[int, Ge(1)] = 10
    num_bits: Annotated[int, Ge(1)] = 1

    def reset(self, key: Array) -> tuple[MemoryLengthState, TimeStep]:
        """Draws the bits and which of them will be asked."""
        context_key, query_key = jax.random.split(key)
        state = MemoryLengthState(
            time=jnp.int32(0),
            context=jax.random.bernoulli(context_key, shape=(self.num_bits,)).astype(
                jnp.int32
            ),
            query=jax.random.randint(query_key, (), 0, self.num_bits),
        )
        return state, restart(self._observe(state))

    def step(
        self, state: MemoryLengthState, action: Array
    ) -> tuple[MemoryLengthState, TimeStep]:
        """Waits, or answers."""
        observation = self._observe(state)  # Of the row before, as in bsuite.
        is_answer = state.time == self.memory_length
        payment = jnp.where(action == state.context[state.query], 1.0, -1.0)
        reward = jnp.where(is_answer, payment, 0.0)
        state = state._replace(time=state.time + 1)
        return state, transition(reward, observation, terminated=is_answer)

    def observation_spec(self) -> specs.Array:
        """`[1, 2 + num_bits]`: the share of time left, the query, the bits as -1 and 1.

        The query is only seen when it is asked, the bits at the start; else they are 0.
        """
        return specs.Array((1, 2 + self.num_bits), np.float32, "observation")

    def action_spec(self) -> specs.DiscreteArray:
        """The bit: 0 or 1."""
        return specs.DiscreteArray(2, name="action")

    def _observe(self, state: MemoryLengthState) -> Array:
        left = 1.0 - state.time / self.memory_length
        query = jnp.where(state.time == self.memory_length - 1, state.query, 0)
        bits = jnp.where(state.time == 0, 2 * state.context - 1, 0)
        return jnp.concatenate([jnp.stack([left, query]), bits])[None].astype(jnp.float32)
