"""Running means and deviations of what the agent sees and earns.

Shapes: `...` any leading axes, S the shape of one array of an observation.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from tolman.agents.agent import Array
from tolman.agents.inputs import Part
from tolman.envs.actions import is_continuous
from tolman.envs.environment import TimeStep

FIRST_NUMBER = 1e-4  # Of what was never seen: mean 0, variance 1.
SMALLEST_VARIANCE = 1e-8


class Moments(NamedTuple):
    """Attributes:
    number: `[]`, seen so far.
    mean: `[*S]`.
    variance: `[*S]`.
    """

    number: Array
    mean: Array
    variance: Array


class Statistics(NamedTuple):
    """Of training so far; constant between two updates, and after training.

    Attributes:
      observation: `Moments` of the continuous parts that the network reads, by the index
        of their leaf.
      discounted_return: `Moments` of a number.
    """

    observation: dict[int, Moments]
    discounted_return: Moments


def normalized_parts(observation_spec: Any, parts: Sequence[Part]) -> list[int]:
    """The leaves of an observation that are normalised: continuous, read, and no images."""
    leaves = jax.tree.leaves(observation_spec)
    return [
        index
        for index, (spec, part) in enumerate(zip(leaves, parts, strict=True))
        if part.is_read and not part.axes and is_continuous(spec)
    ]


def initial_moments(shape: Sequence[int]) -> Moments:
    """Those of nothing: what is normalised by them stays as it is."""
    return Moments(jnp.float32(FIRST_NUMBER), jnp.zeros(shape), jnp.ones(shape))


def join(moments: Moments, seen: Array, weight: Array) -> Moments:
    """Adds `seen` `[N, *S]`, each as often as `weight` `[N]` says.

    Source: Chan et al. 1983, equations 1.1 to 1.3, for the variance of two samples.
    """
    weights = weight.reshape(-1, *[1] * (seen.ndim - 1))
    count = weight.sum()
    mean = (seen * weights).sum(0) / jnp.maximum(count, 1.0)
    variance = (jnp.square(seen - mean) * weights).sum(0) / jnp.maximum(count, 1.0)
    total = moments.number + count
    shift = mean - moments.mean
    squares = moments.variance * moments.number + variance * count
    squares += jnp.square(shift) * moments.number * count / total
    return Moments(total, moments.mean + shift * count / total, squares / total)


def normalize_observation(
    observation: Any, moments: dict[int, Moments], clip: float
) -> Any:
    """The observation with its normalised leaves in deviations from their means."""
    leaves, structure = jax.tree.flatten(observation)
    for index, own in moments.items():
        deviation = jnp.sqrt(own.variance + SMALLEST_VARIANCE)
        leaves[index] = jnp.clip((leaves[index] - own.mean) / deviation, -clip, clip)
    return jax.tree.unflatten(structure, leaves)


def scale_rewards(reward: Array, moments: Moments, clip: float) -> Array:
    """Rewards in deviations of the discounted return."""
    deviation = jnp.sqrt(moments.variance + SMALLEST_VARIANCE)
    return jnp.clip(reward / deviation, -clip, clip)


def follow_return(before: Array, timestep: TimeStep, discount: float) -> Array:
    """The discounted sum of an episode's rewards up to and with this row."""
    return jnp.where(timestep.is_first(), 0.0, discount * before + timestep.reward)


def discounted_returns(before: Array, timestep: TimeStep, discount: float) -> Array:
    """`follow_return` of each of `[T + 1, B]` rows; `before` is `[B]`, before row 0."""

    def body(carried: Array, row: TimeStep) -> tuple[Array, Array]:
        carried = follow_return(carried, row, discount)
        return carried, carried

    row = timestep._replace(observation=())
    return jax.lax.scan(body, before, row)[1]
