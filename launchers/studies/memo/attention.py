"""Which fact each hop reads, by the part that the fact plays in the question.

Shapes: B questions, M facts, O numbers of an item, L items of a sequence, N hops, H heads.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import jax
import numpy as np

from tolman.agents.agent import Params
from tolman.agents.memo import Reasoner
from tolman.envs.reasoning.associative_inference import LETTERS, AssociativeInference
from tolman.envs.reasoning.task import Examples
from tolman.launchers.evaluation.episodes import EVALUATION

NUM_QUESTIONS = 2_000


def what_hops_read(
    agent: Reasoner, task: AssociativeInference, params: Params, seed: int
) -> dict[str, np.ndarray]:
    """The mean attention of every hop and head to the facts of each part.

    Args:
      agent: the functions of the member.
      task: whose test split is asked; memories of full size.
      params: of one member.
      seed: of the questions.

    Returns:
      Kind to `[N, H, 2 (L - 1) + 1]`: the facts of the cue's sequence in order, those of
      the lure's, and all others together.
    """
    key = jax.random.fold_in(jax.random.PRNGKey(seed), EVALUATION)

    @jax.jit
    def answer(params: Params, data: Any) -> tuple[Examples, Any]:
        examples = task.sample(data, key, NUM_QUESTIONS)
        return examples, agent.answer(params, examples, key).diagnostics["attention"]

    examples, attention = jax.device_get(answer(params, task.load("test")))
    facts = parts(examples, task)  # [B, 2 (L - 1)]
    read = np.take_along_axis(attention, facts[:, None, None], axis=-1)
    others = 1.0 - read.sum(-1, keepdims=True)
    read = np.concatenate([read, others], axis=-1)  # [B, N, H, 2 (L - 1) + 1]
    kinds = enumerate(task.kinds)
    return {kind: read[examples.kind == number].mean(0) for number, kind in kinds}


def part_names(task: AssociativeInference) -> tuple[str, ...]:
    """What the columns of `what_hops_read` are."""
    pairs = [f"{left}-{right}" for left, right in pairwise(LETTERS)]
    own = pairs[: task.chain_length - 1]
    return (*own, *(f"lure's {pair}" for pair in own), "others")


def parts(examples: Examples, task: AssociativeInference) -> np.ndarray:
    """The rows `[B, 2 (L - 1)]` of the cue's sequence, in order, and of the lure's."""
    cue_letters, match_letters = zip(*(kind.split("-") for kind in task.kinds), strict=True)
    cue_place = np.array([LETTERS.index(letter) for letter in cue_letters])[examples.kind]
    match_place = np.array([LETTERS.index(letter) for letter in match_letters])[
        examples.kind
    ]
    num_pairs = task.chain_length - 1
    cue, left, right = np.moveaxis(np.asarray(examples.query), 1, 0)
    own, items = _sequence(examples, cue, cue_place, num_pairs)
    left_is_match = (items[np.arange(len(own)), match_place] == left).all(-1)
    lure = np.where(left_is_match[:, None], right, left)
    others, _ = _sequence(examples, lure, match_place, num_pairs)
    return np.concatenate([own, others], axis=1)


def _sequence(
    examples: Examples, item: np.ndarray, place: np.ndarray, num_pairs: int
) -> tuple[np.ndarray, np.ndarray]:
    """The rows of an item's sequence, by following its pairs both ways.

    Args:
      examples: whose items are all different within a memory.
      item: `[B, O]`.
      place: `[B]`, of the item in its sequence.
      num_pairs: L - 1.

    Returns:
      `[B, L - 1]` rows in order, and the sequence's items `[B, L, O]`.
    """
    here = np.arange(len(item))
    rows = np.zeros((len(item), num_pairs), int)
    items = np.zeros((len(item), num_pairs + 1, item.shape[-1]), item.dtype)
    items[here, place] = item
    for pair in range(num_pairs):  # Onwards from the item.
        row = _row_with(examples, 0, items[:, pair])
        goes_on = pair >= place
        rows[goes_on, pair] = row[goes_on]
        items[goes_on, pair + 1] = examples.facts[here, row, 1][goes_on]
    for pair in reversed(range(num_pairs)):  # Back to the first.
        row = _row_with(examples, 1, items[:, pair + 1])
        goes_back = pair < place
        rows[goes_back, pair] = row[goes_back]
        items[goes_back, pair] = examples.facts[here, row, 0][goes_back]
    return rows, items


def _row_with(examples: Examples, side: int, item: np.ndarray) -> np.ndarray:
    """`[B]`, the first row that has the item on this side; 0 where none has."""
    facts = np.asarray(examples.facts)
    return (facts[:, :, side] == item[:, None]).all(-1).argmax(1)
