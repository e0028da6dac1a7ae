"""MEMO's network: facts of separate items, retrieval in hops, a decision when to stop.

Shapes: B questions, I facts, S items of a fact, N hops, Q = heads * head size.
"""

from __future__ import annotations

import haiku as hk
import jax
import jax.numpy as jnp

from tolman.agents.agent import Array
from tolman.agents.memo.config import MemoConfig
from tolman.agents.memo.lengths import by_length
from tolman.agents.memo.reading import (
    AnswerHead,
    HaltingTrace,
    ItemEmbedding,
    Mode,
    Reading,
    fact_order,
    side_by_side,
)
from tolman.envs.reasoning.task import Examples, Task
from tolman.networks import memo


class Memo(hk.Module):
    """Reads the facts in several hops and answers from the query of the last one.

    Source: Banino et al. 2020, section 3 and 3.1; see `tolman.networks.memo` for a hop.
    """

    def __init__(self, config: MemoConfig, task: Task, name: str) -> None:
        super().__init__(name)
        self._config, self._task = config, task

    def __call__(self, examples: Examples, mode: Mode) -> Reading:
        config = self._config
        is_training = mode == "train"
        embed = ItemEmbedding(config.item_size, self._task.num_words, name="embedding")
        size = config.num_heads * config.head_size
        query = hk.Linear(size, with_bias=False, name="query")(
            side_by_side(embed(examples.query))
        )
        hops = self._take_hops(embed, query, examples, is_training)
        taken, cost, halting = self._halt(hops, mode)
        last = jnp.take_along_axis(
            hops.queries[:, 0], (taken - 1)[None, :, None], axis=0
        )  # [1, B, Q]
        answer = AnswerHead(
            config.hidden_size,
            self._task,
            config.answer_dropout if is_training else 0.0,
            name="answer",
        )
        attention = hops.attention[:, :, :, 0]  # [N, B, heads, I]
        return Reading(answer(last[0]), taken.astype(jnp.float32), cost, attention, halting)

    @hk.transparent
    def _take_hops(
        self, embed: ItemEmbedding, query: Array, examples: Examples, is_training: bool
    ) -> memo.Hops:
        """All hops of all questions; of T queries there is one."""
        config, (items, mask) = self._config, examples[:2]
        embedding = self._fact_embedding(embed, items)
        places = None
        if config.use_fact_order:
            places = fact_order(mask, config.item_size)
        dropout = config.attention_dropout if is_training else 0.0
        retrieval = memo.Retrieval(
            config.num_heads, config.head_size, dropout, embedding, name="retrieval"
        )
        halting = memo.Halting(config.halting_size, config.continue_bias, name="halting")

        def take(query: Array, mask: Array, items: Array, *places: Array) -> memo.Hops:
            parts = [side_by_side(items if embedding is not None else embed(items))]
            facts = jnp.concatenate([*parts, *places], axis=-1)
            return memo.take_hops(
                retrieval, halting, query[None], facts, mask[:, None], config.max_hops
            )

        if embedding is not None and self._task.num_words:
            items = jax.nn.one_hot(items, self._task.num_words)
        facts = (items,) if places is None else (items, places)
        if is_training and 0 < config.short_facts < mask.shape[1]:
            return by_length(take, config.short_facts, query, mask, facts)
        return take(query, mask, *facts)

    def _fact_embedding(self, embed: ItemEmbedding, items: Array) -> Array | None:
        """What embeds a fact of items side by side, `[S O, S D]`.

        None where that would not pay: where an item has more numbers than its embedding.
        """
        item_size = self._task.num_words or items.shape[-1]
        if item_size > self._config.item_size or self._config.use_fact_order:
            return None
        every = jnp.arange(item_size) if self._task.num_words else jnp.eye(item_size)
        return jnp.kron(jnp.eye(items.shape[2]), embed(every))

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
