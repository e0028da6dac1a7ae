"""Text to tokens and back by a tokenizer of `transformers`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tolman.launchers.probe.tokenizer import Encoded


class FastTokenizer:
    """A tokenizer of `transformers` with character offsets; see `Tokenizer`."""

    def __init__(self, tokenizer: Any, has_chat_template: bool) -> None:
        self._tokenizer, self._has_chat_template = tokenizer, has_chat_template
        self.vocabulary_size = len(tokenizer)
        end = tokenizer.eos_token_id
        self.stops: tuple[int, ...] = () if end is None else (int(end),)

    def encode(self, text: str) -> Encoded:
        # A template writes the special tokens itself.
        found = self._tokenizer(
            text,
            return_offsets_mapping=True,
            add_special_tokens=not self._has_chat_template,
        )
        return Encoded(found["input_ids"], [end for _, end in found["offset_mapping"]])

    def decode(self, tokens: Sequence[int], is_start: bool) -> str:
        if is_start or not tokens:
            return str(self._tokenizer.decode(tokens, skip_special_tokens=True))
        # Of SentencePiece, the space before a first token is lost without one before it.
        before = self._tokenizer.encode("a", add_special_tokens=False)
        lead = self._tokenizer.decode(before, skip_special_tokens=True)
        whole = self._tokenizer.decode([*before, *tokens], skip_special_tokens=True)
        return str(whole)[len(lead) :]

    def as_turn(self, prompt: str) -> str:
        """A prompt as a user's turn, up to where the answer begins."""
        if not self._has_chat_template:
            return prompt
        turn = [{"role": "user", "content": prompt}]
        return str(
            self._tokenizer.apply_chat_template(
                turn, tokenize=False, add_generation_prompt=True
            )
        )
