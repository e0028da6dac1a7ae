"""Harlow's learning-set task, bare: two pictures, two actions, one of them right.

Shapes: S pixels a side of a picture, T trials.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from annotated_types import Ge
from dm_env import specs

from tolman.envs.environment import Array, TimeStep, register_env, restart, transition
from tolman.envs.meta_rl.images import Source, Split, find_source, load_images

CORRECT, WRONG, NOT_YET = 1, -1, 0


class Pair(NamedTuple):
    """Two pictures of different classes, by their row in the table of all pictures.

    Attributes:
      rewarded: `[]` int32, the one that pays 1.
      other: `[]` int32, the one that costs 1.
      rewarded_is_right: `[T]` bool, on which side the rewarded one is in each trial.
    """

    rewarded: Array
    other: Array
    rewarded_is_right: Array


def draw_pair(key: Array, images_shape: tuple[int, ...], num_trials: int) -> Pair:
    """Draws two examples of different classes, and their sides in every trial.

    Args:
      key: of the draws.
      images_shape: `(num_classes, num_examples, ...)` of the table of all pictures.
      num_trials: T.
    """
    num_classes, num_examples = images_shape[:2]
    class_key, step_key, example_key, side_key = jax.random.split(key, 4)
    first = jax.random.randint(class_key, (), 0, num_classes)
    second = (first + jax.random.randint(step_key, (), 1, num_classes)) % num_classes
    examples = jax.random.randint(example_key, (2,), 0, num_examples)
    return Pair(
        rewarded=first * num_examples + examples[0],
        other=second * num_examples + examples[1],
        rewarded_is_right=jax.random.bernoulli(side_key, shape=(num_trials,)),
    )


def left_and_right(pair: Pair, trial: Array) -> tuple[Array, Array]:
    """`[2]` int32, the left and the right picture of a trial, and which is rewarded.

    The second is `[]` int32: 0 left, 1 right. After the last trial, as in the last.
    """
    last = pair.rewarded_is_right.shape[0] - 1
    rewarded_is_right = pair.rewarded_is_right[jnp.minimum(trial, last)]
    forward = jnp.stack([pair.rewarded, pair.other])
    pictures = jnp.where(rewarded_is_right, forward[::-1], forward)
    return pictures, rewarded_is_right.astype(jnp.int32)


def record(outcomes: Array, trial: Array, is_correct: Array) -> Array:
    """`outcomes` with the result of `trial` in its place; shapes `[T]`, `[]`, `[]`."""
    here = jnp.arange(outcomes.shape[0]) == trial
    return jnp.where(here, jnp.where(is_correct, CORRECT, WRONG), outcomes)


class HarlowChoiceState(NamedTuple):
    """What the task is, and what was chosen.

    Attributes:
      pair: the episode's pictures, and their sides in every trial.
      trial: `[]` int32, trials completed.
      outcomes: `[T]` int32, of each trial: 1 correct, -1 wrong, 0 not yet made.
    """

    pair: Pair
    trial: Array
    outcomes: Array


@register_env("harlow/choice")
@dataclass(frozen=True)
class HarlowChoice:
    """Two pictures side by side; action 0 takes the left one, action 1 the right one.

    One of them pays 1 in every trial of the episode, the other -1; their sides are
    drawn anew each trial. Nothing but the first trial's outcome tells which is which.

    Source: Wang et al. 2016, section 3.2.2 (and Harlow 1949).
      Departure: one step a trial, without gaze or fixation; see `Harlow` for those.

    Attributes:
      num_trials: trials (and steps) an episode.
      image_size: S, pixels a side of one picture.
      num_images: the most pictures of the split that are used.
      source: of the pictures; "auto" is the first of omniglot, fruits and generated
        whose files are there, and `source_used` tells which.
      split: "held_out" shows pictures of classes that "train" never shows.
    """

    num_trials: Annotated[int, Ge(1)] = 10
    image_size: Annotated[int, Ge(4)] = 14
    num_images: Annotated[int, Ge(2)] = 1000
    source: Source = "auto"
    split: Split = "train"

    def setting_problems(self) -> Iterator[tuple[str, str]]:
        find_source(self.source)  # Refuses one whose pictures are absent.
        yield from ()

    @functools.cached_property
    def source_used(self) -> str:
        """Where the pictures are from: "omniglot", "fruits" or "generated"."""
        return find_source(self.source)

    @functools.cached_property
    def images(self) -> np.ndarray:
        """`[C, E, S, S, 3]` uint8, the pictures of this split by class."""
        return load_images(self.source_used, self.split, self.image_size, self.num_images)

    def reset(self, key: Array) -> tuple[HarlowChoiceState, TimeStep]:
        """Draws a pair, which of it is rewarded, and the sides of every trial."""
        pair = draw_pair(key, self.images.shape, self.num_trials)
        state = HarlowChoiceState(
            pair, jnp.int32(0), jnp.full(self.num_trials, NOT_YET, jnp.int32)
        )
        return state, restart(self._observe(state))

    def step(
        self, state: HarlowChoiceState, action: Array
    ) -> tuple[HarlowChoiceState, TimeStep]:
        """Takes the left or the right picture."""
        _, rewarded = left_and_right(state.pair, state.trial)
        is_correct = action == rewarded
        state = HarlowChoiceState(
            pair=state.pair,
            trial=state.trial + 1,
            outcomes=record(state.outcomes, state.trial, is_correct),
        )
        reward = jnp.where(is_correct, 1.0, -1.0)
        terminated = state.trial == self.num_trials
        return state, transition(reward, self._observe(state), terminated)

    def observation_spec(self) -> specs.BoundedArray:
        """The two pictures side by side."""
        shape = (self.image_size, 2 * self.image_size, 3)
        return specs.BoundedArray(shape, np.uint8, 0, 255, "observation")

    def action_spec(self) -> specs.DiscreteArray:
        """Left and right."""
        return specs.DiscreteArray(2, name="action")

    def _observe(self, state: HarlowChoiceState) -> Array:
        size = self.image_size
        pictures, _ = left_and_right(state.pair, state.trial)
        table = jnp.asarray(self.images.reshape(-1, size, size, 3))
        return jnp.concatenate([table[pictures[0]], table[pictures[1]]], axis=1)
