"""Many copies of one on-device environment, stepped together with automatic reset.

Shapes: N copies; every leaf of a state or time step here is `[N, ...]`.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from tolman.envs.actions import clip_action
from tolman.envs.environment import Array, Environment, TimeStep, next_episode


class VectorState(NamedTuple):
    """Attributes:
    env: the copies' states.
    keys: `[N, 2]`, what each copy's next resets are drawn from.
    last: `[N]` bool, copies whose episode has ended and that the next step resets.
    """

    env: Any
    keys: Array
    last: Array


def reset(environment: Environment, keys: Array) -> tuple[VectorState, TimeStep]:
    """Starts `N = len(keys)` copies, each from a key of its own."""
    carried, used = _split(keys)
    state, timestep = jax.vmap(environment.reset)(used)
    return VectorState(state, carried, jnp.zeros(len(keys), bool)), timestep


def step(
    environment: Environment, state: VectorState, action: Any
) -> tuple[VectorState, TimeStep]:
    """Steps every copy; one whose last time step was LAST starts anew (FIRST) instead.

    As in dm_env the action of a copy that starts anew is ignored, and every final
    observation is delivered. Continuous actions are clipped to their bounds. Resets are
    only computed in steps where some copy needs one.

    Args:
      environment: one environment, shared by all copies.
      state: of the copies.
      action: `[N, ...]`, or a nest of such as the action spec is one.
    """
    action = clip_action(environment.action_spec(), action)
    stepped = jax.vmap(environment.step)(state.env, action)

    def restart_ended() -> tuple[tuple[Any, TimeStep], Array]:
        carried, used = _split(state.keys)
        fresh = jax.vmap(partial(next_episode, environment))(state.env, used)
        return _select(state.last, (fresh, carried), (stepped, state.keys))

    (env_state, timestep), keys = lax.cond(
        jnp.any(state.last), restart_ended, lambda: (stepped, state.keys)
    )
    return VectorState(env_state, keys, timestep.is_last()), timestep


def _split(keys: Array) -> tuple[Array, Array]:
    pairs = jax.vmap(jax.random.split)(keys)  # [N, 2, 2]
    return pairs[:, 0], pairs[:, 1]


def _select(condition: Array, if_true: Any, if_false: Any) -> Any:
    def leaf(true_leaf: Array, false_leaf: Array) -> Array:
        mask = condition.reshape(condition.shape + (1,) * (true_leaf.ndim - 1))
        return jnp.where(mask, true_leaf, false_leaf)

    return jax.tree.map(leaf, if_true, if_false)
