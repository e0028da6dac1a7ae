"""The on-device environment: pure functions of arrays, in the spirit of dm_env.

An environment is a frozen dataclass of its settings. `reset` and `step` act on ONE
copy, hold no hidden state and draw all chance from the key they were given, so the
runner may `vmap`, `scan` and `jit` them together with the agent.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, TypeVar, runtime_checkable

import jax
import jax.numpy as jnp
from dm_env import specs

from tolman.envs.registry import Registry

Array = jax.Array
State = Any  # Any pytree of arrays; carries its own random key where chance is needed.

FIRST, MID, LAST = 0, 1, 2

Made = TypeVar("Made")


class TimeStep(NamedTuple):
    """What an agent receives at one moment.

    Attributes:
      step_type: `[]` int32: 0 FIRST, 1 MID, 2 LAST, as in dm_env.
      reward: `[]` float32, the reward that came *with* this observation; 0 on FIRST.
      discount: `[]` float32, 0 after termination; 1 otherwise, also after truncation.
      observation: a pytree that matches `observation_spec`.
      new_task: `[]` bool, True where this observation opens a new task, so that a
        memory must forget all that came before. Only ever True on FIRST; an ordinary
        environment sets it on every FIRST, a meta-learning one may hold a task longer.
    """

    step_type: Array
    reward: Array
    discount: Array
    observation: Any
    new_task: Array

    def is_first(self) -> Array:
        """`[]` bool: opens an episode."""
        return self.step_type == FIRST

    def is_last(self) -> Array:
        """`[]` bool: closes an episode; the action chosen here has no effect."""
        return self.step_type == LAST


@runtime_checkable
class Environment(Protocol):
    """An environment as two pure functions and two specs.

    One whose task spans several episodes has a further method,
    `next_episode(state, key) -> (state, TimeStep)`; see the function of that name.
    """

    def __hash__(self) -> int:
        """Equal settings, equal hash: equal environments share compiled programs."""
        ...

    def reset(self, key: Array) -> tuple[State, TimeStep]:
        """Starts an episode; returns its state and a FIRST time step."""
        ...

    def step(self, state: State, action: Any) -> tuple[State, TimeStep]:
        """Takes `action`; returns the next state, and a MID or LAST time step.

        A numbered action is `[]` int32; any other is an array, or a nest of arrays, as the
        action spec says. Continuous ones lie within its bounds.
        """
        ...

    def observation_spec(self) -> Any:
        """A `dm_env.specs.Array`, or a nest of them."""
        ...

    def action_spec(self) -> Any:
        """A `DiscreteArray` of numbered actions, another spec, or a nest of them."""
        ...


TARGET = "target:"  # Before the name of a spec.


def as_target(spec: Any) -> Any:
    """Marks a spec, or a nest of them, as a target: losses read it, policies do not.

    Such are depth images, poses and labels that ride in an observation to be predicted.
    """
    return jax.tree.map(lambda leaf: leaf.replace(name=f"{TARGET}{leaf.name}"), spec)


def is_target(spec: specs.Array) -> bool:
    """Whether `as_target` marked this spec."""
    return str(spec.name).startswith(TARGET)


def restart(observation: Any, new_task: Array | bool = True) -> TimeStep:
    """A FIRST time step."""
    return TimeStep(
        step_type=jnp.int32(FIRST),
        reward=jnp.float32(0.0),
        discount=jnp.float32(1.0),
        observation=observation,
        new_task=jnp.asarray(new_task, bool),
    )


def transition(
    reward: Array,
    observation: Any,
    terminated: Array | bool,
    truncated: Array | bool = False,
) -> TimeStep:
    """A MID time step, or a LAST one where the episode ends here.

    Args:
      reward: `[]`, of the action just taken.
      observation: what that action led to.
      terminated: `[]` bool: the task is over, nothing more can be earned (discount 0).
      truncated: `[]` bool: only the clock ran out (discount 1, a learner bootstraps).
    """
    terminated, truncated = jnp.asarray(terminated), jnp.asarray(truncated)
    return TimeStep(
        step_type=jnp.where(terminated | truncated, LAST, MID).astype(jnp.int32),
        reward=jnp.asarray(reward, jnp.float32),
        discount=jnp.where(terminated, 0.0, 1.0).astype(jnp.float32),
        observation=observation,
        new_task=jnp.asarray(False),
    )


def next_episode(
    environment: Environment, state: State, key: Array
) -> tuple[State, TimeStep]:
    """Starts the episode that follows the one which ended in `state`.

    An environment whose task spans several episodes says so with a method of this name:
    it keeps in its state what the task is, and sets `new_task` only on the FIRST that
    opens another one. Any other environment starts by `reset(key)`.
    """
    method = getattr(environment, "next_episode", None)
    if method is None:
        return environment.reset(key)
    return method(state, key)


def once_for_equals(make: Callable[[Any], Made]) -> Callable[[Any], Made]:
    """Equal environments share what `make` returns; one without a hash gets its own."""
    remembered = functools.lru_cache(maxsize=32)(make)

    @functools.wraps(make)
    def made(environment: Any) -> Made:
        try:
            hash(environment)
        except TypeError:
            return make(environment)
        return remembered(environment)

    return made


# The factory is called with keyword arguments only, those that `--env.KEY` sets; a frozen
# dataclass is its own factory, and so is a function with a typed signature.
ENVIRONMENTS = Registry("environment")
register_env = ENVIRONMENTS.register
