"""Associative recall: pairs of a key and a value, distractors, then a key alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from annotated_types import Ge
from dm_env import specs

from tolman.envs.environment import Array, TimeStep, register_env, restart, transition

PAIR, DISTRACTOR, QUERY = range(3)  # Kinds of rows, shown one-hot.


class AssociativeRecallState(NamedTuple):
    """What the task is, and how far it is.

    Attributes:
      time: `[]` int32, steps taken.
      keys: `[N + 1]` int32, of all rows: pairs, distractors, the query.
      values: `[N + 1]` int32, likewise; the last is the answer and is not shown.
    """

    time: Array
    keys: Array
    values: Array


@register_env("memory/associative_recall")
@dataclass(frozen=True)
class AssociativeRecall:
    """Shows pairs, then distractors of the same looks, then one key: answer its value.

    The keys of an episode's pairs differ; their values are drawn independently, all
    equally likely. Distractors are pairs too, drawn without regard to the others, under a
    mark that says that they do not count. The last row shows the key of one of the pairs;
    the action taken there pays 1 if it is that key's value and 0 otherwise. Without
    memory every policy returns `1 / num_values` in the mean.

    Source: Graves et al. 2014, "Neural Turing machines", section 4.3, for the idea of the
      task; rows, keys and distractors are ours.

    Attributes:
      num_pairs: shown first, one a step; at most `num_keys`.
      num_distractors: shown next, one a step.
      num_keys: different keys.
      num_values: different values, each the action of its number.
    """

    num_pairs: Annotated[int, Ge(1)] = 3
    num_distractors: Annotated[int, Ge(0)] = 6
    num_keys: Annotated[int, Ge(1)] = 6
    num_values: Annotated[int, Ge(2)] = 3

    def setting_problems(self) -> Iterator[tuple[str, str]]:
        if self.num_keys < self.num_pairs:
            yield "num_keys", f"at least num_pairs = {self.num_pairs}"

    def reset(self, key: Array) -> tuple[AssociativeRecallState, TimeStep]:
        """Draws all rows, and shows the first pair."""
        key_key, distractor_key, value_key, query_key = jax.random.split(key, 4)
        pair_keys = jax.random.permutation(key_key, self.num_keys)[: self.num_pairs]
        distractors = jax.random.randint(
            distractor_key, (self.num_distractors,), 0, self.num_keys
        )
        values = jax.random.randint(value_key, (self._query_time,), 0, self.num_values)
        asked = jax.random.randint(query_key, (), 0, self.num_pairs)
        state = AssociativeRecallState(
            time=jnp.int32(0),
            keys=jnp.concatenate([pair_keys, distractors, pair_keys[asked][None]]),
            values=jnp.concatenate([values, values[asked][None]]),
        )
        return state, restart(self._observe(state))

    def step(
        self, state: AssociativeRecallState, action: Array
    ) -> tuple[AssociativeRecallState, TimeStep]:
        """Shows the next row, or pays the answer."""
        at_query = state.time == self._query_time
        reward = jnp.where(at_query & (action == state.values[-1]), 1.0, 0.0)
        state = state._replace(time=state.time + 1)
        return state, transition(reward, self._observe(state), terminated=at_query)

    def observation_spec(self) -> specs.BoundedArray:
        """One-hot key, one-hot value and one-hot kind of row, side by side.

        The value of the query is all zeros, and so is the row after the answer.
        """
        size = self.num_keys + self.num_values + 3
        return specs.BoundedArray((size,), np.float32, 0.0, 1.0, "observation")

    def action_spec(self) -> specs.DiscreteArray:
        """One action a value."""
        return specs.DiscreteArray(self.num_values, name="action")

    @property
    def _query_time(self) -> int:
        return self.num_pairs + self.num_distractors

    def _observe(self, state: AssociativeRecallState) -> Array:
        time, query_time = state.time, self._query_time
        is_later = (time >= self.num_pairs).astype(jnp.int32)
        kind = jnp.where(time == query_time, QUERY, is_later)  # PAIR, then DISTRACTOR.
        row = jnp.minimum(time, query_time)
        observation = jnp.concatenate(
            [
                jax.nn.one_hot(state.keys[row], self.num_keys),
                jax.nn.one_hot(state.values[row], self.num_values) * (time < query_time),
                jax.nn.one_hot(kind, 3),
            ]
        )
        return observation * (time <= query_time)
