"""The losses of a reasoner: of its answers, and of its decisions when to stop.

Shapes: B questions, P answers, C classes, N hops.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from tolman.agents.agent import Array


def answer_loss(logits: Array, target: Array) -> Array:
    """Cross-entropy of the answers, in nats, summed over the P of a question.

    Args:
      logits: `[B, P, C]`.
      target: `[B, P]` int32.

    Returns:
      `[B]`.
    """
    log_probability = jax.nn.log_softmax(logits)
    chosen = jnp.take_along_axis(log_probability, target[..., None], axis=-1)[..., 0]
    return -chosen.sum(-1)


def is_right(logits: Array, target: Array) -> Array:
    """`[B]` bool: whether all P answers to a question are right."""
    return (logits.argmax(-1) == target).all(-1)


class HaltingLoss(NamedTuple):
    """Means over questions.

    Attributes:
      policy: of REINFORCE.
      value: of the baseline.
      entropy: of the decisions that were taken, in nats.
    """

    policy: Array
    value: Array
    entropy: Array


def halting_loss(
    continue_logits: Array, value: Array, hops: Array, reward: Array, discount: float
) -> HaltingLoss:
    """REINFORCE with a value baseline for the decisions whether to take another hop.

    The reward comes once, with the answer, and is discounted by the hops from a decision
    to it. The decision after hop N is no decision, and those after the answer were not
    taken.

    Args:
      continue_logits: `[N, B]`, of another hop after each.
      value: `[N, B]`, the expected return after each hop.
      hops: `[B]`, how many were taken, in [1, N].
      reward: `[B]`, 1 for a right answer and 0 for a wrong one.
      discount: of the reward, a hop.

    Source: Banino et al. 2020, section 3.1 and appendix: L_pi and L_V.
      Departure: returns reach to the answer, of which there is one, without bootstrap.
    """
    num_hops = len(continue_logits)
    hop = jnp.arange(1, num_hops + 1)[:, None]  # [N, 1]
    was_taken = (hop <= hops) & (hop < num_hops)  # [N, B]
    went_on = hop < hops
    returns = reward * discount ** jnp.maximum(hops - hop, 0)
    advantage = jax.lax.stop_gradient(returns - value)
    log_go, log_stop = (jax.nn.log_sigmoid(sign * continue_logits) for sign in (1, -1))
    entropy = -jnp.exp(log_go) * log_go - jnp.exp(log_stop) * log_stop

    def total(values: Array) -> Array:
        return (was_taken * values).sum(0).mean()

    return HaltingLoss(
        policy=-total(jnp.where(went_on, log_go, log_stop) * advantage),
        value=0.5 * total(jnp.square(returns - value)),
        entropy=total(entropy),
    )
