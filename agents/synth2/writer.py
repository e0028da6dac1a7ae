"""A small language model that writes captions, of a concept or of anything.

A row begins with the number of its concept, V + c, or with START where none is asked for.
The model is a `LanguageModel`, trained by `tolman.agents.llm_probe.learner.TokenLearner`.

Shapes: P texts, B captions, T places, V words with the special ones, G concepts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
from annotated_types import Gt, Interval

from tolman.agents.agent import Array, Params
from tolman.agents.llm_probe.learner import TokenExamples
from tolman.agents.synth2.words import END, PAD, START
from tolman.networks.language import (
    Cache,
    LanguageModel,
    LanguageModelConfig,
    empty_cache,
)

NO_CONCEPT = -1


@dataclass(frozen=True)
class Texts:
    """Captions and their concepts, to be learned; the methods are those of a `Source`.

    Attributes:
      rows: `[P, T]`, from `Words.encode`.
      concepts: `[P]`, or `NO_CONCEPT`.
      vocabulary_size: V.
      share_without: of the rows that are learned without their concept.
    """

    rows: np.ndarray
    concepts: np.ndarray
    vocabulary_size: int
    share_without: Annotated[float, Interval(ge=0, le=1)] = 0.2

    def load(self, split: str) -> Any:
        """Rows and concepts; of each split the same."""
        del split
        return jnp.asarray(self.rows), jnp.asarray(self.concepts)

    def sample(self, data: Any, key: Array, batch_size: int) -> TokenExamples:
        row_key, drop_key = jax.random.split(key)
        chosen = jax.random.randint(row_key, (batch_size,), 0, len(data[0]))
        rows, concepts = data[0][chosen], data[1][chosen]
        is_without = jax.random.bernoulli(drop_key, self.share_without, (batch_size,))
        concepts = jnp.where(is_without, NO_CONCEPT, concepts)
        first = first_tokens(concepts, self.vocabulary_size)
        is_asked = (rows != PAD).at[:, 0].set(False)
        return TokenExamples(rows.at[:, 0].set(first), is_asked)


@dataclass(frozen=True)
class Writer:
    """A trained model that writes.

    Attributes:
      config: of the model; V + G tokens.
      vocabulary_size: V.
      length: T, of a row.
      temperature: of drawing words.
    """

    config: LanguageModelConfig
    vocabulary_size: int
    length: int
    temperature: Annotated[float, Gt(0)] = 1.0

    def write(self, params: Params, concepts: Array, key: Array) -> Array:
        """Captions `[B, T]` that begin with START, for concepts `[B]` or `NO_CONCEPT`.

        A caption that has no END after T words is cut there.
        """
        network: hk.Transformed = hk.without_apply_rng(hk.transform(self._forward))
        allowed = jnp.arange(self.config.vocabulary_size)
        is_word = (allowed >= END) & (allowed < self.vocabulary_size)
        first = first_tokens(concepts, self.vocabulary_size)

        def one_word(state: Any, key: Array) -> tuple[Any, Array]:
            words, is_done, cache = state
            logits, cache = network.apply(params, words[:, None], cache)
            logits = jnp.where(is_word, logits[:, 0] / self.temperature, -jnp.inf)
            drawn = jnp.where(is_done, PAD, jax.random.categorical(key, logits))
            return (drawn, is_done | (drawn == END), cache), drawn

        cache = empty_cache(self.config, len(concepts), self.length)
        start = first, jnp.zeros(len(concepts), bool), cache
        keys = jax.random.split(key, self.length - 1)
        _, words = jax.lax.scan(one_word, start, keys)
        begin = jnp.full((len(concepts), 1), START)
        return jnp.concatenate([begin, words.T], axis=1)

    def _forward(self, words: Array, cache: Cache) -> tuple[Array, Cache | None]:
        model = LanguageModel(self.config)
        reading = model(words, cache)
        return model.logits(reading.hidden[-1]), reading.cache


def first_tokens(concepts: Array, vocabulary_size: int) -> Array:
    """`[B]`: V + concept, or START where there is none."""
    return jnp.where(concepts == NO_CONCEPT, START, vocabulary_size + concepts)
