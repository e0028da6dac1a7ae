"""POPGym's cart-poles and pendulums whose positions are seen under noise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
from annotated_types import Ge
from dm_env import specs

from tolman.envs.environment import Array, TimeStep, register_env
from tolman.envs.popgym.cartpole import PositionOnlyCartPole
from tolman.envs.popgym.deck import Positive
from tolman.envs.popgym.pendulum import PositionOnlyPendulum

NotNegative = Annotated[float, Ge(0.0)]


class NoisyState(NamedTuple):
    """Attributes:
    inner: the state of the task without noise.
    key: of the noise of all rows; see `draw_noise`.
    """

    inner: Any
    key: Array


def draw_noise(key: Array, time: Array) -> Array:
    """`[2]`, standard normal, of the row after `time` steps."""
    return jax.random.normal(jax.random.fold_in(key, time), (2,))


@dataclass(frozen=True)
class Noisy:
    """A task whose observations get noise; which task, says `_task`.

    To every number that is seen, in the first row too, normal noise is added, independent
    from row to row, and the sum is clipped to the bounds of the observation.

    Source: Morad et al. 2023, "POPGym"; rules and sizes are those of popgym 1.0.7.

    Attributes:
      noise_deviation: of the noise, in the units of the observation.
      max_num_steps: after which the clock cuts an episode.
    """

    noise_deviation: NotNegative = 0.1
    max_num_steps: Positive = 200

    @property
    def _task(self) -> PositionOnlyCartPole | PositionOnlyPendulum:
        raise NotImplementedError

    def reset(self, key: Array) -> tuple[NoisyState, TimeStep]:
        """Draws the first state, under the noise of the first row."""
        key, noise_key = jax.random.split(key)
        inner, timestep = self._task.reset(key)
        noise = draw_noise(noise_key, inner.time)
        return NoisyState(inner, noise_key), self._show(timestep, noise)

    def step(self, state: NoisyState, action: Array) -> tuple[NoisyState, TimeStep]:
        """Steps the task."""
        inner, timestep = self._task.step(state.inner, action)
        noise = draw_noise(state.key, inner.time)
        return NoisyState(inner, state.key), self._show(timestep, noise)

    def observation_spec(self) -> specs.BoundedArray:
        """That of the task."""
        return self._task.observation_spec()

    def action_spec(self) -> specs.Array:
        """That of the task."""
        return self._task.action_spec()

    def _show(self, timestep: TimeStep, noise: Array) -> TimeStep:
        spec = self.observation_spec()
        seen = timestep.observation + self.noise_deviation * noise
        return timestep._replace(observation=jnp.clip(seen, spec.minimum, spec.maximum))


@register_env("popgym/noisy_position_only_cartpole/easy")
@dataclass(frozen=True)
class NoisyPositionOnlyCartPole(Noisy):
    """Balance a pole by its position under noise of deviation 0.1."""

    @property
    def _task(self) -> PositionOnlyCartPole:
        return PositionOnlyCartPole(self.max_num_steps)


@register_env("popgym/noisy_position_only_cartpole/medium")
@dataclass(frozen=True)
class NoisyPositionOnlyCartPoleMedium(NoisyPositionOnlyCartPole):
    """Balance a pole by its position under noise of deviation 0.2."""

    noise_deviation: NotNegative = 0.2


@register_env("popgym/noisy_position_only_cartpole/hard")
@dataclass(frozen=True)
class NoisyPositionOnlyCartPoleHard(NoisyPositionOnlyCartPole):
    """Balance a pole by its position under noise of deviation 0.3."""

    noise_deviation: NotNegative = 0.3


@register_env("popgym/noisy_position_only_pendulum/easy")
@dataclass(frozen=True)
class NoisyPositionOnlyPendulum(Noisy):
    """Swing a pendulum up by its position under noise of deviation 0.1."""

    @property
    def _task(self) -> PositionOnlyPendulum:
        return PositionOnlyPendulum(self.max_num_steps)


@register_env("popgym/noisy_position_only_pendulum/medium")
@dataclass(frozen=True)
class NoisyPositionOnlyPendulumMedium(NoisyPositionOnlyPendulum):
    """Swing a pendulum up by its position under noise of deviation 0.2."""

    noise_deviation: NotNegative = 0.2


@register_env("popgym/noisy_position_only_pendulum/hard")
@dataclass(frozen=True)
class NoisyPositionOnlyPendulumHard(NoisyPositionOnlyPendulum):
    """Swing a pendulum up by its position under noise of deviation 0.3."""

    noise_deviation: NotNegative = 0.3
