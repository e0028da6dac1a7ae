"""MEMO as a memory core: an episodic store, read in an adaptive number of hops.

Shapes: B batch, T time, D input features, H output size, N capacity, F features of a fact,
Q = heads * head size, n a hop.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, NamedTuple

import haiku as hk
import jax
import jax.numpy as jnp
from annotated_types import Ge

from tolman.networks import memo, window
from tolman.networks.core import Array, Diagnostics, UnrolledCore, register_core


class MemoState(NamedTuple):
    """Attributes:
    facts: `[B, N, F]`, the newest last.
    length: `[B]` int32, how many of them belong to the present task.
    """

    facts: Array
    length: Array


@dataclass(frozen=True)
class MemoConfig:
    """Settings of MEMO as a core; Banino et al. 2020's own sizes are for other tasks.

    Attributes:
      hidden_size: units of the output.
      capacity: facts kept; the oldest makes room for the newest.
      items_per_fact: successive inputs that make one fact. 2 stores transitions, pairs as
        in the paper's paired associative inference.
      item_size: units of an input's embedding in the store.
      num_heads: of the retrieval.
      head_size: units of a head's query.
      max_hops: bound on the hops of a step.
      halting_size: units of the network that decides when to stop.
      continue_bias: initial logit of another hop; above 0 a learner begins by hopping.
    """

    hidden_size: Annotated[int, Ge(1)] = 64
    capacity: Annotated[int, Ge(1)] = 32
    items_per_fact: Annotated[int, Ge(1)] = 2
    item_size: Annotated[int, Ge(1)] = 32
    num_heads: Annotated[int, Ge(1)] = 4
    head_size: Annotated[int, Ge(1)] = 16
    max_hops: Annotated[int, Ge(1)] = 4
    halting_size: Annotated[int, Ge(1)] = 16
    continue_bias: float = 2.0

    def setting_problems(self) -> Iterator[tuple[str, str]]:
        if self.capacity < self.items_per_fact:
            yield "capacity", f"at least items_per_fact = {self.items_per_fact}"


@register_core("memo")
class Memo(UnrolledCore):
    """Stores every step as a fact, and answers every input from the facts of its task.

    A fact is the last `items_per_fact` inputs, each embedded by the same weights, side by
    side. The present input is the query; hops refine it; the output is that of each
    hop, weighted by the probability of stopping there.

    Source: Banino et al. 2020, section 3; see `tolman.networks.memo` for the hops.
      Departure: the facts are the agent's own steps, not a given set, and the query is the
      present input.
      Departure: the output is the mean over the halting distribution, as in PonderNet
      (Banino et al. 2021), in place of a sampled number of hops and REINFORCE: a core
      draws no random numbers, and the learner's gradient reaches the halting network.
      Gradients of the halting probabilities still end at the retrieval.
    """

    def __init__(self, config: MemoConfig, name: str | None = None) -> None:
        super().__init__(name)
        self._config = config
        self._retrieval = memo.Retrieval(config.num_heads, config.head_size)
        self._halting = memo.Halting(config.halting_size, config.continue_bias)

    def initial_state(self, batch_size: int) -> MemoState:
        config = self._config
        shape = batch_size, config.capacity, config.items_per_fact * config.item_size
        return MemoState(jnp.zeros(shape), jnp.zeros(batch_size, jnp.int32))

    def unroll(self, x: Array, reset: Array, state: MemoState) -> tuple[Array, MemoState]:
        outputs, state, _ = self.diagnose(x, reset, state)
        return outputs, state

    def diagnose(
        self, x: Array, reset: Array, state: MemoState
    ) -> tuple[Array, MemoState, Diagnostics]:
        """Unrolls, and tells of each step how it hopped.

        The diagnostics are `expected_hops` `[T, B]`, which is also the ponder cost, and
        `halting` `[T, B, max_hops]`, the probability of stopping after each hop.
        """
        config = self._config
        in_view = window.rows_in_view(reset, state.length, config.capacity)
        new = self._new_facts(x, in_view, state.facts)
        facts = window.extend(state.facts, new)  # [B, N + T, F]
        mask = window.window_mask(in_view, config.capacity)
        query = hk.Linear(config.num_heads * config.head_size, name="query")(x)
        hops = memo.take_hops(
            self._retrieval, self._halting, query, facts, mask, config.max_hops
        )
        halting = memo.halting_distribution(hops.continue_logits)  # [n, T, B]
        answers = jax.nn.relu(hk.Linear(config.hidden_size, name="answer")(hops.queries))
        outputs = (halting[..., None] * answers).sum(0)  # [T, B, H]
        diagnostics = {
            "expected_hops": memo.expected_hops(halting),
            "halting": jnp.moveaxis(halting, 0, -1),
        }
        length = window.length_after(in_view, config.capacity)
        return outputs, MemoState(facts[:, -config.capacity :], length), diagnostics

    def _new_facts(self, x: Array, in_view: Array, stored: Array) -> Array:
        """`[T, B, F]`: each input's embedding behind those of the inputs just before it."""
        size, num_items = self._config.item_size, self._config.items_per_fact
        items = hk.Linear(size, name="item")(x)  # [T, B, item_size]
        # The newest stored fact holds the inputs that preceded this unroll.
        newest = stored[:, -1].reshape(-1, num_items, size)[:, 1:]
        items = jnp.concatenate([jnp.swapaxes(newest, 0, 1), items])
        columns = []
        for steps_back in reversed(range(num_items)):
            start = num_items - 1 - steps_back
            column = items[start : start + len(x)]
            # What lies before the task is no part of its facts.
            columns.append(jnp.where((in_view >= steps_back)[..., None], column, 0.0))
        return jnp.concatenate(columns, axis=-1)
