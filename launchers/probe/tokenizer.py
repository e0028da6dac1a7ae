"""Text to tokens and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol


class Encoded(NamedTuple):
    """A text in tokens.

    Attributes:
      tokens: T numbers, a token for the start first where the model has one.
      ends: T numbers, how many characters of the text each token and those before it
        cover; 0 for what stands for no part of the text.
    """

    tokens: list[int]
    ends: list[int]


class Tokenizer(Protocol):
    """Text to tokens and back."""

    @property
    def vocabulary_size(self) -> int:
        """V; tokens are numbers in [0, V)."""
        ...

    @property
    def stops(self) -> tuple[int, ...]:
        """Tokens that end a text."""
        ...

    def encode(self, text: str) -> Encoded:
        """Turns a whole text into tokens."""
        ...

    def decode(self, tokens: Sequence[int], is_start: bool) -> str:
        """The text that tokens stand for, at the start of a text or further on in it."""
        ...


def pairs_of(prompts: Sequence[str], continuations: Sequence[str]) -> list[tuple[str, str]]:
    """Each prompt with its continuation.

    Raises:
      ValueError: if there are not as many of both.
    """
    if len(prompts) != len(continuations):
        raise ValueError(
            f"{len(prompts)} prompts and {len(continuations)} continuations: must be as "
            "many. Repeat a prompt for each of its continuations."
        )
    return list(zip(prompts, continuations, strict=True))


def encode_pair(
    tokenizer: Tokenizer, prompt: str, continuation: str
) -> tuple[list[int], int]:
    """The tokens of a prompt and its continuation, and how many are the prompt's.

    They are encoded together. White space that ends the prompt is moved over to the
    continuation, as lm-evaluation-harness does. A token that reaches across the boundary
    is the continuation's; there, the boundary is taken where the prompt's own tokens end.

    Raises:
      ValueError: if the continuation is empty, or nothing stands before it.
    """
    if not continuation:
        raise ValueError(
            f"the continuation of {brief(prompt)} is empty: must be text. Leave it out."
        )
    prompt_size = len(prompt.rstrip())
    tokens, ends = tokenizer.encode(prompt + continuation)
    num_prompt = sum(end <= prompt_size for end in ends)
    if not num_prompt:
        raise ValueError(
            f"no token stands before {brief(continuation)}: must be at least one. Give a "
            "longer prompt; this tokenizer has no token for the start."
        )
    if num_prompt == len(tokens):
        raise ValueError(
            f"the continuation {brief(continuation)} of {brief(prompt)} has no token: must "
            "have one. Give text that the tokenizer knows."
        )
    return tokens, num_prompt


def brief(text: str) -> str:
    """A text, quoted and shortened, for messages of one line."""
    return repr(text if len(text) <= 40 else f"{text[:18]} ... {text[-17:]}")
