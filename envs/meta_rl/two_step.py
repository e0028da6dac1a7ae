"""The two-step task, which tells model-based from model-free behaviour."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from annotated_types import Ge, Interval
from dm_env import specs

from tolman.envs.environment import Array, TimeStep, register_env, restart, transition

NUM_STATES = 3  # The first stage, and the two states of the second.


class TwoStepState(NamedTuple):
    """What the task is, and where the agent is in it.

    Attributes:
      time: `[]` int32, steps taken in this episode.
      position: `[]` int32: 0 first stage, 1 and 2 the second-stage states.
      good_state: `[]` int32, the second-stage state (1 or 2) that mostly pays.
      is_common: `[]` bool, the latest action at the first stage led where it usually
        leads. It stands until the next one, so after the paid step of a trial it tells
        that trial's transition.
      chance: `[2 num_trials]` in [0, 1), the episode's luck, one number a step.
    """

    time: Array
    position: Array
    good_state: Array
    is_common: Array
    chance: Array


@register_env("two_step")
@dataclass(frozen=True)
class TwoStep:
    """Two actions lead to two second-stage states, one of which mostly pays.

    Action 0 at the first stage leads to state 1 with `common_probability` and to state
    2 otherwise; action 1 the other way round. Any action at the second stage is paid
    and leads back. Which state is good is drawn once an episode, the task.

    The luck of the whole episode is drawn at reset: one large draw costs less than a
    key split and a small draw in every step.

    Source: Wang et al. 2016, section 3.2.1.

    Attributes:
      num_trials: trials an episode; each takes two steps.
      common_probability: of the transition that an action usually causes.
      high_reward_probability: of a reward of 1 in the good state.
      low_reward_probability: of a reward of 1 in the other state.
    """

    num_trials: Annotated[int, Ge(1)] = 10
    common_probability: Annotated[float, Interval(ge=0, le=1)] = 0.75
    high_reward_probability: Annotated[float, Interval(ge=0, le=1)] = 0.9
    low_reward_probability: Annotated[float, Interval(ge=0, le=1)] = 0.1

    def reset(self, key: Array) -> tuple[TwoStepState, TimeStep]:
        """Draws which second-stage state is good, and the luck of every step."""
        chance_key, task_key = jax.random.split(key)
        state = TwoStepState(
            time=jnp.int32(0),
            position=jnp.int32(0),
            good_state=jax.random.randint(task_key, (), 1, NUM_STATES),
            is_common=jnp.asarray(False),
            chance=jax.random.uniform(chance_key, (2 * self.num_trials,)),
        )
        return state, restart(self._observe(state))

    def step(self, state: TwoStepState, action: Array) -> tuple[TwoStepState, TimeStep]:
        """Moves to the second stage, or pays there and moves back."""
        chance = state.chance[state.time]
        at_first_stage = state.position == 0

        is_common = chance < self.common_probability
        usual = action.astype(jnp.int32) + 1
        reached = jnp.where(is_common, usual, NUM_STATES - usual)
        pay_probability = jnp.where(
            state.position == state.good_state,
            self.high_reward_probability,
            self.low_reward_probability,
        )
        reward = jnp.where(at_first_stage, 0.0, chance < pay_probability)

        state = TwoStepState(
            time=state.time + 1,
            position=jnp.where(at_first_stage, reached, 0),
            good_state=state.good_state,
            is_common=jnp.where(at_first_stage, is_common, state.is_common),
            chance=state.chance,
        )
        terminated = state.time == 2 * self.num_trials
        return state, transition(reward, self._observe(state), terminated)

    def observation_spec(self) -> specs.BoundedArray:
        """One-hot position, and the fraction of the episode that has passed."""
        return specs.BoundedArray((NUM_STATES + 1,), np.float32, 0.0, 1.0, "observation")

    def action_spec(self) -> specs.DiscreteArray:
        """Two actions."""
        return specs.DiscreteArray(2, name="action")

    def _observe(self, state: TwoStepState) -> Array:
        index = jnp.arange(NUM_STATES + 1)
        clock = state.time / (2 * self.num_trials)
        return jnp.where(index < NUM_STATES, index == state.position, clock)  # [4]
