"""The differentiable neural computer: it reads the facts one by one, then the query.

Shapes: B questions, I facts, T = I + 1 + thinking steps, D units of a step's input.
"""

from __future__ import annotations

import haiku as hk
import jax.numpy as jnp

from tolman.agents.memo.baselines.config import DNCReaderConfig
from tolman.agents.memo.reading import (
    AnswerHead,
    ItemEmbedding,
    Mode,
    Reading,
    side_by_side,
)
from tolman.envs.reasoning.task import Examples, Task
from tolman.networks.cores.dnc import DNC, DNCConfig


class DNCReader(hk.Module):
    """The baseline DNC.

    Source: Graves et al. 2016; see `tolman.networks.cores.dnc`.
      Departure: a fact is one input, all its items side by side, and padding is a step
      without input.
    """

    def __init__(self, config: DNCReaderConfig, task: Task, name: str) -> None:
        super().__init__(name)
        self._config, self._task = config, task

    def __call__(self, examples: Examples, mode: Mode) -> Reading:
        config = self._config
        embed = ItemEmbedding(config.item_size, self._task.num_words, name="embedding")
        facts = side_by_side(embed(examples.facts))  # [B, I, S D]
        facts = facts * examples.fact_mask[..., None]
        query = side_by_side(embed(examples.query))[:, None]  # [B, 1, Q D]
        fact_size, query_size = facts.shape[-1], query.shape[-1]
        # Facts and query have units of their own: a step says which of the two it shows.
        steps = jnp.concatenate(
            [
                jnp.pad(facts, ((0, 0), (0, 0), (0, query_size))),
                jnp.pad(query, ((0, 0), (0, 0), (fact_size, 0))),
            ],
            axis=1,
        )
        steps = jnp.pad(steps, ((0, 0), (0, config.num_thinking_steps), (0, 0)))
        core = DNC(
            DNCConfig(
                config.hidden_size,
                config.num_slots,
                config.slot_size,
                config.num_read_heads,
            ),
            name="core",
        )
        x = jnp.swapaxes(steps, 0, 1)  # [T, B, D]
        state = core.initial_state(x.shape[1])
        outputs, _ = core.unroll(x, jnp.zeros(x.shape[:2], bool), state)
        answer = AnswerHead(
            config.hidden_size,
            self._task,
            name="answer",
        )
        none = jnp.zeros(x.shape[1])
        no_attention = jnp.zeros((0, *examples.fact_mask.shape))[:, :, None]
        return Reading(answer(outputs[-1]), none + len(x), none, no_attention)
