"""Harlow's learning-set task on a screen: look at the cross, then at one of two pictures.

The world is a wall seen through a window that turns with the gaze. Shapes: S pixels a
side of the window, P of a picture, G the furthest turn in pixels, T trials.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, NamedTuple

import jax.numpy as jnp
import numpy as np
from annotated_types import Ge, Gt, Interval
from dm_env import specs
from jax import lax

from tolman.envs.environment import Array, TimeStep, register_env, restart, transition
from tolman.envs.meta_rl.harlow_choice import (
    NOT_YET,
    Pair,
    draw_pair,
    left_and_right,
    record,
)
from tolman.envs.meta_rl.images import Source, Split, find_source, load_images

LEFT, RIGHT, NO_OP = 0, 1, 2
FIXATION, CHOICE, INTERVAL = 0, 1, 2

PICTURE_SHARE = 34 / 84  # Of the window's side.
BACKGROUND, CROSS = 128, 0  # Grey levels.
FIXATION_REWARD = 0.2
FIXATION_TOLERANCE = 3.5  # Degrees.
CHOICE_TOLERANCE = 7.0  # Degrees.


class HarlowState(NamedTuple):
    """What the task is, and where the agent is in it.

    Attributes:
      pair: the episode's pictures, and their sides in every trial.
      time: `[]` int32, steps taken in this episode.
      trial: `[]` int32, trials completed.
      outcomes: `[T]` int32, of each trial: 1 correct, -1 wrong, 0 not yet made.
      phase: `[]` int32: 0 the cross is shown, 1 the pictures are, 2 nothing is.
      phase_time: `[]` int32, steps spent in the phase; at the cross, steps it was held.
      gaze: `[]` degrees right of the cross.
      velocity: `[]` degrees a frame.
    """

    pair: Pair
    time: Array
    trial: Array
    outcomes: Array
    phase: Array
    phase_time: Array
    gaze: Array
    velocity: Array


@register_env("harlow")
@dataclass(frozen=True)
class Harlow:
    """Hold the cross to be shown two pictures, then turn to one of them.

    Actions turn the gaze left (0), right (1) or leave it (2), with momentum. Holding
    the cross within 3.5 degrees for `hold_steps` steps on end pays 0.2 and shows the
    pictures; turning to within 7 degrees of one chooses it: 1 for the rewarded picture,
    -1 for the other, the same ones in all trials, their sides drawn anew. A blank
    interval follows. The episode terminates with its last choice, or is truncated.

    Source: Wang et al. 2016, section 3.2.2.
      Departure: the text gives neither the field of view nor how the momentum acts.
      Here the window spans `field_of_view_degrees`, the pictures touch its borders when
      the gaze is on the cross, and velocity decays by the factor `momentum` a frame,
      scaled so that one action turns `turn_degrees` in all. Steps are counted in
      actions, not in frames.

    Attributes:
      num_trials: the most trials an episode.
      max_num_steps: the most steps an episode, after which it is truncated.
      screen_size: S, pixels a side of the observation; 84 in the paper.
      num_images: the most pictures of the split that are used.
      source: of the pictures; "auto" is the first of omniglot, fruits and generated
        whose files are there, and `source_used` tells which.
      split: "held_out" shows pictures of classes that "train" never shows.
      action_repeat: frames a step.
      turn_degrees: what one action turns, in all; also what a lasting one turns a step.
      momentum: of the velocity, what is left after one frame; 0 for none.
      hold_steps: steps that the cross must be held.
      interval_steps: blank steps after a choice.
      field_of_view_degrees: what the window spans.
    """

    num_trials: Annotated[int, Ge(1)] = 10
    max_num_steps: Annotated[int, Ge(1)] = 3600
    screen_size: Annotated[int, Ge(16)] = 84
    num_images: Annotated[int, Ge(2)] = 1000
    source: Source = "auto"
    split: Split = "train"
    action_repeat: Annotated[int, Ge(1)] = 4
    turn_degrees: Annotated[float, Gt(0)] = 4.4
    momentum: Annotated[float, Interval(ge=0, lt=1)] = 0.5
    hold_steps: Annotated[int, Ge(1)] = 4
    interval_steps: Annotated[int, Ge(1)] = 10
    field_of_view_degrees: Annotated[float, Ge(30)] = 60.0

    def setting_problems(self) -> Iterator[tuple[str, str]]:
        find_source(self.source)  # Refuses one whose pictures are absent.
        yield from ()

    @functools.cached_property
    def source_used(self) -> str:
        """Where the pictures are from: "omniglot", "fruits" or "generated"."""
        return find_source(self.source)

    @property
    def picture_size(self) -> int:
        """P, pixels a side of a picture; S - P is even."""
        size = round(PICTURE_SHARE * self.screen_size)
        return size + (self.screen_size - size) % 2

    @property
    def eccentricity_degrees(self) -> float:
        """From the cross to the centre of either picture."""
        offset = (self.screen_size - self.picture_size) / 2
        return offset * self.field_of_view_degrees / self.screen_size

    @property
    def max_gaze_degrees(self) -> float:
        """The gaze turns no further than where the pictures stop being chosen."""
        return self.eccentricity_degrees + CHOICE_TOLERANCE

    @functools.cached_property
    def images(self) -> np.ndarray:
        """`[C, E, P, P, 3]` uint8, the pictures of this split by class."""
        return load_images(self.source_used, self.split, self.picture_size, self.num_images)

    def reset(self, key: Array) -> tuple[HarlowState, TimeStep]:
        """Draws a pair, which of it is rewarded, and the sides of every trial."""
        zero = jnp.int32(0)
        state = HarlowState(
            pair=draw_pair(key, self.images.shape, self.num_trials),
            time=zero,
            trial=zero,
            outcomes=jnp.full(self.num_trials, NOT_YET, jnp.int32),
            phase=jnp.int32(FIXATION),
            phase_time=zero,
            gaze=jnp.float32(0.0),
            velocity=jnp.float32(0.0),
        )
        return state, restart(self._observe(state))

    def step(self, state: HarlowState, action: Array) -> tuple[HarlowState, TimeStep]:
        """Turns the gaze, then does what the phase asks for."""
        gaze, velocity = self._turn(state.gaze, state.velocity, action)
        state = state._replace(time=state.time + 1, gaze=gaze, velocity=velocity)
        state, reward = self._advance(state)
        terminated = state.trial == self.num_trials
        truncated = state.time == self.max_num_steps
        return state, transition(reward, self._observe(state), terminated, truncated)

    def observation_spec(self) -> specs.BoundedArray:
        """The window onto the wall."""
        shape = (self.screen_size, self.screen_size, 3)
        return specs.BoundedArray(shape, np.uint8, 0, 255, "observation")

    def action_spec(self) -> specs.DiscreteArray:
        """Left, right, no-op."""
        return specs.DiscreteArray(3, name="action")

    def _turn(self, gaze: Array, velocity: Array, action: Array) -> tuple[Array, Array]:
        direction = (action == RIGHT).astype(jnp.float32) - (action == LEFT)
        push = direction * self.turn_degrees * (1.0 - self.momentum) / self.action_repeat
        for _ in range(self.action_repeat):
            velocity = self.momentum * velocity + push
            gaze = gaze + velocity
        limited = jnp.clip(gaze, -self.max_gaze_degrees, self.max_gaze_degrees)
        return limited, jnp.where(limited == gaze, velocity, 0.0)

    def _advance(self, state: HarlowState) -> tuple[HarlowState, Array]:
        """The next phase, trial and outcomes, and the reward of this step."""
        _, rewarded = left_and_right(state.pair, state.trial)
        on_cross = jnp.abs(state.gaze) <= FIXATION_TOLERANCE
        on_left = jnp.abs(state.gaze + self.eccentricity_degrees) <= CHOICE_TOLERANCE
        on_right = jnp.abs(state.gaze - self.eccentricity_degrees) <= CHOICE_TOLERANCE
        is_correct = jnp.where(rewarded == 1, on_right, on_left)

        at_cross, at_choice = state.phase == FIXATION, state.phase == CHOICE
        phase_time = jnp.where(at_cross & ~on_cross, 0, state.phase_time + 1)
        has_held = at_cross & (phase_time == self.hold_steps)
        has_chosen = at_choice & (on_left | on_right)
        has_waited = (state.phase == INTERVAL) & (phase_time == self.interval_steps)

        outcomes = record(state.outcomes, state.trial, is_correct)
        reward = jnp.where(has_held, FIXATION_REWARD, 0.0)
        state = state._replace(
            trial=state.trial + has_chosen,
            outcomes=jnp.where(has_chosen, outcomes, state.outcomes),
            phase=(state.phase + (has_held | has_chosen | has_waited)) % 3,
            phase_time=jnp.where(has_held | has_chosen | has_waited, 0, phase_time),
        )
        return state, jnp.where(has_chosen, jnp.where(is_correct, 1.0, -1.0), reward)

    def _observe(self, state: HarlowState) -> Array:
        screen, size = self.screen_size, self.picture_size
        pixels_per_degree = screen / self.field_of_view_degrees
        furthest = int(np.ceil(self.max_gaze_degrees * pixels_per_degree))  # G.
        wall = jnp.where(
            state.phase == CHOICE,
            self._pictures(state, furthest),
            jnp.where(state.phase == FIXATION, self._cross(furthest), BACKGROUND),
        ).astype(jnp.uint8)  # [P, S + 2 G, 3]
        turned = jnp.round(state.gaze * pixels_per_degree).astype(jnp.int32)
        seen = lax.dynamic_slice_in_dim(wall, furthest + turned, screen, axis=1)
        margin = (screen - size) // 2
        return jnp.pad(
            seen, ((margin, margin), (0, 0), (0, 0)), constant_values=BACKGROUND
        )  # [S, S, 3]

    def _pictures(self, state: HarlowState, furthest: int) -> Array:
        size, screen = self.picture_size, self.screen_size
        pictures, _ = left_and_right(state.pair, state.trial)
        table = jnp.asarray(self.images.reshape(-1, size, size, 3))
        outside = jnp.full((size, furthest, 3), BACKGROUND, jnp.uint8)
        between = jnp.full((size, screen - 2 * size, 3), BACKGROUND, jnp.uint8)
        left, right = table[pictures[0]], table[pictures[1]]
        return jnp.concatenate([outside, left, between, right, outside], axis=1)

    def _cross(self, furthest: int) -> np.ndarray:
        """`[P, S + 2 G, 1]`, a cross half as large as a picture, at gaze 0."""
        size, width = self.picture_size, self.screen_size + 2 * furthest
        y = np.abs(np.arange(size) - (size - 1) / 2)[:, None]
        x = np.abs(np.arange(width) - (width - 1) / 2)[None]
        length, thickness = size / 4, max(1.0, size / 16)
        arms = (x <= length) & (y <= length) & ((x <= thickness) | (y <= thickness))
        return np.where(arms, CROSS, BACKGROUND).astype(np.uint8)[..., None]
