"""PUCT, by which a search chooses the next slot, and the Dirichlet noise at the root.

Shapes: B positions, K slots.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import mctx

from tolman.agents.agent import Array

ILLEGAL = float(jnp.finfo(jnp.float32).min)  # Logit of a move that cannot be made.


def to_prior(logits: Array) -> Array:
    """Probabilities over the legal moves, `[B, K]`; -1 marks the illegal ones.

    Where no move is legal, the game is over, and the prior is uniform: what the tree adds
    beyond the end has no effect.
    """
    is_legal = logits != ILLEGAL
    some = is_legal.any(-1, keepdims=True)
    prior = jax.nn.softmax(logits, axis=-1)
    return jnp.where(is_legal | ~some, prior, -1.0)


def legal_noise(key: Array, legal: Array, alpha: float) -> Array:
    """Dirichlet noise over the legal moves alone: `[B, K]`, rows sum to 1.

    Source: Silver et al. 2017, methods. The gamma variates are drawn as logarithms: with a
      small alpha all of them may be 0 in float32.
    """
    drawn = jax.random.loggamma(key, jnp.float32(alpha), legal.shape)
    return jax.nn.softmax(jnp.where(legal, drawn, -jnp.inf), axis=-1)


def select_puct(
    key: Array,
    tree: mctx.Tree,
    node_index: Array,
    depth: Array | int,
    exploration_init: float,
    exploration_base: float,
    first_play: str,
) -> Array:
    """The slot of one node that the search tries next; ties go to the first.

    Source: Silver et al. 2018, pseudocode `ucb_score`.
      Departure: values lie in [-1, 1], and a node counts its own evaluation among its
      visits. Theirs does not count the root's, so that its first move ignores the prior.
    """
    del key, depth
    prior = tree.children_prior_logits[node_index]  # [K]; priors, see `_puct`.
    visits = tree.children_visits[node_index]
    value = tree.children_rewards[node_index] + (
        tree.children_discounts[node_index] * tree.children_values[node_index]
    )
    untried = {"draw": 0.0, "loss": -1.0, "parent": tree.node_values[node_index]}
    value = jnp.where(visits > 0, value, untried[first_play])
    total = tree.node_visits[node_index]
    rate = exploration_init + jnp.log((1.0 + total + exploration_base) / exploration_base)
    score = value + rate * prior * jnp.sqrt(total) / (1.0 + visits)
    return jnp.argmax(jnp.where(prior >= 0.0, score, -jnp.inf)).astype(jnp.int32)
