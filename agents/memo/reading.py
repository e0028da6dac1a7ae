"""What every model of reasoning shares: the embedding of items, and the result `Reading`.

Shapes: B questions, I facts, S items of a fact, Q items of a query, O numbers of an item, D
units of an embedding, P answers, C classes, N hops.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np

from tolman.agents.agent import Array
from tolman.envs.reasoning.task import Task

# "train": with dropout, halting drawn; "sampled": halting drawn; "greedy": neither.
Mode = Literal["train", "sampled", "greedy"]


class HaltingTrace(NamedTuple):
    """The outputs of a halting network.

    Attributes:
      continue_logits: `[N, B]`, of another hop after each.
      value: `[N, B]`, the reward that is expected after each.
    """

    continue_logits: Array
    value: Array


class Reading(NamedTuple):
    """The result of a model on B questions.

    Attributes:
      logits: `[B, P, C]`.
      hops: `[B]` float32, steps of reasoning that the answer took.
      hop_cost: `[B]`, what the number of hops costs, differentiable; 0 where it is fixed.
      attention: `[N, B, heads, I]`, what each hop read; N is 0 for a model without.
      halting: for REINFORCE; None where nothing was drawn.
    """

    logits: Array
    hops: Array
    hop_cost: Array
    attention: Array
    halting: HaltingTrace | None = None


class ItemEmbedding(hk.Module):
    """Embeds every item, of facts and query alike, by the same weights.

    Source: Banino et al. 2020, section 3: the common embedding W_c.
    """

    def __init__(self, size: int, num_words: int, name: str | None = None) -> None:
        """Builds the module.

        Args:
          size: D.
          num_words: of the vocabulary; 0 where items are vectors.
          name: of the module.
        """
        super().__init__(name)
        self._size, self._num_words = size, num_words

    def __call__(self, items: Array) -> Array:
        """`[..., O]`, or `[...]` numbers of words, to `[..., D]`; word 0 to zeros."""
        if not self._num_words:
            return hk.Linear(self._size, with_bias=False, name="item")(items)
        # As large as embedded vectors are: with small words all attention begins even, and
        # all heads come to ask the same.
        init = hk.initializers.RandomNormal()
        words = hk.get_parameter("words", (self._num_words, self._size), init=init)
        is_word = np.arange(self._num_words)[:, None] > 0
        return jnp.where(is_word, words, 0.0)[items]


def fact_order(mask: Array, size: int, name: str = "places") -> Array:
    """An embedding of each fact's place, counted from the last fact back.

    Args:
      mask: `[B, I]` bool, where there is a fact.
      size: D.
      name: of the parameter.

    Returns:
      `[B, I, D]`.
    """
    places = hk.get_parameter(
        name, (mask.shape[1], size), init=hk.initializers.RandomNormal()
    )
    from_last = jnp.cumsum(mask[:, ::-1], axis=1)[:, ::-1] - 1  # [B, I]
    return places[jnp.maximum(from_last, 0)]


def side_by_side(embedded: Array) -> Array:
    """Joins the items of each fact: `[..., S, D]` to `[..., S D]`."""
    return embedded.reshape(*embedded.shape[:-2], -1)


class AnswerHead(hk.Module):
    """One hidden layer, then the classes of every answer.

    Source: Banino et al. 2020, section 3.
    """

    def __init__(
        self,
        hidden_size: int,
        task: Task,
        dropout_rate: float = 0.0,
        name: str | None = None,
    ) -> None:
        super().__init__(name)
        self._hidden_size, self._dropout_rate = hidden_size, dropout_rate
        self._shape = task.num_answers, task.num_classes

    def __call__(self, query: Array) -> Array:
        """`[B, Q]` to logits `[B, P, C]`."""
        hidden = jax.nn.relu(hk.Linear(self._hidden_size, name="hidden")(query))
        if self._dropout_rate > 0.0:
            hidden = hk.dropout(hk.next_rng_key(), self._dropout_rate, hidden)
        num_answers, num_classes = self._shape
        logits = hk.Linear(num_answers * num_classes, name="classes")(hidden)
        return logits.reshape(-1, num_answers, num_classes)
