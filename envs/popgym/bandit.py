"""POPGym's bandits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
from dm_env import specs

from tolman.envs.environment import Array, TimeStep, register_env, restart, transition
from tolman.envs.popgym.deck import Positive


class MultiarmedBanditState(NamedTuple):
    """Attributes:
    chances: `[num_arms]`, of a hit, of each arm.
    luck: `[max_num_steps]` in [0, 1); a step hits where it is below the arm's chance.
    time: `[]` int32, steps taken.
    """

    chances: Array
    luck: Array
    time: Array


@register_env("popgym/multiarmed_bandit/easy")
@dataclass(frozen=True)
class MultiarmedBandit:
    """Find the arm that hits most often: 10 arms, 200 steps.

    Every arm's chance is drawn anew, uniformly in [0, 1). A hit pays `1 / L` and a miss
    costs as much, where the clock cuts the episode after L steps. A row shows whether the
    last step hit, and 0 at the start; the arm itself is not shown: an agent needs its last
    action as an input.

    Source: Morad et al. 2023, "POPGym"; rules and sizes are those of popgym 1.0.7.

    Attributes:
      num_arms: to choose from.
      max_num_steps: L.
    """

    num_arms: Positive = 10
    max_num_steps: Positive = 200

    def reset(self, key: Array) -> tuple[MultiarmedBanditState, TimeStep]:
        """Draws the chances, and the luck of all steps."""
        key, luck_key = jax.random.split(key)
        state = MultiarmedBanditState(
            chances=jax.random.uniform(key, (self.num_arms,)),
            luck=jax.random.uniform(luck_key, (self.max_num_steps,)),
            time=jnp.int32(0),
        )
        return state, restart(jnp.int32(0))

    def step(
        self, state: MultiarmedBanditState, action: Array
    ) -> tuple[MultiarmedBanditState, TimeStep]:
        """Pulls an arm."""
        is_hit = state.luck[state.time] < state.chances[action]
        reward = jnp.where(is_hit, 1.0, -1.0) / self.max_num_steps
        state = state._replace(time=state.time + 1)
        is_cut = state.time >= self.max_num_steps
        return state, transition(reward, is_hit.astype(jnp.int32), False, is_cut)

    def observation_spec(self) -> specs.DiscreteArray:
        """1 after a hit, else 0."""
        return specs.DiscreteArray(2, name="observation")

    def action_spec(self) -> specs.DiscreteArray:
        """The arm."""
        return specs.DiscreteArray(self.num_arms, name="action")


@register_env("popgym/multiarmed_bandit/medium")
@dataclass(frozen=True)
class MultiarmedBanditMedium(MultiarmedBandit):
    """Find the arm that hits most often: 20 arms, 400 steps."""

    num_arms: Positive = 20
    max_num_steps: Positive = 400


@register_env("popgym/multiarmed_bandit/hard")
@dataclass(frozen=True)
class MultiarmedBanditHard(MultiarmedBandit):
    """Find the arm that hits most often: 30 arms, 600 steps."""

    num_arms: Positive = 30
    max_num_steps: Positive = 600
