"""AlphaZero's loss: arrays in, scalar and metrics out.

Shapes: B positions, A actions, K slots.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from tolman.agents.agent import Array, Metrics, Params
from tolman.agents.alphazero.network import Prediction


def dense_policy(slots: Array, weights: Array, num_actions: int) -> Array:
    """The policy `[B, A]` of what the slots `[B, K]` hold; empty slots weigh 0."""
    rows = jnp.arange(len(slots))[:, None]
    return jnp.zeros((len(slots), num_actions)).at[rows, slots].add(weights)


def alphazero_loss(
    prediction: Prediction, policy: Array, outcome: Array, value_cost: float
) -> tuple[Array, Metrics]:
    """Squared error of the value plus cross-entropy of the policy, a mean over positions.

    Args:
      prediction: of `[B]` positions.
      policy: `[B, A]`, what the search made of the prior; rows sum to 1.
      outcome: `[B]`, 1, 0 or -1: how the game ended for the player to move.
      value_cost: weight of the squared error.

    Returns:
      `[]` loss and metrics. The cross-entropy has the policy's own entropy in it;
      `loss/policy_divergence` is what is left without.

    Source: Silver et al. 2017, equation 1, but for the weights' own cost. As there, illegal
      moves are learned not to be made: the softmax is over all of them.
    """
    value_loss = jnp.square(outcome - prediction.value).mean()
    log_policy = jax.nn.log_softmax(prediction.logits, axis=-1)
    policy_loss = -(policy * log_policy).sum(-1).mean()
    entropy = -(policy * jnp.log(jnp.maximum(policy, 1e-30))).sum(-1).mean()
    total = value_cost * value_loss + policy_loss
    return total, {
        "loss/value": value_loss,
        "loss/policy": policy_loss,
        "loss/policy_divergence": policy_loss - entropy,
        "loss/search_entropy": entropy,
    }


def weight_loss(params: Params, cost: float) -> Array:
    """The squares of all parameters, times `cost`, `[]`."""
    squares = [jnp.square(leaf).sum() for leaf in jax.tree.leaves(params)]
    return cost * jnp.stack(squares).sum()
