"""The actor-critic loss: arrays in, scalar and metrics out.

Shapes: T decisions, B sequences, A actions. Row T of `[T + 1, B]` is the bootstrap.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import rlax

from tolman.agents.agent import Array, Metrics
from tolman.envs.environment import TimeStep


class Targets(NamedTuple):
    """Attributes:
    advantage: `[T, B]`, weight of the policy gradient; no gradient flows through it.
    value: `[T, B]`, what the value should have been; no gradient flows through it.
    """

    advantage: Array
    value: Array


def decision_mask(timestep: TimeStep) -> Array:
    """`[T, B]` float32 from `[T + 1, B]` rows: 0 where the decision had no effect.

    That is on LAST, whose following row is the FIRST of another episode.
    """
    return 1.0 - timestep.is_last()[:-1].astype(jnp.float32)


def advantage_targets(
    values: Array, timestep: TimeStep, discount: Array | float, gae_lambda: float
) -> Targets:
    """Generalised advantage estimates; with `gae_lambda` 1, n-step returns.

    Args:
      values: `[T + 1, B]`.
      timestep: `[T + 1, B]` rows.
      discount: per step.
      gae_lambda: in [0, 1].

    Source: Schulman et al. 2016, equation 16; Mnih et al. 2016, algorithm S3.
    """
    values = jax.lax.stop_gradient(values)
    rewards, discounts = _masked_transitions(values, timestep, discount)
    estimate = jax.vmap(
        rlax.truncated_generalized_advantage_estimation, in_axes=(1, 1, None, 1), out_axes=1
    )
    advantage: Array = estimate(rewards, discounts, gae_lambda, values)  # [T, B]
    return Targets(advantage, advantage + values[:-1])


def vtrace_targets(
    values: Array,
    timestep: TimeStep,
    discount: Array | float,
    gae_lambda: float,
    importance_ratio: Array,
) -> Targets:
    """V-trace targets and advantages, for unrolls of older parameters.

    Args:
      values: `[T + 1, B]`.
      timestep: `[T + 1, B]` rows.
      discount: per step.
      gae_lambda: the trace's decay, in [0, 1].
      importance_ratio: `[T, B]`, probability of the action now over that when acting.

    Source: Espeholt et al. 2018, section 4.1, both truncation levels 1.
    """
    values = jax.lax.stop_gradient(values)
    rewards, discounts = _masked_transitions(values, timestep, discount)
    correct = jax.vmap(
        rlax.vtrace_td_error_and_advantage, in_axes=(1, 1, 1, 1, 1, None), out_axes=1
    )
    corrected = correct(
        values[:-1], values[1:], rewards, discounts, importance_ratio, gae_lambda
    )
    return Targets(corrected.pg_advantage, corrected.errors + values[:-1])


def actor_critic_loss(
    logits: Array,
    values: Array,
    action: Array,
    targets: Targets,
    mask: Array,
    entropy_cost: Array | float,
    value_cost: float,
) -> tuple[Array, Metrics]:
    """Policy gradient, value regression and entropy bonus.

    Args:
      logits: `[T, B, A]`.
      values: `[T, B]`.
      action: `[T, B]` int32.
      targets: `[T, B]` each.
      mask: `[T, B]`, 1 where the decision counts.
      entropy_cost: weight of the entropy bonus.
      value_cost: weight of the value loss.

    Returns:
      `[]` loss, summed over time and averaged over the batch, and metrics in units of
      one decision.

    Source: Mnih et al. 2016, section 4.3, algorithm S3. The sum over time is what the
      weights of Wang et al. 2016, table 1, presuppose.
    """
    log_policy = jax.nn.log_softmax(logits)
    log_probability = jnp.take_along_axis(log_policy, action[..., None], -1)[..., 0]
    entropy = -jnp.sum(jnp.exp(log_policy) * log_policy, axis=-1)  # [T, B]

    policy_loss = jnp.sum(-log_probability * targets.advantage * mask)
    value_loss = jnp.sum(0.5 * jnp.square(targets.value - values) * mask)
    entropy_bonus = jnp.sum(entropy * mask)
    total = policy_loss + value_cost * value_loss - entropy_cost * entropy_bonus

    num_decisions = jnp.maximum(mask.sum(), 1.0)
    metrics = {
        "loss/policy": policy_loss / num_decisions,
        "loss/value": value_loss / num_decisions,
        "loss/entropy": entropy_bonus / num_decisions,
    }
    return total / logits.shape[1], metrics


def _masked_transitions(
    values: Array, timestep: TimeStep, discount: Array | float
) -> tuple[Array, Array]:
    """Rewards and discounts, `[T, B]`, that make a decision without effect worth nothing.

    There the reward is set to the row's own value and the discount to 0, so that the
    temporal difference is zero and nothing flows back across the episodes' border.
    """
    no_effect = timestep.is_last()[:-1]
    rewards = jnp.where(no_effect, values[:-1], timestep.reward[1:])
    discounts = jnp.where(no_effect, 0.0, discount * timestep.discount[1:])
    return rewards, discounts
