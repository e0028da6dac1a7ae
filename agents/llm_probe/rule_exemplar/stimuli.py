"""Stimuli of two features, of whose four combinations three are seen: partial exposure.

One feature is A or B and decides the label, the other X or W. AX and AW have one label, BW
the other; BX is held out. Who follows the rule gives BX the label of BW; who goes by
likeness is of two minds, for BX has as much in common with AX as with BW.

Shapes: B sequences, N examples of a context, S numbers of a feature, K tasks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from annotated_types import Ge, Interval

from tolman.agents.agent import Array

# Combinations: the deciding feature and the other one.
AX, AW, BW, BX = (0, 0), (0, 1), (1, 1), (1, 0)
# Both labels are seen equally often, or the more frequent one would draw BX to it; AX
# nearly as often as BW, or a learner that counts what is like BX would seem to have a rule.
CONTEXT = np.array([AX, AX, AX, AW, BW, BW, BW, BW])
SEEN = np.array([AX, AW, BW, BW])


class Examples(NamedTuple):
    """B sequences: a context of labelled stimuli, then one to be labelled.

    Attributes:
      stimuli: `[B, N + 1, 2 S]` float32, the last is asked.
      labels: `[B, N]` int32.
      target: `[B]` int32; where the combination is held out, the label by the rule.
      other: `[B]` int32, the other label of the task that is asked.
      is_held_out: `[B]` bool.
    """

    stimuli: Array
    labels: Array
    target: Array
    other: Array
    is_held_out: Array


@dataclass(frozen=True)
class InContext:
    """Features and labels are new in every sequence: the context alone tells them.

    Which of the two places decides is drawn for every sequence, or it would be learned in
    weights. The methods are those of `tolman.launchers.device.supervised.Source`.

    Attributes:
      size: S.
      noise: standard deviation around a feature, whose numbers have one of 1.
      held_out_share: of the training sequences that ask for BX, with the label by the
        rule; above 0 this is pretraining on rules. Testing asks BX in every second one.
    """

    size: Annotated[int, Ge(1)] = 64
    noise: Annotated[float, Ge(0)] = 0.1
    held_out_share: Annotated[float, Interval(ge=0, le=1)] = 0.0

    num_labels = 2

    def load(self, split: str) -> Any:
        """`[]`, the share of sequences that ask for BX."""
        return jnp.float32(self.held_out_share if split == "train" else 0.5)

    def sample(self, data: Any, key: Array, batch_size: int) -> Examples:
        keys = jax.random.split(key, batch_size)
        return jax.vmap(lambda one: self._draw(one, data))(keys)

    def _draw(self, key: Array, held_out_share: Array) -> Examples:
        feature_key, label_key, order_key, query_key, noise_key = jax.random.split(key, 5)
        features = jax.random.normal(feature_key, (2, 2, self.size))  # [place, value, S]
        swap_key, label_key = jax.random.split(label_key)
        is_swapped = jax.random.bernoulli(swap_key)
        labels = jax.random.permutation(label_key, self.num_labels)  # Of A and of B.
        order = jax.random.permutation(order_key, len(CONTEXT))
        context = jnp.array(CONTEXT)[order]
        query, is_held_out = draw_query(query_key, held_out_share)
        combinations = jnp.concatenate([context, query[None]])
        stimuli = show(features, combinations, is_swapped)
        stimuli += self.noise * jax.random.normal(noise_key, stimuli.shape)
        decides = query[0]
        return Examples(
            stimuli, labels[context[:, 0]], labels[decides], labels[1 - decides],
            is_held_out,
        )  # fmt: skip


@dataclass(frozen=True)
class InWeights:
    """Features and labels of each task stay: the context shows other tasks only.

    The methods are those of `tolman.launchers.device.supervised.Source`.

    Attributes:
      size: S.
      noise: as of `InContext`.
      num_tasks: K, each with two labels of its own.
      seed: of the tasks.
    """

    size: Annotated[int, Ge(1)] = 64
    noise: Annotated[float, Ge(0)] = 0.1
    num_tasks: Annotated[int, Ge(2)] = 16
    seed: int = 0

    @property
    def num_labels(self) -> int:
        """Of all tasks."""
        return 2 * self.num_tasks

    def load(self, split: str) -> Any:
        """The features `[K, 2, 2, S]`, whether a task's places are swapped, `[K]`, and the
        share of sequences that ask for BX, `[]`.
        """
        feature_key, swap_key = jax.random.split(jax.random.PRNGKey(self.seed))
        features = jax.random.normal(feature_key, (self.num_tasks, 2, 2, self.size))
        is_swapped = jax.random.bernoulli(swap_key, shape=(self.num_tasks,))
        return features, is_swapped, jnp.float32(0.0 if split == "train" else 0.5)

    def sample(self, data: Any, key: Array, batch_size: int) -> Examples:
        keys = jax.random.split(key, batch_size)
        return jax.vmap(lambda one: self._draw(one, *data))(keys)

    def _draw(
        self, key: Array, features: Array, is_swapped: Array, held_out_share: Array
    ) -> Examples:
        task_key, other_key, seen_key, query_key, noise_key = jax.random.split(key, 5)
        task = jax.random.randint(task_key, (), 0, self.num_tasks)
        step = jax.random.randint(other_key, (len(CONTEXT),), 1, self.num_tasks)
        tasks = jnp.append((task + step) % self.num_tasks, task)  # The last is asked.
        seen = jax.random.randint(seen_key, (len(CONTEXT),), 0, len(SEEN))
        context = jnp.array(SEEN)[seen]
        query, is_held_out = draw_query(query_key, held_out_share)
        combinations = jnp.concatenate([context, query[None]])
        stimuli = jax.vmap(lambda one, pair, swap: show(one, pair[None], swap)[0])(
            features[tasks], combinations, is_swapped[tasks]
        )
        stimuli += self.noise * jax.random.normal(noise_key, stimuli.shape)
        labels = 2 * tasks + combinations[:, 0]
        other = 2 * task + 1 - query[0]
        return Examples(stimuli, labels[:-1], labels[-1], other, is_held_out)


def draw_query(key: Array, held_out_share: Array) -> tuple[Array, Array]:
    """A combination `[2]` that is asked, and whether it is BX."""
    share_key, seen_key = jax.random.split(key)
    is_held_out = jax.random.bernoulli(share_key, held_out_share)
    seen = jnp.array(SEEN)[jax.random.randint(seen_key, (), 0, len(SEEN))]
    return jnp.where(is_held_out, jnp.array(BX), seen), is_held_out


def show(features: Array, combinations: Array, is_swapped: Array) -> Array:
    """Stimuli `[N, 2 S]`: the deciding feature first, or second where places are swapped.

    Args:
      features: `[2, 2, S]`, by place and value.
      combinations: `[N, 2]`.
      is_swapped: `[]` bool.
    """
    decides, other = features[0][combinations[:, 0]], features[1][combinations[:, 1]]
    pair = jnp.stack([decides, other], axis=1)  # [N, 2, S]
    pair = jnp.where(is_swapped, pair[:, ::-1], pair)
    return pair.reshape(len(combinations), -1)
