"""A tokenizer of single characters, for models that are made here."""

from __future__ import annotations

from collections.abc import Sequence

from tolman.launchers.probe.tokenizer import Encoded


class CharacterTokenizer:
    """One token a character, numbered from 1 in the order given; 0 is padding.

    The methods are those of `tolman.launchers.probe.tokenizer.Tokenizer`.
    """

    stops = (0,)

    def __init__(self, characters: str) -> None:
        self.characters = characters

    @property
    def vocabulary_size(self) -> int:
        return len(self.characters) + 1

    def encode(self, text: str) -> Encoded:
        """Turns a whole text into tokens.

        Raises:
          ValueError: for a character that has no token.
        """
        for character in text:
            if character not in self.characters:
                raise ValueError(
                    f"the character {character!r} has no token: must be one of "
                    f"{self.characters!r}. Leave it out."
                )
        tokens = [self.characters.index(character) + 1 for character in text]
        return Encoded(tokens, list(range(1, len(text) + 1)))

    def decode(self, tokens: Sequence[int], is_start: bool) -> str:
        del is_start
        return "".join(self.characters[token - 1] for token in tokens if token > 0)
