"""The universal transformer: one layer of self-attention, applied until a token halts.

Shapes: B questions, I facts, J = I + 1 tokens (the query is the last), D units of a token,
H heads, N steps.
"""

from __future__ import annotations

from typing import NamedTuple

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np

from tolman.agents.agent import Array
from tolman.agents.memo.baselines.config import UniversalTransformerConfig
from tolman.agents.memo.reading import (
    AnswerHead,
    ItemEmbedding,
    Mode,
    Reading,
    fact_order,
    side_by_side,
)
from tolman.envs.reasoning.task import Examples, Task
from tolman.networks.attention import masked_softmax, sinusoids


class Halted(NamedTuple):
    """What adaptive computation time makes of N steps.

    Attributes:
      weights: `[N, ...]`, of each step's state in the result; they sum to 1.
      steps: `[...]` float32, how many were taken.
      cost: `[...]`, steps plus remainder, of which the remainder is differentiable.
    """

    weights: Array
    steps: Array
    cost: Array


def adaptive_computation(halting: Array, threshold: float) -> Halted:
    """When a token stops, and how its steps are mixed.

    Args:
      halting: `[N, ...]` in (0, 1), the probability of halting after each step.
      threshold: a token halts once these sum to it, or after step N.

    Source: Graves 2016, "Adaptive computation time", section 2.
    """
    before = jnp.cumsum(halting, axis=0) - halting  # [N, ...]
    is_last = jnp.arange(1, len(halting) + 1) == len(halting)
    is_last = is_last.reshape(-1, *[1] * (halting.ndim - 1))
    runs = before < threshold
    stops = runs & ((before + halting >= threshold) | is_last)
    remainder = (stops * (1.0 - before)).sum(0)
    steps = runs.sum(0).astype(halting.dtype)
    weights = jnp.where(stops, remainder, jnp.where(runs, halting, 0.0))
    return Halted(weights, steps, steps + remainder)


class UniversalTransformer(hk.Module):
    """The baseline UT: every fact and the query is a token.

    Source: Dehghani et al. 2019, "Universal transformers", section 2, with halting.
      Departure: the facts have no positions unless `use_fact_order` is set, for they are
      a set; a step's number is encoded, as there.
    """

    def __init__(self, config: UniversalTransformerConfig, task: Task, name: str) -> None:
        super().__init__(name)
        self._config, self._task = config, task

    def __call__(self, examples: Examples, mode: Mode) -> Reading:
        config = self._config
        size = config.num_heads * config.head_size
        tokens, mask = self._tokens(examples, size), examples.fact_mask
        mask = jnp.pad(mask, ((0, 0), (0, 1)), constant_values=True)  # [B, J]
        halt = hk.Linear(
            1, b_init=hk.initializers.Constant(config.halting_bias), name="halt"
        )
        layer = Layer(config, name="layer")
        states, halting, attention = [], [], []
        for step in sinusoids(config.max_steps, size):
            tokens, weights = layer(tokens + step, mask)
            states.append(tokens)
            halting.append(jax.nn.sigmoid(halt(tokens)[..., 0]))
            attention.append(weights[:, :, -1, :-1])  # What the query reads of the facts.
        halted = adaptive_computation(jnp.stack(halting), config.halting_threshold)
        query = jnp.einsum("nb,nbd->bd", halted.weights[:, :, -1], _last(states))
        cost = (halted.cost * mask).sum(-1) / mask.sum(-1)
        answer = AnswerHead(
            config.hidden_size,
            self._task,
            name="answer",
        )
        return Reading(answer(query), halted.steps[:, -1], cost, jnp.stack(attention))

    def _tokens(self, examples: Examples, size: int) -> Array:
        """`[B, J, D]`."""
        embed = ItemEmbedding(
            self._config.item_size, self._task.num_words, name="embedding"
        )
        facts = hk.Linear(size, name="fact")(side_by_side(embed(examples.facts)))
        if self._config.use_fact_order:
            facts += fact_order(examples.fact_mask, size)
        query = hk.Linear(size, name="query")(side_by_side(embed(examples.query)))
        return jnp.concatenate([facts, query[:, None]], axis=1)


def _last(states: list[Array]) -> Array:
    """The query's token after every step, `[N, B, D]`."""
    return jnp.stack([tokens[:, -1] for tokens in states])


class Layer(hk.Module):
    """Self-attention, then a transition, each added to its input and normalised."""

    def __init__(self, config: UniversalTransformerConfig, name: str | None = None) -> None:
        super().__init__(name)
        self._config = config

    def __call__(self, tokens: Array, mask: Array) -> tuple[Array, Array]:
        """`[B, J, D]` to the next tokens and the attention `[B, H, J, J]`."""
        config = self._config
        size = tokens.shape[-1]

        def by_head(name: str) -> Array:
            projected = hk.Linear(size, with_bias=False, name=name)(tokens)
            return projected.reshape(*tokens.shape[:-1], config.num_heads, config.head_size)

        query, key, value = by_head("query"), by_head("key"), by_head("value")
        logits = jnp.einsum("bihk,bjhk->bhij", query, key) / np.sqrt(config.head_size)
        weights = masked_softmax(logits, mask[:, None, None])
        read = jnp.einsum("bhij,bjhk->bihk", weights, value).reshape(tokens.shape)
        attended = hk.LayerNorm(-1, True, True, name="attention_norm")(
            tokens + hk.Linear(size, name="merge")(read)
        )
        hidden = jax.nn.relu(hk.Linear(config.transition_size, name="hidden")(attended))
        changed = hk.Linear(size, name="transition")(hidden)
        return hk.LayerNorm(-1, True, True, name="norm")(attended + changed), weights
