"""What a reasoning task is: questions about facts that are given all at once.

Shapes: B questions, I facts, S items of a fact, Q items of a query, P answers to one
question, O numbers of an item.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import jax

from tolman.envs.registry import Registry

Array = jax.Array
Data = (
    Any  # Pytree of arrays that a task reads its questions from; () where it makes them up.
)


class Examples(NamedTuple):
    """B questions with the facts that they are about.

    Attributes:
      facts: `[B, I, S, O]` float32 vectors, or `[B, I, S]` int32 numbers of a vocabulary,
        where 0 is padding.
      fact_mask: `[B, I]` bool, False where there is no fact.
      query: `[B, Q, O]` float32, or `[B, Q]` int32.
      target: `[B, P]` int32, the right class of each answer.
      kind: `[B]` int32, an index into the task's `kinds`.
    """

    facts: Array
    fact_mask: Array
    query: Array
    target: Array
    kind: Array


class Task(Protocol):
    """A source of questions: a frozen dataclass of its settings.

    Attributes:
      num_classes: of an answer.
      num_answers: P.
      num_words: size of the vocabulary, padding included; 0 where items are vectors.
      kinds: the names of the sorts of question, for results by sort.
    """

    @property
    def num_classes(self) -> int: ...

    @property
    def num_answers(self) -> int: ...

    @property
    def num_words(self) -> int: ...

    @property
    def kinds(self) -> tuple[str, ...]: ...

    def load(self, split: str) -> Data:
        """Returns the arrays that `sample` reads.

        Args:
          split: "train", "validation" or "test".
        """
        ...

    def sample(self, data: Data, key: Array, batch_size: int) -> Examples:
        """Draws questions: pure, may be jitted with `batch_size` static."""
        ...


# Sources of examples by name. The factory is called with keyword arguments only, those that
# `--env.KEY` sets; a frozen dataclass is its own factory.
SOURCES = Registry("source")
register_source = SOURCES.register
