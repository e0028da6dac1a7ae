"""Policies over the actions of a spec: numbered, several numbered, continuous, and nests.

A policy is a pytree of arrays, its parameters; of numbered actions, the logits. The numbers
that a network gives are turned into it, and all else is computed from it, by the actor and
the learner alike.

Shapes: `...` is `[B]` for one step and `[T, B]` for an unroll; N numbers of a network, F
numbers that are learned directly, S the shape of an action, A values that it may take.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from dm_env import specs

from tolman.agents.agent import Array
from tolman.agents.settings import Bounding
from tolman.envs.actions import bounds, is_continuous

ILLEGAL = float(jnp.finfo(jnp.float32).min)  # Logit of what cannot be chosen.
MAX_VALUES = 100_000  # Of all numbered parts of one array of an action.
LOG_STD_RANGE = (-5.0, 2.0)  # Of a squashed Gaussian, whose network gives it.
LARGEST_SQUASHED = 1.0 - 1e-6  # tanh gives 1 from about 9 on, and that has no inverse.
LARGEST_BOUND = 1e30  # Of an action; beyond it there is none.
NUM_NODES = 24  # Of the quadrature of the entropy of a squashed Gaussian.


class Gaussian(NamedTuple):
    """Parameters, in units in which the bounds of the action are -1 and 1.

    Attributes:
      mean: `[..., *S]`.
      log_std: `[..., *S]`.
    """

    mean: Array
    log_std: Array


class Distribution(NamedTuple):
    """The policy over one array of an action.

    Attributes:
      num_outputs: N, numbers that a network gives for it.
      num_free: F, numbers learned directly, that no observation changes.
      num_legal: entries of a mask of legal actions; 0 where none can be illegal.
      parameters: maps `[..., N]`, `[F]` and a mask `[..., num_legal]`, or None for all, to
        the policy.
      draw_noise: `draw_noise(key, batch_size)` draws what `sample` needs.
      sample: maps a policy `[B]` and its noise to an action `[B, *S]`; with noise of zeros,
        to the likeliest value, or to what the mean stands for.
      log_probability: of an action, `[...]`; of a continuous one its log density.
      entropy: `[...]`, in nats.
      how: the actions are chosen, in words.
    """

    num_outputs: int
    num_free: int
    num_legal: int
    parameters: Callable[[Array, Array, Array | None], Any]
    draw_noise: Callable[[Array, int], Array]
    sample: Callable[[Any, Array], Array]
    log_probability: Callable[[Any, Array], Array]
    entropy: Callable[[Any], Array]
    how: str


def categorical(shape: Sequence[int], counts: np.ndarray, low: np.ndarray) -> Distribution:
    """Numbers, each of `counts` values from `low` on, drawn independently of each other.

    The policy is the logits, `[..., *S, A]`, where A is the largest count; `ILLEGAL` stands
    where a number has no such value, and where a mask forbids it.

    Args:
      shape: S; `()` for a single number.
      counts: `[*S]`, at least 1 each.
      low: `[*S]`.
    """
    shape, num_values = tuple(shape), int(counts.max())
    exists = np.arange(num_values) < counts[..., None]  # [*S, A]
    # Where in a network's N numbers, which lie without gaps, each logit stands.
    index = np.where(exists, np.cumsum(exists).reshape(exists.shape) - 1, 0)
    is_dense, num_outputs = bool(exists.all()), int(counts.sum())
    axes = tuple(range(-len(shape), 0))

    def spread(x: Array) -> Array:
        return x.reshape(*x.shape[:-1], *exists.shape) if is_dense else x[..., index]

    def parameters(outputs: Array, free: Array, mask: Array | None) -> Array:
        del free
        logits = spread(outputs)
        if not is_dense:
            logits = jnp.where(exists, logits, ILLEGAL)
        return logits if mask is None else jnp.where(spread(mask), logits, ILLEGAL)

    def draw_noise(key: Array, batch_size: int) -> Array:
        return jax.random.gumbel(key, (batch_size, *exists.shape))

    def choose(scores: Array) -> Array:
        return jnp.argmax(scores, axis=-1).astype(jnp.int32) + low.astype(np.int32)

    def log_probability(logits: Array, action: Array) -> Array:
        taken = (action - low.astype(np.int32))[..., None]
        each = jnp.take_along_axis(jax.nn.log_softmax(logits), taken, -1)[..., 0]
        return each.sum(axes)

    def entropy(logits: Array) -> Array:
        log_policy = jax.nn.log_softmax(logits)
        return -jnp.sum(jnp.exp(log_policy) * log_policy, axis=-1).sum(axes)

    values = " or ".join(str(count) for count in sorted(set(counts.reshape(-1).tolist())))
    how = f"{counts.size} numbers of {values} values each" if shape else f"one of {values}"
    return Distribution(
        num_outputs=num_outputs,
        num_free=0,
        num_legal=num_outputs,
        parameters=parameters,
        draw_noise=draw_noise,
        sample=lambda logits, noise: choose(noise + logits),
        log_probability=log_probability,
        entropy=entropy,
        how=how,
    )


class Scale(NamedTuple):
    """Attributes:
    centre: `[*S]`, of the actions; 0 where one has no bounds.
    half: `[*S]`, half their range; 1 where one has no bounds.
    """

    centre: np.ndarray
    half: np.ndarray


def clipped_gaussian(shape: Sequence[int], scale: Scale) -> Distribution:
    """A Gaussian whose samples the environment clips, and whose deviations are learned.

    The action is the sample itself: the environment's side clips it (`clip_action`), so
    that the density is a Gaussian's. The deviations are the same in every state.

    Source: Schulman et al. 2017, section 6.1; Huang et al. 2022, "The 37 implementation
      details of PPO", details 1, 2, 4 of continuous action domains.
    """
    size = math.prod(shape)
    axes = tuple(range(-len(shape), 0))
    log_half = float(np.log(scale.half).sum())

    def parameters(outputs: Array, free: Array, mask: Array | None) -> Gaussian:
        mean = outputs.reshape(*outputs.shape[:-1], *shape)
        return Gaussian(mean, jnp.broadcast_to(free.reshape(shape), mean.shape))

    def log_probability(policy: Gaussian, action: Array) -> Array:
        x = (action - scale.centre) / scale.half
        return _log_density(policy, x).sum(axes) - log_half

    return Distribution(
        num_outputs=size,
        num_free=size,
        num_legal=0,
        parameters=parameters,
        draw_noise=lambda key, batch_size: jax.random.normal(key, (batch_size, *shape)),
        sample=lambda policy, noise: _scaled(scale, _draw(policy, noise)),
        log_probability=log_probability,
        entropy=lambda policy: _entropy(policy).sum(axes) + log_half,
        how=f"{size} numbers from a Gaussian, clipped to their bounds",
    )


def squashed_gaussian(shape: Sequence[int], scale: Scale) -> Distribution:
    """The hyperbolic tangent of a Gaussian, which keeps within the bounds.

    The network gives means and deviations. The entropy is computed by Gauss-Hermite
    quadrature, as it has no closed form.

    Source: Haarnoja et al. 2018, appendix C.
    """
    size = math.prod(shape)
    axes = tuple(range(-len(shape), 0))
    log_half = float(np.log(scale.half).sum())
    nodes, weights = np.polynomial.hermite.hermgauss(NUM_NODES)
    nodes, weights = nodes * math.sqrt(2.0), weights / math.sqrt(math.pi)

    def parameters(outputs: Array, free: Array, mask: Array | None) -> Gaussian:
        mean, log_std = jnp.split(outputs, 2, axis=-1)
        wanted = (*outputs.shape[:-1], *shape)
        # At a network's 0 the deviation is 1.
        log_std = jnp.clip(log_std, *LOG_STD_RANGE)
        return Gaussian(mean.reshape(wanted), log_std.reshape(wanted))

    def squash(x: Array) -> Array:
        x = jnp.clip(jnp.tanh(x), -LARGEST_SQUASHED, LARGEST_SQUASHED)
        return _scaled(scale, x)

    def log_probability(policy: Gaussian, action: Array) -> Array:
        x = (action - scale.centre) / scale.half
        x = jnp.arctanh(jnp.clip(x, -LARGEST_SQUASHED, LARGEST_SQUASHED))
        return (_log_density(policy, x) - _log_slope(x)).sum(axes) - log_half

    def entropy(policy: Gaussian) -> Array:
        std = jnp.exp(policy.log_std)
        slopes = [
            weight * _log_slope(policy.mean + node * std)
            for node, weight in zip(nodes.tolist(), weights.tolist(), strict=True)
        ]
        return (_entropy(policy) + sum(slopes)).sum(axes) + log_half

    return Distribution(
        num_outputs=2 * size,
        num_free=0,
        num_legal=0,
        parameters=parameters,
        draw_noise=lambda key, batch_size: jax.random.normal(key, (batch_size, *shape)),
        sample=lambda policy, noise: squash(_draw(policy, noise)),
        log_probability=log_probability,
        entropy=entropy,
        how=f"{size} numbers from a Gaussian, squashed into their bounds",
    )


def of_spec(spec: Any, bounding: Bounding = "clip", name: str = "") -> Distribution:
    """The distribution over the actions of one spec.

    Args:
      spec: a `DiscreteArray`, bounded integers, or floats.
      bounding: how floats are kept within their bounds.
      name: of the spec in its nest, for errors.

    Raises:
      ValueError: for what cannot be acted on, such as text or integers without bounds, or
        floats without bounds that are to be squashed.
    """
    where = f"action{name}"
    if isinstance(spec, specs.DiscreteArray):
        return categorical((), np.array(spec.num_values), np.array(0))
    shape = tuple(spec.shape)
    low, high = bounds(spec)
    if not is_continuous(spec):
        counts = high - low + 1
        if not counts.sum() <= MAX_VALUES:
            raise ValueError(
                f"{where}: got integers with {counts.sum():g} values in all; must be "
                f"bounded, {MAX_VALUES} at most. Bound them in the action spec."
            )
        return categorical(shape, counts.astype(int), low.astype(int))
    is_bounded: Any = np.maximum(np.abs(low), np.abs(high)) < LARGEST_BOUND
    if bounding == "squash" and not is_bounded.all():
        raise ValueError(
            f"{where}: got bounds from {low.min():g} to {high.max():g}; must be finite to "
            "squash into. Set --agent.action-bounds clip."
        )
    with np.errstate(invalid="ignore"):
        centre, half = (high + low) / 2, (high - low) / 2
    half = np.where(is_bounded & (half > 0), half, 1.0).astype(np.float32)
    scale = Scale(np.where(is_bounded, centre, 0.0).astype(np.float32), half)
    make = clipped_gaussian if bounding == "clip" else squashed_gaussian
    return make(shape, scale)


def _draw(policy: Gaussian, noise: Array) -> Array:
    return policy.mean + jnp.exp(policy.log_std) * noise


def _scaled(scale: Scale, x: Array) -> Array:
    return jnp.asarray(scale.centre) + jnp.asarray(scale.half) * x


def _log_density(policy: Gaussian, x: Array) -> Array:
    distance = (x - policy.mean) * jnp.exp(-policy.log_std)
    return -0.5 * jnp.square(distance) - policy.log_std - 0.5 * math.log(2.0 * math.pi)


def _entropy(policy: Gaussian) -> Array:
    return policy.log_std + 0.5 * math.log(2.0 * math.pi * math.e)


def _log_slope(x: Array) -> Array:
    """Of tanh at x: log(1 - tanh(x)^2), without cancellation."""
    return 2.0 * (math.log(2.0) - x - jax.nn.softplus(-2.0 * x))
