"""MEMO's network: facts of separate items, retrieval in hops, a decision when to stop.

Shapes: B questions, I facts, S items of a fact, N hops, Q = heads * head size.
"""

from __future__ import annotations

import haiku as hk
import jax
import jax.numpy as jnp

from tolman.agents.agent import Array
from tolman.agents.memo.config import MemoConfig
from tolman.agents.memo.reading import (
    AnswerHead,
    HaltingTrace,
    ItemEmbedding,
    Mode,
    Reading,
    fact_order,
    side_by_side,
)
from tolman.envs.reasoning.task import Examples
from tolman.networks import memo


class Memo(hk.Module):
    """Reads the facts in several hops and answers from the query of the last one.

    Source: Banino et al. 2020, section 3 and 3.1; see `tolman.networks.memo` for a hop.
    """

    def __init__(
        self,
        config: MemoConfig,
        num_words: int,
        num_answers: int,
        num_classes: int,
        name: str | None = None,
    ) -> None:
        super().__init__(name)
        self._config = config
        self._num_words = num_words
        self._num_answers, self._num_classes = num_answers, num_classes

    def __call__(self, examples: Examples, mode: Mode) -> Reading:
        config = self._config
        is_training = mode == "train"
        embed = ItemEmbedding(config.item_size, self._num_words, name="embedding")
        facts, embedding = self._facts(embed, examples)
        size = config.num_heads * config.head_size
        query = hk.Linear(size, with_bias=False, name="query")(
            side_by_side(embed(examples.query))
        )
        dropout = config.attention_dropout if is_training else 0.0
        hops = memo.take_hops(
            memo.Retrieval(
                config.num_heads, config.head_size, dropout, embedding, name="retrieval"
            ),
            memo.Halting(config.halting_size, config.continue_bias, name="halting"),
            query[None],
            facts,
            examples.fact_mask[:, None],
            config.max_hops,
        )
        taken, cost, halting = self._halt(hops, mode)
        last = jnp.take_along_axis(
            hops.queries[:, 0], (taken - 1)[None, :, None], axis=0
        )  # [1, B, Q]
        answer = AnswerHead(
            config.hidden_size,
            self._num_answers,
            self._num_classes,
            config.answer_dropout if is_training else 0.0,
            name="answer",
        )
        attention = hops.attention[:, :, :, 0]  # [N, B, heads, I]
        return Reading(answer(last[0]), taken.astype(jnp.float32), cost, attention, halting)

    def _facts(
        self, embed: ItemEmbedding, examples: Examples
    ) -> tuple[Array, Array | None]:
        """Facts, items side by side and not summed: one can be matched, another returned.

        Returns:
          `[B, I, S D]` and None; or, where an item has no more numbers than its embedding,
          those numbers `[B, I, S O]` and what embeds a fact, `[S O, S D]`.
        """
        items, config = examples.facts, self._config
        item_size = self._num_words or items.shape[-1]
        if item_size > config.item_size or config.use_fact_order:
            facts = side_by_side(embed(items))
            if config.use_fact_order:
                places = fact_order(examples.fact_mask, config.item_size)
                facts = jnp.concatenate([facts, places], axis=-1)
            return facts, None
        if self._num_words:
            items = jax.nn.one_hot(items, item_size)
            table = embed(jnp.arange(item_size))
        else:
            table = embed(jnp.eye(item_size))
        return side_by_side(items), jnp.kron(jnp.eye(items.shape[-2]), table)

    def _halt(
        self, hops: memo.Hops, mode: Mode
    ) -> tuple[Array, Array, HaltingTrace | None]:
        """How many hops each question takes `[B]`, what they cost `[B]`, and the trace."""
        config = self._config
        logits = hops.continue_logits[:, 0]  # [N, B]
        value = hk.Linear(1, name="value")(hops.features[:, 0])[..., 0]
        if config.halting == "fixed":
            taken = jnp.full(logits.shape[1], config.max_hops)
            return taken, jnp.zeros(taken.shape), None
        if mode == "greedy":
            goes_on = logits > 0.0
        else:
            goes_on = jax.random.bernoulli(hk.next_rng_key(), jax.nn.sigmoid(logits))
        taken = 1 + jnp.cumprod(goes_on[:-1], axis=0, dtype=jnp.int32).sum(0)
        cost = memo.expected_hops(memo.halting_distribution(logits))
        return taken, cost, HaltingTrace(logits, value)
