"""POPGym's cart-poles, which show a part of the state."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from dm_env import specs

from tolman.envs.classic.cartpole import (
    ANGLE_LIMIT,
    POSITION_LIMIT,
    CartPole,
    CartPoleState,
)
from tolman.envs.environment import Array, TimeStep, register_env
from tolman.envs.popgym.deck import Positive

POSITIONS, VELOCITIES = slice(0, None, 2), slice(1, None, 2)  # Of `CartPoleState.physics`.


@register_env("popgym/position_only_cartpole/easy")
@dataclass(frozen=True)
class PositionOnlyCartPole:
    """Balance a pole without seeing how fast anything moves: 200 steps.

    Cart and pole are those of `cartpole`. Every step pays `1 / L`, the last one too, where
    the clock cuts the episode after L steps.

    Source: Morad et al. 2023, "POPGym"; rules and sizes are those of popgym 1.0.7.

    Attributes:
      max_num_steps: L.
    """

    max_num_steps: Positive = 200

    def reset(self, key: Array) -> tuple[CartPoleState, TimeStep]:
        """Draws a state near the upright one."""
        state, timestep = CartPole(self.max_num_steps).reset(key)
        return state, timestep._replace(observation=state.physics[POSITIONS])

    def step(self, state: CartPoleState, action: Array) -> tuple[CartPoleState, TimeStep]:
        """Pushes, to the left with 0 and to the right with 1."""
        state, timestep = CartPole(self.max_num_steps).step(state, action)
        return state, timestep._replace(
            reward=timestep.reward / self.max_num_steps,
            observation=state.physics[POSITIONS],
        )

    def observation_spec(self) -> specs.BoundedArray:
        """Metres from the middle, and radians from upright."""
        limit = 2 * np.array([POSITION_LIMIT, ANGLE_LIMIT], np.float32)
        return specs.BoundedArray((2,), np.float32, -limit, limit, "observation")

    def action_spec(self) -> specs.DiscreteArray:
        """Left and right."""
        return specs.DiscreteArray(2, name="action")


@register_env("popgym/position_only_cartpole/medium")
@dataclass(frozen=True)
class PositionOnlyCartPoleMedium(PositionOnlyCartPole):
    """Balance a pole without seeing how fast anything moves: 400 steps."""

    max_num_steps: Positive = 400


@register_env("popgym/position_only_cartpole/hard")
@dataclass(frozen=True)
class PositionOnlyCartPoleHard(PositionOnlyCartPole):
    """Balance a pole without seeing how fast anything moves: 600 steps."""

    max_num_steps: Positive = 600


@register_env("popgym/velocity_only_cartpole/easy")
@dataclass(frozen=True)
class VelocityOnlyCartPole:
    """Balance a pole without seeing where anything is: 200 steps.

    As `PositionOnlyCartPole`, but for what is seen. The first row of an episode shows
    positions, as popgym 1.0.7 does; velocities follow from the second one on.

    Source: Morad et al. 2023, "POPGym"; rules and sizes are those of popgym 1.0.7.

    Attributes:
      max_num_steps: after which the clock cuts an episode.
    """

    max_num_steps: Positive = 200

    def reset(self, key: Array) -> tuple[CartPoleState, TimeStep]:
        """Draws a state near the upright one; shows its positions."""
        return PositionOnlyCartPole(self.max_num_steps).reset(key)

    def step(self, state: CartPoleState, action: Array) -> tuple[CartPoleState, TimeStep]:
        """Pushes, to the left with 0 and to the right with 1."""
        state, timestep = PositionOnlyCartPole(self.max_num_steps).step(state, action)
        return state, timestep._replace(observation=state.physics[VELOCITIES])

    def observation_spec(self) -> specs.Array:
        """Metres a second, and radians a second; of the first row see the class."""
        return specs.Array((2,), np.float32, "observation")

    def action_spec(self) -> specs.DiscreteArray:
        """Left and right."""
        return specs.DiscreteArray(2, name="action")


@register_env("popgym/velocity_only_cartpole/medium")
@dataclass(frozen=True)
class VelocityOnlyCartPoleMedium(VelocityOnlyCartPole):
    """Balance a pole without seeing where anything is: 400 steps."""

    max_num_steps: Positive = 400


@register_env("popgym/velocity_only_cartpole/hard")
@dataclass(frozen=True)
class VelocityOnlyCartPoleHard(VelocityOnlyCartPole):
    """Balance a pole without seeing where anything is: 600 steps."""

    max_num_steps: Positive = 600
