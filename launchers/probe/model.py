"""What a language model is to the studies that probe it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol, get_args

import numpy as np

# What a model can be asked. "first token": how probable the likeliest next tokens are.
Ability = Literal[
    "score", "first token", "generate", "hidden states", "attention", "jacobian"
]


class TextTooLongError(ValueError):
    """A text has more tokens than a model's context."""


class Scores(NamedTuple):
    """Attributes:
    log_probability: `[N]` float64, nats, of each continuation after its prompt.
    num_tokens: `[N]` int64, of each continuation.
    """

    log_probability: np.ndarray
    num_tokens: np.ndarray


class Sampling(NamedTuple):
    """How tokens are drawn where the most probable one is not wanted.

    Attributes:
      temperature: above 0; logits are divided by it.
      seeds: of each prompt, from 0 to 2^31 - 1: a prompt with its seed gives one text.
    """

    temperature: float
    seeds: Sequence[int]


def check_sampling(prompts: Sequence[str], sampling: Sampling) -> None:
    """Raises ValueError where tokens cannot be drawn so."""
    if not 0 < sampling.temperature < float("inf"):
        raise ValueError(
            f"temperature={sampling.temperature}: must be above 0. Leave sampling out for "
            "the most probable tokens."
        )
    if len(sampling.seeds) != len(prompts):
        raise ValueError(
            f"{len(sampling.seeds)} seeds for {len(prompts)} prompts: must be one for each."
        )


@dataclass
class Tally:
    """Tokens of the texts that a model was asked to score.

    Attributes:
      num_asked: of all texts.
      num_read: that went through the model, without padding; what texts share is read once.
      num_padding: that went through the model beside them.
    """

    num_asked: int = 0
    num_read: int = 0
    num_padding: int = 0

    def add(self, num_asked: int, num_read: int, num_places: int) -> None:
        """Counts a batch of `num_places` tokens, padding included."""
        self.num_asked += num_asked
        self.num_read += num_read
        self.num_padding += num_places - num_read

    def __str__(self) -> str:
        places = max(self.num_read + self.num_padding, 1)
        saved = self.num_asked - self.num_read
        return (
            f"{self.num_asked} tokens scored; {saved} of them saved "
            f"({saved / max(self.num_asked, 1):.0%}) by prefixes that are read once; "
            f"padding is {self.num_padding / places:.0%} of what was read."
        )


class ProbedModel(Protocol):
    """A language model that is asked by text.

    One that lacks an ability raises ValueError where it is asked for it.
    """

    @property
    def abilities(self) -> frozenset[Ability]:
        """What it can be asked."""
        ...

    @property
    def questions_at_once(self) -> int:
        """So many are worth putting in one call; the answers to them are kept together."""
        ...

    @property
    def tally(self) -> Tally | None:
        """What scoring has read so far; None where a server or a harness does that."""
        ...

    def num_tokens(self, text: str) -> int | None:
        """Tokens of a text; None where a server or a harness does not tell."""
        ...

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

    def generate(
        self,
        prompts: Sequence[str],
        max_new_tokens: int,
        sampling: Sampling | None = None,
    ) -> list[str]:
        """What follows each prompt, the most probable token at every step, or drawn ones.

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

    def jacobian(self, prompts: Sequence[str]) -> list[np.ndarray]:
        """Of each prompt `[T, D, D]` float32, how its last token's final state moves.

        Entry `[i, a, b]` is the derivative of feature a of that state, normalised, by
        feature b of the embedding of token i.
        """
        ...

    def first_token(self, prompts: Sequence[str]) -> list[dict[str, float]]:
        """Of each prompt the likeliest next tokens, as text, and their log-probabilities.

        As many as the model tells, in nats; where two tokens have the same text, their sum.
        """
        ...


class WhiteBoxModel:
    """Base of a model with every ability, which counts what it reads."""

    abilities: frozenset[Ability] = frozenset(get_args(Ability))
    questions_at_once = 256

    def __init__(self) -> None:
        self.tally = Tally()


class BlackBoxModel(ABC):
    """Base of a model of which nothing but its answers is seen."""

    tally = None

    @abstractmethod
    def _lacks(self, ability: Ability) -> ValueError:
        """The error of one who asks for what it cannot do."""

    def hidden_states(self, prompts: Sequence[str]) -> list[np.ndarray]:
        raise self._lacks("hidden states")

    def attention(self, prompts: Sequence[str]) -> list[np.ndarray]:
        raise self._lacks("attention")

    def jacobian(self, prompts: Sequence[str]) -> list[np.ndarray]:
        raise self._lacks("jacobian")
