"""A small on-device environment with any actions, for tests."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from dm_env import specs

from tolman.envs.actions import value_counts
from tolman.envs.environment import restart, transition

BOX = specs.BoundedArray((2,), np.float32, [-2.0, 0.0], [2.0, 1.0], "box")
SEVERAL = specs.BoundedArray((2,), np.int32, [1, 0], [2, 2], "several")
ACTIONS = {
    "box": BOX,
    "several": SEVERAL,
    "binary": specs.BoundedArray((3,), np.int8, 0, 1, "binary"),
    "nest": {"aim": BOX, "move": (specs.DiscreteArray(3), SEVERAL)},
    "masked": specs.DiscreteArray(5),
    "masked several": SEVERAL,
}


class ActionState(NamedTuple):
    key: jax.Array
    time: jax.Array
    taken: Any


@dataclass(frozen=True)
class ActionTask:
    """Shows the last action, in its own dtypes, and pays for large numbers.

    Where the name has "masked" in it, half of the values are illegal at random, but never
    the first of a number; a mask of nothing closes an episode.
    """

    name: str
    episode_length: int = 4

    def reset(self, key):
        nothing = jax.tree.map(
            lambda spec: jnp.zeros(spec.shape, spec.dtype), self.action_spec()
        )
        state = ActionState(key, jnp.int32(0), nothing)
        return state, restart(self._observe(state))

    def step(self, state, action):
        key, _ = jax.random.split(state.key)
        state = ActionState(key, state.time + 1, action)
        reward = sum(jnp.sum(leaf.astype(jnp.float32)) for leaf in jax.tree.leaves(action))
        ends = state.time == self.episode_length
        return state, transition(reward, self._observe(state), ends)

    def _observe(self, state):
        leaves = [leaf.reshape(-1) for leaf in jax.tree.leaves(state.taken)]
        seen = jnp.concatenate([*leaves, state.time[None]]).astype(jnp.float32)
        if "masked" not in self.name:
            return seen
        counts = value_counts(self.action_spec())
        mask = jax.random.bernoulli(state.key, 0.5, (sum(counts),))
        mask = mask.at[np.cumsum([0, *counts[:-1]])].set(True)
        mask &= state.time < self.episode_length
        return {"action_mask": mask.astype(jnp.int8), "seen": seen}

    def observation_spec(self):
        sizes = [int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(self.action_spec())]
        seen = specs.Array((sum(sizes) + 1,), np.float32, "seen")
        if "masked" not in self.name:
            return seen
        size = sum(value_counts(self.action_spec()))
        mask = specs.BoundedArray((size,), np.int8, 0, 1, "action_mask")
        return {"action_mask": mask, "seen": seen}

    def action_spec(self):
        return ACTIONS[self.name]
