"""The end-to-end memory network: items summed to facts, one head, a fixed number of hops.

Shapes: B questions, I facts, S items of a fact, D units, N hops.
"""

from __future__ import annotations

import haiku as hk
import jax.numpy as jnp
import numpy as np

from tolman.agents.agent import Array
from tolman.agents.memo.baselines.config import MemoryNetworkConfig
from tolman.agents.memo.reading import (
    AnswerHead,
    ItemEmbedding,
    Mode,
    Reading,
    fact_order,
    side_by_side,
)
from tolman.envs.reasoning.task import Examples, Task
from tolman.networks.attention import masked_softmax


def position_encoding(num_items: int, size: int) -> np.ndarray:
    """Weights `[S, D]` by which a sum of items still tells their order.

    Source: Sukhbaatar et al. 2015, section 4.1.
    """
    item = np.arange(1, num_items + 1)[:, None] / num_items
    unit = np.arange(1, size + 1) / size
    return (1.0 - item - unit * (1.0 - 2.0 * item)).astype(np.float32)


class MemoryNetwork(hk.Module):
    """The baseline EMN.

    Source: Sukhbaatar et al. 2015, sections 2 and 4.1, with the weights of all hops
      shared ("RNN-like").
      Departure: the items of the query are not summed, so that cue and choices can be
      told apart; the answer has a hidden layer. Both are MEMO's too.
    """

    def __init__(self, config: MemoryNetworkConfig, task: Task, name: str) -> None:
        super().__init__(name)
        self._config, self._task = config, task

    def __call__(self, examples: Examples, mode: Mode) -> Reading:
        config = self._config
        keys = self._summed(examples.facts, "keys")  # [B, I, D]
        values = self._summed(examples.facts, "values")
        if config.use_fact_order:
            keys += fact_order(examples.fact_mask, config.size, "key_places")
            values += fact_order(examples.fact_mask, config.size, "value_places")
        embed = ItemEmbedding(config.size, self._task.num_words, name="query_items")
        query = hk.Linear(config.size, with_bias=False, name="query")(
            side_by_side(embed(examples.query))
        )  # [B, D]
        onwards = hk.Linear(config.size, with_bias=False, name="onwards")
        attention = []
        for _ in range(config.num_hops):
            logits = jnp.einsum("bd,bid->bi", query, keys) / np.sqrt(config.size)
            weights = masked_softmax(logits, examples.fact_mask)
            query = jnp.einsum("bi,bid->bd", weights, values) + onwards(query)
            attention.append(weights[:, None])
        answer = AnswerHead(
            config.hidden_size,
            self._task,
            name="answer",
        )
        none = jnp.zeros(len(query))
        hops = none + config.num_hops
        return Reading(answer(query), hops, none, jnp.stack(attention))

    def _summed(self, items: Array, name: str) -> Array:
        """`[..., S, O]` or `[..., S]` to `[..., D]`."""
        embedded = ItemEmbedding(self._config.size, self._task.num_words, name=name)(items)
        weights = position_encoding(embedded.shape[-2], self._config.size)
        return (embedded * weights).sum(-2)
