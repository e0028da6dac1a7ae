"""The Q-learning loss: arrays in, scalar, metrics and priorities out.

Shapes: T decisions, B sequences, A actions. Row T of `[T + 1, B]` is the bootstrap.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import optax

from tolman.agents.agent import Array, Metrics, decision_mask
from tolman.envs.environment import TimeStep


def double_q_values(online: Array, target: Array) -> Array:
    """The target network's value of the action that the online network prefers.

    Args:
      online: `[..., A]` action values.
      target: `[..., A]` action values.

    Returns:
      `[...]`; no gradient flows through it.

    Source: van Hasselt et al. 2016, "Double DQN".
    """
    best = jnp.argmax(online, axis=-1, keepdims=True)
    return jax.lax.stop_gradient(jnp.take_along_axis(target, best, axis=-1)[..., 0])


def n_step_returns(
    values: Array, timestep: TimeStep, discount: Array | float, n_step: int
) -> Array:
    """Returns of up to `n_step` rewards, bootstrapped where the rewards stop.

    That is after `n_step` of them, on LAST (with discount 0 after termination, with the
    value of the final observation after truncation), or on row T.

    Args:
      values: `[T + 1, B]`, what a return bootstraps from.
      timestep: `[T + 1, B]` rows.
      discount: per step.
      n_step: at least 1.

    Returns:
      `[T, B]`. On LAST, where no decision has an effect, it is the value itself.

    Source: Sutton and Barto 2018, equation 7.1.
    """
    has_effect = decision_mask(timestep) > 0
    reward, discounts = timestep.reward[1:], discount * timestep.discount[1:]

    def one_more_reward(_: int, returns: Array) -> Array:
        longer = jnp.where(has_effect, reward + discounts * returns[1:], values[:-1])
        return jnp.concatenate([longer, values[-1:]])

    return jax.lax.fori_loop(0, n_step, one_more_reward, values)[:-1]


def importance_weights(probability: Array | None, exponent: Array | float) -> Array:
    """Weights that undo the bias of prioritised sampling; the batch's largest is 1.

    Args:
      probability: `[B]`, of drawing each sequence; None where all are as likely.
      exponent: 0 undoes nothing, 1 all of it.

    Returns:
      `[B]`, or `[]` 1 where all are as likely.

    Source: Schaul et al. 2016, section 3.4.
    """
    if probability is None:
        return jnp.ones(())
    return (probability.min() / probability) ** exponent


def q_loss(
    errors: Array, mask: Array, weights: Array, huber_threshold: float
) -> tuple[Array, Metrics]:
    """The weighted loss of temporal-difference errors, a mean over decisions.

    Args:
      errors: `[T, B]`.
      mask: `[T, B]`, 1 where the decision counts.
      weights: `[B]` or `[]`, of the sequences.
      huber_threshold: beyond it the loss is linear; 0 for squared errors.

    Returns:
      `[]` loss, and metrics in units of one decision.

    Source: Mnih et al. 2015, methods (a clipped error is Huber's gradient); Schaul et al.
      2016, algorithm 1.
    """
    if huber_threshold > 0.0:
        losses = optax.huber_loss(errors, delta=huber_threshold)
    else:
        losses = 0.5 * jnp.square(errors)
    num_decisions = jnp.maximum(mask.sum(), 1.0)
    total = jnp.sum(weights * losses * mask) / num_decisions
    mean_error = jnp.sum(jnp.abs(errors) * mask) / num_decisions
    return total, {"loss/value": total, "loss/absolute_error": mean_error}


def sequence_priorities(
    errors: Array, mask: Array, max_share: float, min_priority: float
) -> Array:
    """How much there is to learn from each sequence; of one transition, its error.

    Args:
      errors: `[T, B]`.
      mask: `[T, B]`, 1 where the decision counts.
      max_share: of the largest error; the mean has the rest.
      min_priority: added to all.

    Returns:
      `[B]`, at least `min_priority`.

    Source: Kapturowski et al. 2019, section 2.3; Schaul et al. 2016, section 3.3.
    """
    sizes = jnp.abs(errors) * mask
    mean = sizes.sum(0) / jnp.maximum(mask.sum(0), 1.0)
    priority = max_share * sizes.max(0) + (1.0 - max_share) * mean
    return jax.lax.stop_gradient(priority + min_priority)
