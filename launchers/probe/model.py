"""What a language model is to the studies that probe it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np


class Scores(NamedTuple):
    """Attributes:
    log_probability: `[N]` float64, nats, of each continuation after its prompt.
    num_tokens: `[N]` int64, of each continuation.
    """

    log_probability: np.ndarray
    num_tokens: np.ndarray


class ProbedModel(Protocol):
    """A language model that is asked by text."""

    def score(self, prompts: Sequence[str], continuations: Sequence[str]) -> Scores:
        """How probable each continuation is after the prompt of the same index.

        Both are turned into tokens together. White space at the end of a prompt counts as
        the beginning of its continuation, and so does a token that reaches across the
        boundary.

        Raises:
          ValueError: where there is nothing to score, a text is longer than the model's
            context, or a probability is not a number.
        """
        ...

    def generate(self, prompts: Sequence[str], max_new_tokens: int) -> list[str]:
        """What follows each prompt, the most probable token at every step.

        A text ends before a token that stands for an end, or when the context is full.
        """
        ...

    def hidden_states(self, prompts: Sequence[str]) -> list[np.ndarray]:
        """Of each prompt `[L + 1, T, D]` float32, its tokens after every layer.

        The first are the embeddings; the last are normalised, as logits are made of them.
        """
        ...

    def attention(self, prompts: Sequence[str]) -> list[np.ndarray]:
        """Of each prompt `[L, H, T, T]` float32, what its tokens take from each other."""
        ...
