"""Counting and copying as sequences of tokens, for small models to learn.

A row is a sequence of digits, a mark that asks, and the answer. Shapes: B rows, T tokens.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

import jax
import jax.numpy as jnp
from annotated_types import Interval

from tolman.agents.agent import Array
from tolman.agents.llm_probe.learner import TokenExamples

# Token 1 is the first character; 0 is padding.
CHARACTERS = "01,=<>23456789"
ZERO, ONE, COMMA, HOW_MANY, FIRST, LAST = range(1, 7)
NUM_DIGITS = 3  # Of a count, zeros first.
EVERY = 3  # Digits between commas.


@dataclass(frozen=True)
class Sequences:
    """Rows to learn from; a source as `tolman.launchers.device.supervised.Source`.

    Attributes:
      question: "count" asks with "=" for the number of ones, among digits that are all
        ones or ones in a share of 0.7. "copy" asks with "<" for the first digit or ">" for
        the last one, which is drawn, all others being ones.
      max_digits: of a sequence; lengths are uniform from 1.
      has_commas: a comma stands behind every third digit but the last.

    Source: Barbero et al. 2024, sections 3 and 5.
    """

    question: Literal["count", "copy"] = "count"
    max_digits: Annotated[int, Interval(ge=1, lt=10**NUM_DIGITS)] = 24
    has_commas: bool = False

    @property
    def num_tokens(self) -> int:
        """T."""
        answer = NUM_DIGITS if self.question == "count" else 1
        return int(self._places(self.max_digits)) + 1 + answer

    def load(self, split: str) -> Any:
        del split
        return ()

    def sample(self, data: Any, key: Array, batch_size: int) -> TokenExamples:
        del data
        return jax.vmap(self._draw)(jax.random.split(key, batch_size))

    def _draw(self, key: Array) -> TokenExamples:
        length_key, digit_key, kind_key = jax.random.split(key, 3)
        length = jax.random.randint(length_key, (), 1, self.max_digits + 1)
        index = jnp.arange(self.max_digits)
        is_varied = jax.random.bernoulli(kind_key)
        if self.question == "count":
            drawn = jax.random.bernoulli(digit_key, 0.7, (self.max_digits,))
            is_one = jnp.where(is_varied, drawn, True)
            count = (is_one & (index < length)).sum()
            powers = 10 ** jnp.arange(NUM_DIGITS - 1, -1, -1)
            mark, answer = jnp.int32(HOW_MANY), _digit_token(count // powers % 10)
        else:
            asked = jnp.where(is_varied, 0, length - 1)
            digit = jax.random.bernoulli(digit_key).astype(jnp.int32)
            is_one = jnp.where(index == asked, digit == 1, True)
            mark, answer = jnp.where(is_varied, FIRST, LAST), _digit_token(digit)[None]
        place = jnp.arange(self.num_tokens)
        end = self._places(length)
        is_comma = (place % (EVERY + 1) == EVERY) & self.has_commas
        before = place // (EVERY + 1) if self.has_commas else 0
        tokens = jnp.where(is_one[jnp.minimum(place - before, self.max_digits - 1)], ONE,
                           ZERO)  # fmt: skip
        tokens = jnp.where(is_comma, COMMA, tokens)
        after = jnp.clip(place - end - 1, 0, len(answer) - 1)
        is_answer = (place > end) & (place <= end + len(answer))
        tail = jnp.where(place == end, mark, jnp.where(is_answer, answer[after], 0))
        return TokenExamples(jnp.where(place < end, tokens, tail), is_answer)

    def _places(self, num_digits: Any) -> Any:
        """Tokens of a sequence, commas included."""
        return num_digits + ((num_digits - 1) // EVERY if self.has_commas else 0)


def _digit_token(digit: Array) -> Array:
    return jnp.where(digit < 2, digit + 1, digit + 5).astype(jnp.int32)
