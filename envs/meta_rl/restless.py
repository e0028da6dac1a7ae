"""The restless bandit: the arms wander, more or less quickly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, NamedTuple

import jax
import jax.numpy as jnp
from annotated_types import Ge, Len
from dm_env import specs

from tolman.envs.environment import Array, TimeStep, register_env, restart, transition
from tolman.envs.meta_rl.bandits import clock_spec, observe_clock

LOW_VOLATILITY, HIGH_VOLATILITY = 0.02, 0.2
Volatility = Annotated[float, Ge(0)]


class RestlessState(NamedTuple):
    """What the task is, and the luck of the episode; T trials.

    Attributes:
      time: `[]` int32, pulls made in this episode.
      means: `[2]`, the probability that each arm pays at the next pull.
      volatility: `[]`, standard deviation of the walk's steps.
      walk: `[T]` in [0, 1], the first arm's probability at every pull.
      chance: `[T]` in [0, 1), the luck of each pull.
    """

    time: Array
    means: Array
    volatility: Array
    walk: Array
    chance: Array


@register_env("bandit/restless")
@dataclass(frozen=True)
class RestlessBandit:
    """Two arms that pay 1 or 0 with probabilities p and 1 - p, where p walks at random.

    p starts at U[0, 1], takes a Gaussian step between any two pulls, and is reflected
    at 0 and 1. How large the steps are is drawn once an episode.

    Source: Wang et al. 2016, section 3.1.4.
      Departure: the paper's text gives neither the volatilities nor what happens at the
      bounds; 0.02, 0.2 and reflection are this implementation's choice.

    Attributes:
      num_trials: pulls an episode.
      volatilities: standard deviations of a step, one of which is drawn an episode.
    """

    num_trials: Annotated[int, Ge(1)] = 100
    volatilities: Annotated[tuple[Volatility, ...], Len(1)] = (
        LOW_VOLATILITY,
        HIGH_VOLATILITY,
    )

    def reset(self, key: Array) -> tuple[RestlessState, TimeStep]:
        """Draws the volatility, the whole walk and the luck of every pull."""
        chance_key, task_key, start_key, walk_key = jax.random.split(key, 4)
        index = jax.random.randint(task_key, (), 0, len(self.volatilities))
        volatility = jnp.asarray(self.volatilities, jnp.float32)[index]
        steps = volatility * jax.random.normal(walk_key, (self.num_trials,))
        steps = steps.at[0].set(jax.random.uniform(start_key))
        walk = reflect(jnp.cumsum(steps))  # [T]
        chance = jax.random.uniform(chance_key, (self.num_trials,))
        state = RestlessState(jnp.int32(0), _means(walk[0]), volatility, walk, chance)
        return state, restart(observe_clock(state.time, self.num_trials))

    def step(self, state: RestlessState, action: Array) -> tuple[RestlessState, TimeStep]:
        """Pulls arm `action`; then the arms move."""
        reward = state.chance[state.time] < state.means[action]
        time = state.time + 1
        means = _means(state.walk[jnp.minimum(time, self.num_trials - 1)])
        state = state._replace(time=time, means=means)
        observation = observe_clock(time, self.num_trials)
        return state, transition(reward, observation, time == self.num_trials)

    def observation_spec(self) -> specs.BoundedArray:
        """The fraction of the episode that has passed."""
        return clock_spec()

    def action_spec(self) -> specs.DiscreteArray:
        """One action an arm."""
        return specs.DiscreteArray(2, name="action")


@register_env("bandit/restless_low")
def restless_low(
    num_trials: Annotated[int, Ge(1)] = 100, volatility: Volatility = LOW_VOLATILITY
) -> RestlessBandit:
    """Arms that always wander slowly."""
    return RestlessBandit(num_trials, (volatility,))


@register_env("bandit/restless_high")
def restless_high(
    num_trials: Annotated[int, Ge(1)] = 100, volatility: Volatility = HIGH_VOLATILITY
) -> RestlessBandit:
    """Arms that always wander quickly."""
    return RestlessBandit(num_trials, (volatility,))


def reflect(x: Array) -> Array:
    """Folds the line onto [0, 1] as two facing mirrors would.

    For steps whose distribution is symmetric, the folded walk has the distribution of a
    walk that is reflected at each step, so a whole walk is one cumulative sum.
    """
    return 1.0 - jnp.abs(x % 2.0 - 1.0)


def _means(probability: Array) -> Array:
    return jnp.stack([probability, 1.0 - probability])
