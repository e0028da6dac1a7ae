"""Inferences from comparisons for a small language model to learn, word by word.

A row is a comparison that is drawn with what follows from it, or a fact of the world. No
pair of `nli_items` is in an inference that is learned from: all their words are, each
beside others. The facts are of those pairs, and agree with belief.

Shapes: B rows, T = 12 words, Q qualities, 6 pairs of things of each, W words.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np
from annotated_types import Interval

from tolman.agents.agent import Array
from tolman.agents.llm_probe.content_effects.items import Item, nonsense_words
from tolman.agents.llm_probe.content_effects.nli import COMPARISONS
from tolman.agents.llm_probe.learner import TokenExamples

NUM_WORDS = 12  # "if A are more than B then B are less than A".
IF, ARE, THAN, THEN = range(1, 5)


def vocabulary() -> list[str]:
    """All words, in the order of their tokens; the first is padding."""
    known = [word for both in COMPARISONS for word in both]
    known += [word for things in COMPARISONS.values() for word in things.split()]
    plain = [word.rstrip(",") for word in known]
    unknown = [f"{word}s" for word in nonsense_words()]
    return list(dict.fromkeys(["", "if", "are", "than", "then", *plain, *unknown]))


def encode(text: str) -> list[int]:
    """The tokens of a text of known words; commas are left out.

    Raises:
      KeyError: for another word.
    """
    number = {word: index for index, word in enumerate(vocabulary())}
    return [number[word] for word in text.lower().replace(",", "").split()]


def rows_of(items: Sequence[Item]) -> TokenExamples:
    """Every item with every option, one after another; asked are the option's words."""
    texts = [(item.prompt, option) for item in items for option in item.options]
    tokens = np.zeros((len(texts), NUM_WORDS), np.int32)
    is_asked = np.zeros((len(texts), NUM_WORDS), bool)
    for row, (prompt, option) in enumerate(texts):
        begin, whole = len(encode(prompt)), encode(prompt + option)
        tokens[row, : len(whole)] = whole
        is_asked[row, begin : len(whole)] = True
    return TokenExamples(jnp.asarray(tokens), jnp.asarray(is_asked))


@dataclass(frozen=True)
class SmallNLI:
    """Rows to learn from; a source as `tolman.launchers.device.supervised.Source`.

    Attributes:
      share_of_facts: of the rows; 0 for a world of which nothing is known.
    """

    share_of_facts: Annotated[float, Interval(ge=0, le=1)] = 0.5

    def load(self, split: str) -> Any:
        """Tokens of what is more and less, `[Q, 2]`; of pairs of things, of which the first
        is more, `[Q, 6, 2]`; of pairs without meaning, `[78, 2]`.
        """
        del split
        number = {word: index for index, word in enumerate(vocabulary())}
        degrees = [[number[word] for word in both] for both in COMPARISONS]
        things = [
            [[number[word] for word in pair.split()] for pair in one.split(", ")]
            for one in COMPARISONS.values()
        ]
        words = [number[f"{word}s"] for word in nonsense_words()]
        unknown = [[words[index], words[-1 - index]] for index in range(len(words) // 2)]
        return jnp.array(degrees), jnp.array(things), jnp.array(unknown)

    def sample(self, data: Any, key: Array, batch_size: int) -> TokenExamples:
        keys = jax.random.split(key, batch_size)
        return jax.vmap(lambda one: self._draw(one, *data))(keys)

    def _draw(
        self, key: Array, degrees: Array, things: Array, unknown: Array
    ) -> TokenExamples:
        keys = jax.random.split(key, 6)
        quality = jax.random.randint(keys[0], (), 0, len(degrees))
        is_known, is_less = jax.random.bernoulli(keys[1], shape=(2,))
        said, answer = jnp.where(is_less, degrees[quality, ::-1], degrees[quality])
        known = _two_of(keys[2], things[quality])
        first, second = jnp.where(is_known, known, _two_of(keys[3], unknown))
        inference = jnp.stack([
            jnp.int32(IF), first, jnp.int32(ARE), said, jnp.int32(THAN), second,
            jnp.int32(THEN), second, jnp.int32(ARE), answer, jnp.int32(THAN), first,
        ])  # fmt: skip
        pair = things[quality, jax.random.randint(keys[4], (), 0, things.shape[1])]
        one, other = jnp.where(is_less, pair[::-1], pair)
        fact = jnp.zeros(NUM_WORDS, jnp.int32)
        fact = fact.at[:5].set(
            jnp.stack([one, jnp.int32(ARE), said, jnp.int32(THAN), other])
        )
        is_fact = jax.random.bernoulli(keys[5], self.share_of_facts)
        place = jnp.arange(NUM_WORDS)
        is_asked = jnp.where(is_fact, (place > 0) & (place < 5), place >= 9)
        return TokenExamples(jnp.where(is_fact, fact, inference), is_asked)


def _two_of(key: Array, pairs: Array) -> Array:
    """Words `[2]` of two different ones of `[N, 2]` pairs, either side of each."""
    pair_key, side_key = jax.random.split(key)
    chosen = jax.random.choice(pair_key, len(pairs), (2,), replace=False)
    side = jax.random.bernoulli(side_key, shape=(2,)).astype(jnp.int32)
    return pairs[chosen, side]
