"""What the MEMO studies share: asking a trained population, and scores by kind.

Shapes: P members, Q questions, A answers to one question, K kinds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from tolman.agents.agent import Array, Params
from tolman.agents.memo import Reasoner
from tolman.agents.memo.reading import Mode
from tolman.envs.reasoning.task import Examples, Task
from tolman.launchers.evaluation.episodes import EVALUATION

CHUNK = 250  # Questions that are asked at once.

Draw = Callable[[Any, Array], Examples]  # Of a split's arrays and a chunk's number.


class Asked(NamedTuple):
    """Held-out questions, and what each member made of them.

    Attributes:
      kind: `[Q]`, an index into the task's kinds.
      is_right: `[P, Q]` bool, all answers to the question.
      hops: `[P, Q]`, taken.
      answer_is_right: `[P, Q, A]` bool, each answer by itself.
    """

    kind: np.ndarray
    is_right: np.ndarray
    hops: np.ndarray
    answer_is_right: np.ndarray

    def accuracy(self, kinds: Sequence[int]) -> np.ndarray:
        """`[P]`, over the questions of these kinds."""
        return self.is_right[:, np.isin(self.kind, kinds)].mean(1)

    def mean_hops(self, kinds: Sequence[int]) -> np.ndarray:
        """`[P]`, over the questions of these kinds."""
        return self.hops[:, np.isin(self.kind, kinds)].mean(1)


def ask(
    agent: Reasoner,
    task: Task,
    params: Params,
    seed: int,
    num_questions: int,
    mode: Mode = "greedy",
    draw: Draw | None = None,
    split: str = "test",
) -> Asked:
    """Asks every member the same questions of a split that it did not learn from.

    Args:
      agent: the members' functions.
      task: what is asked.
      params: `[P, ...]`.
      seed: of the questions; no training draws the same.
      num_questions: Q; what the last chunk has beyond them does not count.
      mode: how the number of hops is chosen.
      draw: `CHUNK` questions; None samples them.
      split: of the task.
    """
    key = jax.random.fold_in(jax.random.PRNGKey(seed), EVALUATION)
    num_chunks = -(-num_questions // CHUNK)
    keys = jax.random.split(key, num_chunks)
    numbers = np.arange(num_chunks)

    def chunk(
        params: Params, data: Any, key: Array, number: Array
    ) -> tuple[Array, Array, Array]:
        sample_key, answer_key = jax.random.split(key)
        if draw is None:
            examples = task.sample(data, sample_key, CHUNK)
        else:
            examples = draw(data, number)
        answers = agent.answer(params, examples, answer_key, mode)
        right = answers.logits.argmax(-1) == examples.target
        return examples.kind, right, answers.diagnostics["hops"]

    @jax.jit
    def all_chunks(params: Params, data: Any) -> tuple[Array, Array, Array]:
        of_members = jax.vmap(chunk, (0, None, None, None))
        return jax.lax.map(lambda at: of_members(params, data, *at), (keys, numbers))

    kind, right, hops = jax.device_get(all_chunks(params, task.load(split)))

    def in_a_row(values: np.ndarray) -> np.ndarray:
        rows = np.moveaxis(values, 1, 0)  # [P, chunks, CHUNK, ...]
        return rows.reshape(len(rows), -1, *rows.shape[3:])[:, :num_questions]

    right = in_a_row(right)
    return Asked(in_a_row(kind)[0], right.all(-1), in_a_row(hops), right)


def percent(values: np.ndarray) -> str:
    """Mean and standard deviation of the members, in per cent."""
    return f"{100 * values.mean():.2f} ({100 * values.std():.2f})"
