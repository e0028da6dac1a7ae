"""The T-maze: a sign at the start tells where to turn at the end of a corridor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from annotated_types import Ge
from dm_env import specs

from tolman.envs.environment import Array, TimeStep, register_env, restart, transition

LEFT, RIGHT, CORRIDOR, JUNCTION = range(4)  # What is seen; the first two are the signs.


class TMazeState(NamedTuple):
    """What the task is, and where the agent is in it.

    Attributes:
      time: `[]` int32, steps taken.
      sign: `[]` int32, the turn that pays: 0 left, 1 right.
    """

    time: Array
    sign: Array


@register_env("memory/t_maze")
@dataclass(frozen=True)
class TMaze:
    """A sign, a corridor that looks the same all along, and a turn that pays 1 or -1.

    The sign is seen in the first row only. Every action walks on until the junction,
    `length` steps further, where action 0 turns left and action 1 right: nothing is to be
    explored, all else is to be remembered. Without memory every policy returns 0 in the
    mean, and always exactly 1 or -1.

    Source: Bakker 2002, "Reinforcement learning with long short-term memory", section 4.
      Departure: walking is no choice, and wrong turns cost as much as right ones pay.

    Attributes:
      length: steps from the sign to the junction; an episode has one decision more.
    """

    length: Annotated[int, Ge(1)] = 10

    def reset(self, key: Array) -> tuple[TMazeState, TimeStep]:
        """Draws the sign, and shows it."""
        sign = jax.random.bernoulli(key).astype(jnp.int32)
        return TMazeState(jnp.int32(0), sign), restart(_one_hot(sign))

    def step(self, state: TMazeState, action: Array) -> tuple[TMazeState, TimeStep]:
        """Walks on, or turns at the junction."""
        at_junction = state.time == self.length
        payment = jnp.where(action == state.sign, 1.0, -1.0)
        reward = jnp.where(at_junction, payment, 0.0)
        state = TMazeState(state.time + 1, state.sign)
        seen = jnp.where(state.time < self.length, CORRIDOR, JUNCTION)
        return state, transition(reward, _one_hot(seen), terminated=at_junction)

    def observation_spec(self) -> specs.BoundedArray:
        """One-hot: sign to the left, sign to the right, corridor, junction."""
        return specs.BoundedArray((4,), np.float32, 0.0, 1.0, "observation")

    def action_spec(self) -> specs.DiscreteArray:
        """Left and right."""
        return specs.DiscreteArray(2, name="action")


def _one_hot(seen: Array) -> Array:
    return jax.nn.one_hot(seen, 4, dtype=jnp.float32)
