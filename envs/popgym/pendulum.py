"""POPGym's pendulum, which shows its angle and not its speed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from dm_env import specs

from tolman.envs.environment import Array, TimeStep, register_env, restart, transition
from tolman.envs.popgym.deck import Positive

GRAVITY = 10.0  # Metres a second squared; the rod has 1 metre and 1 kilogram.
SECONDS_PER_STEP = 0.05
MAX_SPEED = 8.0  # Radians a second.
MAX_TORQUE = 2.0  # Newton metres.
START_SPEED = 1.0
MAX_COST = math.pi**2 + 0.1 * MAX_SPEED**2 + 0.001 * MAX_TORQUE**2  # Of one step.


class PendulumState(NamedTuple):
    """Attributes:
    angle: `[]`, from upright, in radians from -pi to pi.
    speed: `[]`, radians a second.
    time: `[]` int32, steps taken.
    """

    angle: Array
    speed: Array
    time: Array


@register_env("popgym/position_only_pendulum/easy")
@dataclass(frozen=True)
class PositionOnlyPendulum:
    """Swing a pendulum up without seeing its speed: 200 steps.

    A step costs `angle^2 + 0.1 speed^2 + 0.001 torque^2`, of the state before it. The
    largest cost pays `-1 / L` and none `1 / L`, linear in between, where the clock cuts the
    episode after L steps. The pendulum is that of Gymnasium's Pendulum-v1, in 32 bits. It
    starts at any angle, with a speed of at most 1.

    Source: Morad et al. 2023, "POPGym"; rules and sizes are those of popgym 1.0.7, where
      the harder sizes leave less time.

    Attributes:
      max_num_steps: L.
    """

    max_num_steps: Positive = 200

    def reset(self, key: Array) -> tuple[PendulumState, TimeStep]:
        """Draws an angle and a speed."""
        high = jnp.array([math.pi, START_SPEED], jnp.float32)
        angle, speed = jax.random.uniform(key, (2,), jnp.float32, -high, high)
        return PendulumState(angle, speed, jnp.int32(0)), restart(_position(angle))

    def step(self, state: PendulumState, action: Array) -> tuple[PendulumState, TimeStep]:
        """Turns, by a torque `[1]`."""
        torque = jnp.clip(action[0], -MAX_TORQUE, MAX_TORQUE)
        cost = state.angle**2 + 0.1 * state.speed**2 + 0.001 * torque**2
        reward = (1.0 - 2.0 * cost / MAX_COST) / self.max_num_steps

        turn = 1.5 * GRAVITY * jnp.sin(state.angle) + 3.0 * torque
        speed = state.speed + SECONDS_PER_STEP * turn
        speed = jnp.clip(speed, -MAX_SPEED, MAX_SPEED)
        angle = _wrap(state.angle + SECONDS_PER_STEP * speed)
        state = PendulumState(angle, speed, state.time + 1)
        is_cut = state.time >= self.max_num_steps
        return state, transition(reward, _position(angle), False, is_cut)

    def observation_spec(self) -> specs.BoundedArray:
        """Cosine and sine of the angle."""
        return specs.BoundedArray((2,), np.float32, -1.0, 1.0, "observation")

    def action_spec(self) -> specs.BoundedArray:
        """`[1]`, the torque in newton metres."""
        return specs.BoundedArray((1,), np.float32, -MAX_TORQUE, MAX_TORQUE, "action")


@register_env("popgym/position_only_pendulum/medium")
@dataclass(frozen=True)
class PositionOnlyPendulumMedium(PositionOnlyPendulum):
    """Swing a pendulum up without seeing its speed: 150 steps."""

    max_num_steps: Positive = 150


@register_env("popgym/position_only_pendulum/hard")
@dataclass(frozen=True)
class PositionOnlyPendulumHard(PositionOnlyPendulum):
    """Swing a pendulum up without seeing its speed: 100 steps."""

    max_num_steps: Positive = 100


def _wrap(angle: Array) -> Array:
    """The same angle in [-pi, pi), where 32 bits tell it best."""
    return (angle + math.pi) % (2 * math.pi) - math.pi


def _position(angle: Array) -> Array:
    return jnp.stack([jnp.cos(angle), jnp.sin(angle)])
