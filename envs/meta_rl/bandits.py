"""Bandits that never change within an episode: independent, dependent and informative arms.

An episode is one task: its arms are drawn at reset and end with it. The clock is all
that the Bernoulli bandits show; the previous action and reward, without which none can
be learned, are what a meta-learning agent feeds itself. Shapes: K arms, T trials.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from annotated_types import Ge, Interval
from dm_env import specs

from tolman.envs.environment import Array, TimeStep, register_env, restart, transition


class BanditState(NamedTuple):
    """What the task is, and the luck of the episode.

    Attributes:
      time: `[]` int32, pulls made in this episode.
      means: `[K]`, the expected reward of each arm at the next pull.
      chance: `[T]` in [0, 1), the luck of each pull.
    """

    time: Array
    means: Array
    chance: Array


@register_env("bandit/independent")
@dataclass(frozen=True)
class IndependentBandit:
    """Arms that pay 1 or 0, each with a probability of its own, drawn from U[0, 1].

    Source: Wang et al. 2016, section 3.1.1.

    Attributes:
      num_trials: pulls an episode.
      num_arms: at least 2.
    """

    num_trials: Annotated[int, Ge(1)] = 100
    num_arms: Annotated[int, Ge(2)] = 2

    def reset(self, key: Array) -> tuple[BanditState, TimeStep]:
        """Draws the arms and the luck of every pull."""
        chance_key, task_key = jax.random.split(key)
        means = jax.random.uniform(task_key, (self.num_arms,))
        return _start(means, chance_key, self.num_trials)

    def step(self, state: BanditState, action: Array) -> tuple[BanditState, TimeStep]:
        """Pulls arm `action`."""
        return _pull(state, action, self.num_trials)

    def observation_spec(self) -> specs.BoundedArray:
        """The fraction of the episode that has passed."""
        return clock_spec()

    def action_spec(self) -> specs.DiscreteArray:
        """One action an arm."""
        return specs.DiscreteArray(self.num_arms, name="action")


@register_env("bandit/uniform")
@dataclass(frozen=True)
class DependentBandit:
    """Two arms that pay 1 or 0, with probabilities p and 1 - p: either tells of both.

    Source: Wang et al. 2016, section 3.1.2.

    Attributes:
      num_trials: pulls an episode.
      first_arm_probabilities: what p is drawn from, all equally likely; empty for
        U[0, 1].
    """

    num_trials: Annotated[int, Ge(1)] = 100
    first_arm_probabilities: tuple[Annotated[float, Interval(ge=0, le=1)], ...] = ()

    def reset(self, key: Array) -> tuple[BanditState, TimeStep]:
        """Draws the arms and the luck of every pull."""
        chance_key, task_key = jax.random.split(key)
        if self.first_arm_probabilities:
            choices = jnp.asarray(self.first_arm_probabilities, jnp.float32)
            probability = choices[jax.random.randint(task_key, (), 0, len(choices))]
        else:
            probability = jax.random.uniform(task_key)
        means = jnp.stack([probability, 1.0 - probability])
        return _start(means, chance_key, self.num_trials)

    def step(self, state: BanditState, action: Array) -> tuple[BanditState, TimeStep]:
        """Pulls arm `action`."""
        return _pull(state, action, self.num_trials)

    def observation_spec(self) -> specs.BoundedArray:
        """The fraction of the episode that has passed."""
        return clock_spec()

    def action_spec(self) -> specs.DiscreteArray:
        """One action an arm."""
        return specs.DiscreteArray(2, name="action")


@register_env("bandit/easy")
def easy(num_trials: Annotated[int, Ge(1)] = 100) -> DependentBandit:
    """Dependent arms of 0.1 and 0.9."""
    return DependentBandit(num_trials, (0.1, 0.9))


@register_env("bandit/medium")
def medium(num_trials: Annotated[int, Ge(1)] = 100) -> DependentBandit:
    """Dependent arms of 0.25 and 0.75."""
    return DependentBandit(num_trials, (0.25, 0.75))


@register_env("bandit/hard")
def hard(num_trials: Annotated[int, Ge(1)] = 100) -> DependentBandit:
    """Dependent arms of 0.4 and 0.6."""
    return DependentBandit(num_trials, (0.4, 0.6))


class InformativeState(NamedTuple):
    """What the task is.

    Attributes:
      time: `[]` int32, pulls made in this episode.
      means: `[11]`, what each arm pays, every time.
      target: `[]` int32, the arm (0 to 9) that pays most.
    """

    time: Array
    means: Array
    target: Array


NUM_TARGETS = 10
INFORMATIVE_ARM = NUM_TARGETS  # The eleventh.
TARGET_REWARD = 5.0
# What an arm can pay: 0.1 to 1.0 by arm 11 (1.0 also by any arm that is no target), and 5.
NUM_REWARDS = NUM_TARGETS + 1


@register_env("bandit/informative")
@dataclass(frozen=True)
class InformativeBandit:
    """Ten arms: one pays 5, nine pay 1. The eleventh pays little but tells which.

    Arm 11 (action 10) pays 0.1 times the target's number, counted from 1: it is never
    worth more than another arm, and one pull of it finds the target.

    Source: Wang et al. 2016, section 3.1.3: the reward enters as a one-hot vector. A
    reward of 1 is the same bin whether arm 11 paid it or one that is no target.

    Attributes:
      num_trials: pulls an episode.
      reward_one_hot: the observation tells the previous reward, as a one-hot vector of
        its 11 possible values in ascending order, all 0 before the first pull. False
        for a control that must not see rewards.
    """

    num_trials: Annotated[int, Ge(1)] = 5
    reward_one_hot: bool = True

    def reset(self, key: Array) -> tuple[InformativeState, TimeStep]:
        """Draws the target."""
        target = jax.random.randint(key, (), 0, NUM_TARGETS)
        arm = jnp.arange(NUM_TARGETS + 1)
        means = jnp.where(arm == target, TARGET_REWARD, 1.0)
        means = jnp.where(arm == INFORMATIVE_ARM, 0.1 * (target + 1), means)  # [11]
        state = InformativeState(jnp.int32(0), means.astype(jnp.float32), target)
        return state, restart(self._observe(state.time, jnp.int32(-1)))

    def step(
        self, state: InformativeState, action: Array
    ) -> tuple[InformativeState, TimeStep]:
        """Pulls arm `action`."""
        reward = state.means[action]
        state = state._replace(time=state.time + 1)
        from_target = jnp.where(action == state.target, NUM_REWARDS - 1, NUM_REWARDS - 2)
        reward_bin = jnp.where(action == INFORMATIVE_ARM, state.target, from_target)
        observation = self._observe(state.time, reward_bin)
        return state, transition(reward, observation, state.time == self.num_trials)

    def observation_spec(self) -> specs.BoundedArray:
        """The fraction of the episode that has passed, and the one-hot reward `[11]`."""
        size = 1 + NUM_REWARDS * self.reward_one_hot
        return specs.BoundedArray((size,), np.float32, 0.0, 1.0, "observation")

    def action_spec(self) -> specs.DiscreteArray:
        """One action an arm."""
        return specs.DiscreteArray(NUM_TARGETS + 1, name="action")

    def _observe(self, time: Array, reward_bin: Array) -> Array:
        clock = observe_clock(time, self.num_trials)
        if not self.reward_one_hot:
            return clock
        index = jnp.arange(1 + NUM_REWARDS)
        return jnp.where(index == 0, clock, index == reward_bin + 1)  # [12]


def clock_spec() -> specs.BoundedArray:
    """The observation of a bandit that shows nothing but the time."""
    return specs.BoundedArray((1,), np.float32, 0.0, 1.0, "clock")


def observe_clock(time: Array, num_trials: int) -> Array:
    """`[1]`, the fraction of the episode that has passed."""
    return jnp.reshape(time / num_trials, (1,))


def _start(
    means: Array, chance_key: Array, num_trials: int
) -> tuple[BanditState, TimeStep]:
    # One large draw here costs less than a key split and a small draw in every step.
    chance = jax.random.uniform(chance_key, (num_trials,))
    state = BanditState(jnp.int32(0), means, chance)
    return state, restart(observe_clock(state.time, num_trials))


def _pull(
    state: BanditState, action: Array, num_trials: int
) -> tuple[BanditState, TimeStep]:
    reward = state.chance[state.time] < state.means[action]
    state = state._replace(time=state.time + 1)
    observation = observe_clock(state.time, num_trials)
    return state, transition(reward, observation, state.time == num_trials)
