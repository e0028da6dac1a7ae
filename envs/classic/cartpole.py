"""CartPole: a cart on a track keeps a pole upright by pushes to the left and right."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from annotated_types import Ge
from dm_env import specs

from tolman.envs.environment import Array, TimeStep, register_env, restart, transition

GRAVITY = 9.8  # Metres a second squared.
CART_MASS, POLE_MASS = 1.0, 0.1  # Kilograms.
HALF_LENGTH = 0.5  # Of the pole, metres.
FORCE = 10.0  # Newtons.
SECONDS_PER_STEP = 0.02
POSITION_LIMIT = 2.4  # Metres.
ANGLE_LIMIT = math.radians(12.0)
START_LIMIT = 0.05  # Of each number of the first state.


class CartPoleState(NamedTuple):
    """Attributes:
    physics: `[4]`: position, velocity, angle from upright (radians), its velocity.
    time: `[]` int32, steps taken.
    """

    physics: Array
    time: Array


@register_env("cartpole")
@dataclass(frozen=True)
class CartPole:
    """Pays 1 a step until the pole falls or the cart leaves the track.

    Source: Barto, Sutton and Anderson 1983; the numbers, the integration by Euler's method
    and the end after 500 steps are those of Gymnasium's CartPole-v1, in 32 bits.

    Attributes:
      max_num_steps: after which an episode is truncated.
    """

    max_num_steps: Annotated[int, Ge(1)] = 500

    def reset(self, key: Array) -> tuple[CartPoleState, TimeStep]:
        """Draws a state near the upright one."""
        physics = jax.random.uniform(key, (4,), jnp.float32, -START_LIMIT, START_LIMIT)
        return CartPoleState(physics, jnp.int32(0)), restart(physics)

    def step(self, state: CartPoleState, action: Array) -> tuple[CartPoleState, TimeStep]:
        """Pushes, to the left with 0 and to the right with 1."""
        _, velocity, angle, turning = state.physics
        force = jnp.where(action == 1, FORCE, -FORCE)
        mass = CART_MASS + POLE_MASS
        cosine, sine = jnp.cos(angle), jnp.sin(angle)
        push = (force + POLE_MASS * HALF_LENGTH * turning**2 * sine) / mass
        turn = (GRAVITY * sine - cosine * push) / (
            HALF_LENGTH * (4.0 / 3.0 - POLE_MASS * cosine**2 / mass)
        )
        acceleration = push - POLE_MASS * HALF_LENGTH * turn * cosine / mass
        change = jnp.stack([velocity, acceleration, turning, turn])
        physics = state.physics + SECONDS_PER_STEP * change

        state = CartPoleState(physics, state.time + 1)
        fell = jnp.abs(physics[2]) > ANGLE_LIMIT
        left = jnp.abs(physics[0]) > POSITION_LIMIT
        ends = state.time >= self.max_num_steps
        return state, transition(jnp.float32(1.0), physics, fell | left, ends)

    def observation_spec(self) -> specs.Array:
        """The state: metres, metres a second, radians, radians a second."""
        return specs.Array((4,), np.float32, "observation")

    def action_spec(self) -> specs.DiscreteArray:
        """Left and right."""
        return specs.DiscreteArray(2, name="action")
