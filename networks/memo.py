"""The parts of MEMO: retrieval in several hops, and the decision when to stop.

Facts are rows `[B, S, F]`, each the concatenation of its items' embeddings, so that a head
can match one item of a fact and return another. T queries of a memory are asked at once:
`[T, B, Q]`, with a mask that says which facts each of them may see.

Shapes: B batch, T queries, S facts, F features of a fact, Q = heads * K, n a hop.

Source: Banino et al. 2020, "MEMO: a deep network for flexible combination of episodic
memories", section 3 and appendix.
"""

from __future__ import annotations

from typing import NamedTuple

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from tolman.networks import attention
from tolman.networks.core import Array

SMALLEST_OVERLAP = 1e-6  # Of disjoint attentions: their distance stays finite, 13.8.


def bhattacharyya_distance(p: Array, q: Array) -> Array:
    """Minus the logarithm of the overlap of two distributions.

    Args:
      p: `[..., S]`, sums to 1.
      q: `[..., S]`, sums to 1.

    Returns:
      `[...]` in nats: 0 for equal ones, at most 13.8.
    """
    product = p * q
    # The root's slope at 0 is infinite: entries without overlap stay out of it.
    positive = product > 0.0
    root = jnp.where(positive, jnp.sqrt(jnp.where(positive, product, 1.0)), 0.0)
    return -jnp.log(jnp.clip(root.sum(-1), SMALLEST_OVERLAP, 1.0))


def halting_distribution(continue_logits: Array) -> Array:
    """The probability of stopping after each hop.

    Args:
      continue_logits: `[N, ...]`, of going on after hop 1, 2, ...; the last is not read,
        for after hop N one always stops.

    Returns:
      `[N, ...]`, sums to 1.
    """
    go_on = jax.nn.sigmoid(continue_logits[:-1])
    always = jnp.ones((1, *go_on.shape[1:]))
    reached = jnp.cumprod(jnp.concatenate([always, go_on]), axis=0)  # [N, ...]
    stop = jnp.concatenate([1.0 - go_on, always])
    return reached * stop


def expected_hops(halting: Array) -> Array:
    """The mean number of hops, `[...]` in [1, N], under `[N, ...]` probabilities.

    It is the loss that keeps retrieval short. Added from the start it can pin a learner
    to one hop, before two hops have paid: begin with a weight of zero.
    """
    hop = jnp.arange(1, len(halting) + 1)
    return jnp.tensordot(hop.astype(halting.dtype), halting, axes=1)


class Heads(NamedTuple):
    """The projections of facts.

    Attributes:
      key_weights: `[heads, K, F]`.
      value_weights: `[heads, K, F]`.
    """

    key_weights: Array
    value_weights: Array


class Retrieval(hk.Module):
    """One hop: every head attends to the facts, and what they return refines the query.

    Called again it is the same hop: its weights are shared.

    Source: Banino et al. 2020, section 3.
      Departure: no matrix over the slots on the attention logits, which would tie a
      weight to a position; the order of the facts then makes no difference.
      Departure: layer normalisation without a scale, which the weights that follow take
      in.
    """

    def __init__(
        self,
        num_heads: int,
        head_size: int,
        dropout_rate: float = 0.0,
        embedding: Array | None = None,
        name: str | None = None,
    ) -> None:
        """Builds the module.

        Args:
          num_heads: of the attention.
          head_size: K.
          dropout_rate: share of the attention weights that are read as 0; above 0 only
            while training, for it draws random numbers.
          embedding: `[O, F]`, of facts that come as rows of O numbers. It is multiplied
            into the weights of the heads: so no fact is ever embedded, and none has a
            gradient, of which each hop would add another. None for embedded facts.
          name: of the module.
        """
        super().__init__(name)
        self._num_heads, self._head_size = num_heads, head_size
        self._dropout_rate, self._embedding = dropout_rate, embedding

    def heads(self, fact_size: int) -> Heads:
        """What all hops share.

        Args:
          fact_size: numbers of a fact.
        """
        embedding = self._embedding
        size = fact_size if embedding is None else embedding.shape[-1]
        init = hk.initializers.VarianceScaling(fan_in_axes=[2])
        shape = self._num_heads, self._head_size, size
        key_weights = hk.get_parameter("key_weights", shape, init=init)
        value_weights = hk.get_parameter("value_weights", shape, init=init)
        if embedding is None:
            return Heads(key_weights, value_weights)
        return Heads(key_weights @ embedding.T, value_weights @ embedding.T)

    def __call__(
        self, query: Array, heads: Heads, facts: Array, mask: Array
    ) -> tuple[Array, Array]:
        """Takes one hop.

        Args:
          query: `[T, B, Q]`.
          heads: what they ask and return.
          facts: `[B, S, F]`, or `[B, S, O]` where the heads take in an embedding.
          mask: `[B, T, S]` bool, at least one True for every query.

        Returns:
          The next query `[T, B, Q]`, and the attention `[B, heads, T, S]` before dropout.
        """
        by_head = query.reshape(*query.shape[:-1], self._num_heads, self._head_size)
        logits = attention.content_logits(by_head, heads.key_weights, facts)
        weights = attention.masked_softmax(logits, mask[:, None])
        kept = weights
        if self._dropout_rate > 0.0:
            kept = hk.dropout(hk.next_rng_key(), self._dropout_rate, weights)
        values = attention.read(kept, heads.value_weights, facts)
        values = values.reshape(query.shape)
        refined = hk.Linear(query.shape[-1], with_bias=False, name="refine")(values)
        norm = hk.LayerNorm(-1, create_scale=False, create_offset=True, name="norm")
        return norm(refined + query), weights


class Halting(hk.Module):
    """Decides after each hop whether to take another, from how attention has moved.

    Source: Banino et al. 2020, section 3.1: a recurrent network that sees the
      Bhattacharyya distance between the attentions of the last two hops and the number of
      hops taken; its last bias starts high, so that it begins by hopping.
      Departure: one distance a head. The size of the bias and of the layers is ours.
    """

    def __init__(
        self, hidden_size: int, continue_bias: float = 2.0, name: str | None = None
    ) -> None:
        super().__init__(name)
        self._hidden_size, self._continue_bias = hidden_size, continue_bias

    def initial_state(self, num_queries: int, batch_size: int) -> Array:
        """Returns `[T, B, hidden_size]` zeros."""
        return jnp.zeros((num_queries, batch_size, self._hidden_size))

    def __call__(
        self, distances: Array, hop: ArrayLike, state: Array
    ) -> tuple[Array, Array, Array]:
        """Looks at one hop.

        Args:
          distances: `[T, B, heads]`.
          hop: `[N]`, one-hot number of the hop just taken.
          state: `[T, B, hidden_size]`.

        Returns:
          The logit `[T, B]` of another hop, the features `[T, B, hidden_size]` that it was
          made from, for a critic, and the next state.
        """
        # No gradient reaches the retrieval: it learns from answers, not from their number.
        seen = jax.lax.stop_gradient(distances)
        hop = jnp.broadcast_to(hop, (*seen.shape[:-1], jnp.size(hop)))
        gru = hk.BatchApply(hk.GRU(self._hidden_size, name="gru"))
        output, state = gru(jnp.concatenate([seen, hop], axis=-1), state)
        features = jax.nn.relu(hk.Linear(self._hidden_size, name="features")(output))
        bias = hk.initializers.Constant(self._continue_bias)
        logit = hk.Linear(1, b_init=bias, name="continue")(features)[..., 0]
        return logit, features, state


class Hops(NamedTuple):
    """What happened in N hops.

    Attributes:
      queries: `[N, T, B, Q]`, after each hop.
      continue_logits: `[N, T, B]`, of another hop.
      features: `[N, T, B, hidden_size]`, of the halting network.
      attention: `[N, B, heads, T, S]`, what each hop read.
    """

    queries: Array
    continue_logits: Array
    features: Array
    attention: Array


def take_hops(
    retrieval: Retrieval,
    halting: Halting,
    query: Array,
    facts: Array,
    mask: Array,
    num_hops: int,
) -> Hops:
    """Takes `num_hops` hops, at least 1; where to stop is for the caller to decide.

    Args:
      retrieval: one hop.
      halting: looks at each.
      query: `[T, B, Q]`.
      facts: `[B, S, F]`, or what `retrieval` embeds.
      mask: `[B, T, S]` bool.
      num_hops: N.
    """
    heads = retrieval.heads(facts.shape[-1])
    state = halting.initial_state(*query.shape[:2])
    # Before the first hop: attention to all that may be seen alike.
    before = (mask / mask.sum(-1, keepdims=True))[:, None]  # [B, 1, T, S]
    rows = []
    for hop in np.eye(num_hops, dtype=np.float32):
        query, weights = retrieval(query, heads, facts, mask)
        distances = jnp.transpose(bhattacharyya_distance(before, weights), (2, 0, 1))
        logit, feature, state = halting(distances, hop, state)
        rows.append(Hops(query, logit, feature, weights))
        before = weights
    return jax.tree.map(lambda *row: jnp.stack(row), *rows)
