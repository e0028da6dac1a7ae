"""The actor-critic loss: arrays in, scalar and metrics out.

Shapes: T decisions, B sequences, A actions. Row T of `[T + 1, B]` is the bootstrap.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from tolman.agents.agent import Array, Metrics, decision_mask
from tolman.envs.environment import TimeStep


class Targets(NamedTuple):
    """Attributes:
    advantage: `[T, B]`, weight of the policy gradient; no gradient flows through it.
    value: `[T, B]`, what the value should have been; no gradient flows through it.
    """

    advantage: Array
    value: Array


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
    errors, discounts = _temporal_differences(values, timestep, discount)
    advantage = _discounted_sums(errors, discounts * gae_lambda)
    return Targets(advantage, values[:-1] + advantage)


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
    errors, discounts = _temporal_differences(values, timestep, discount)
    ratio = jnp.minimum(1.0, importance_ratio)
    # With both levels 1, what is added to a value is also the advantage of its action.
    advantage = _discounted_sums(ratio * errors, discounts * gae_lambda * ratio)
    return Targets(advantage, values[:-1] + advantage)


def actor_critic_loss(
    log_probability: Array,
    entropy: Array,
    values: Array,
    targets: Targets,
    mask: Array,
    entropy_cost: Array | float,
    value_cost: float,
) -> tuple[Array, Metrics]:
    """Policy gradient, value regression and entropy bonus.

    Args:
      log_probability: `[T, B]`, of the actions taken.
      entropy: `[T, B]`, of the policy.
      values: `[T, B]`.
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
    return total / values.shape[1], metrics


def _temporal_differences(
    values: Array, timestep: TimeStep, discount: Array | float
) -> tuple[Array, Array]:
    """One-step errors and discounts, `[T, B]`; both 0 for a decision without effect.

    So nothing flows back across the border between two episodes.
    """
    mask = decision_mask(timestep)
    discounts = mask * discount * timestep.discount[1:]
    errors = mask * (timestep.reward[1:] - values[:-1]) + discounts * values[1:]
    return errors, discounts


def _discounted_sums(terms: Array, discounts: Array) -> Array:
    """`sum_t = terms_t + discounts_t * sum_{t + 1}` along the first axis, by halving it."""

    def join(
        later: tuple[Array, Array], earlier: tuple[Array, Array]
    ) -> tuple[Array, Array]:
        return (
            earlier[0] + earlier[1] * later[0],
            earlier[1] * later[1],
        )

    sums, _ = jax.lax.associative_scan(join, (terms, discounts), reverse=True)
    return sums
