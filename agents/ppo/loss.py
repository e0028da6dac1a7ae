"""PPO's losses: arrays in, scalars and metrics out.

Shapes: T decisions, B sequences.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from tolman.agents.agent import Array, Metrics


class Old(NamedTuple):
    """What an update starts from; no gradient flows through it.

    Attributes:
      log_probability: `[T, B]`, of the actions taken.
      value: `[T, B]`.
      advantage: `[T, B]`.
      value_target: `[T, B]`.
      mask: `[T, B]`, 1 where the decision counts.
    """

    log_probability: Array
    value: Array
    advantage: Array
    value_target: Array
    mask: Array


def masked_mean(x: Array, mask: Array) -> Array:
    """`[]`, over the decisions that count."""
    return jnp.sum(x * mask) / jnp.maximum(mask.sum(), 1.0)


def normalize(advantage: Array, mask: Array) -> Array:
    """Advantages with mean 0 and deviation 1 over the decisions that count.

    Source: Huang et al. 2022, detail 7.
    """
    centred = advantage - masked_mean(advantage, mask)
    deviation = jnp.sqrt(masked_mean(jnp.square(centred), mask))
    return centred / (deviation + 1e-8)


def policy_loss(
    log_ratio: Array, advantage: Array, mask: Array, clip_range: float
) -> Array:
    """`[]`, the clipped surrogate, with its sign turned.

    Args:
      log_ratio: `[T, B]`, log probability of the action now, less that before.
      advantage: `[T, B]`.
      mask: `[T, B]`.
      clip_range: epsilon.

    Source: Schulman et al. 2017, equation 7.
    """
    ratio = jnp.exp(log_ratio)
    clipped = jnp.clip(ratio, 1.0 - clip_range, 1.0 + clip_range)
    return -masked_mean(jnp.minimum(ratio * advantage, clipped * advantage), mask)


def value_loss(value: Array, old: Old, clip_range: float) -> Array:
    """`[]`, half the squared error; the larger of those with and without the clip.

    Args:
      value: `[T, B]`.
      old: of the update's start.
      clip_range: how far a value may move from the old one; 0 for any.

    Source: Huang et al. 2022, detail 9.
    """
    error = jnp.square(value - old.value_target)
    if clip_range > 0:
        moved = jnp.clip(value - old.value, -clip_range, clip_range)
        error = jnp.maximum(error, jnp.square(old.value + moved - old.value_target))
    return 0.5 * masked_mean(error, old.mask)


def approximate_kl(log_ratio: Array, mask: Array) -> Array:
    """`[]`, how far the policy has moved, from the actions taken; never below 0.

    Source: Huang et al. 2022, detail 12.
    """
    return masked_mean(jnp.expm1(log_ratio) - log_ratio, mask)


def ppo_loss(
    log_probability: Array,
    entropy: Array,
    value: Array,
    old: Old,
    clip_range: float,
    value_clip_range: float,
    entropy_cost: Array | float,
    value_cost: float,
) -> tuple[Array, Metrics]:
    """Clipped policy gradient, clipped value regression, and entropy bonus.

    Args:
      log_probability: `[T, B]`, of the actions taken, now.
      entropy: `[T, B]`, of the policy now.
      value: `[T, B]`, now.
      old: of the update's start; its advantages are taken as they are.
      clip_range: epsilon of the policy.
      value_clip_range: of the value; 0 for none.
      entropy_cost: weight of the entropy bonus.
      value_cost: weight of the value loss.

    Source: Schulman et al. 2017, equation 9.
    """
    log_ratio = log_probability - old.log_probability
    policy = policy_loss(log_ratio, old.advantage, old.mask, clip_range)
    regression = value_loss(value, old, value_clip_range)
    bonus = masked_mean(entropy, old.mask)
    outside = jnp.abs(jnp.expm1(log_ratio)) > clip_range
    metrics = {
        "loss/policy": policy,
        "loss/value": regression,
        "loss/entropy": bonus,
        "ppo/kl": approximate_kl(jax.lax.stop_gradient(log_ratio), old.mask),
        "ppo/clipped_share": masked_mean(outside.astype(jnp.float32), old.mask),
    }
    return policy + value_cost * regression - entropy_cost * bonus, metrics
