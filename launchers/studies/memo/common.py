"""What the MEMO studies share: asking a trained population, and scores by kind.

Shapes: P members, Q questions, K kinds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from tolman.agents.agent import Array, Params
from tolman.agents.memo import Reasoner
from tolman.agents.memo.loss import is_right
from tolman.agents.memo.reading import Mode
from tolman.envs.reasoning.task import Task
from tolman.launchers.evaluation import EVALUATION

CHUNK = 500  # Questions that are asked at once.


class Asked(NamedTuple):
    """Questions of the test split, and what each member made of them.

    Attributes:
      kind: `[Q]`, an index into the task's kinds.
      is_right: `[P, Q]` bool, all answers to the question.
      hops: `[P, Q]`, taken.
    """

    kind: np.ndarray
    is_right: np.ndarray
    hops: np.ndarray

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
) -> Asked:
    """Asks every member the same questions of the test split.

    Args:
      agent: the members' functions.
      task: what is asked.
      params: `[P, ...]`.
      seed: of the questions; no training draws the same.
      num_questions: Q, rounded up to whole chunks.
      mode: how the number of hops is chosen.
    """
    key = jax.random.fold_in(jax.random.PRNGKey(seed), EVALUATION)
    keys = jax.random.split(key, -(-num_questions // CHUNK))

    def chunk(params: Params, data: Any, key: Array) -> tuple[Array, Array, Array]:
        sample_key, answer_key = jax.random.split(key)
        examples = task.sample(data, sample_key, CHUNK)
        answers = agent.answer(params, examples, answer_key, mode)
        right = is_right(answers.logits, examples.target)
        return examples.kind, right, answers.diagnostics["hops"]

    @jax.jit
    def all_chunks(params: Params, data: Any) -> tuple[Array, Array, Array]:
        of_members = jax.vmap(chunk, (0, None, None))
        return jax.lax.map(lambda key: of_members(params, data, key), keys)

    kind, right, hops = jax.device_get(all_chunks(params, task.load("test")))
    num_members = right.shape[1]

    def in_a_row(values: np.ndarray) -> np.ndarray:
        return np.moveaxis(values, 1, 0).reshape(num_members, -1)  # [P, Q]

    return Asked(in_a_row(kind)[0], in_a_row(right), in_a_row(hops))


def percent(values: np.ndarray) -> str:
    """Mean and standard deviation of the members, in per cent."""
    return f"{100 * values.mean():.2f} ({100 * values.std():.2f})"
