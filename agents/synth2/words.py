"""Captions as rows of numbered words.

Shapes: N captions, T places, V words with the special ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tolman.agents.synth2.metrics import split_caption

PAD, START, END = 0, 1, 2  # Words are numbered from 3 on.
NUM_SPECIAL = 3


@dataclass(frozen=True)
class Words:
    """Numbers the words of captions: START, words, END, then PAD.

    Attributes:
      vocabulary: the words, each once.
      max_words: of a caption.
    """

    vocabulary: tuple[str, ...]
    max_words: int

    @property
    def size(self) -> int:
        """V."""
        return NUM_SPECIAL + len(self.vocabulary)

    @property
    def length(self) -> int:
        """T, places of a row."""
        return self.max_words + 2

    def encode(self, captions: Sequence[str]) -> np.ndarray:
        """`[N, T]` int32.

        Raises:
          ValueError: if a caption is empty, too long, or has a word that is not known.
        """
        number = {word: i for i, word in enumerate(self.vocabulary, NUM_SPECIAL)}
        rows = np.full((len(captions), self.length), PAD, np.int32)
        split = [split_caption(caption) for caption in captions]
        self._refuse(captions, split, number)
        for row, words in zip(rows, split, strict=True):
            row[: len(words) + 2] = [START, *(number[word] for word in words), END]
        return rows

    def decode(self, rows: np.ndarray) -> list[str]:
        """The words of each row `[N, T]` up to its END, joined by spaces."""
        found = []
        for row in np.asarray(rows).tolist():
            words = row[: row.index(END)] if END in row else row
            known = [i - NUM_SPECIAL for i in words if NUM_SPECIAL <= i < self.size]
            found.append(" ".join(self.vocabulary[i] for i in known))
        return found

    def _refuse(
        self, captions: Sequence[str], split: list[list[str]], number: dict[str, int]
    ) -> None:
        what = {
            "are empty": [not words for words in split],
            f"have more than {self.max_words} words": [
                len(words) > self.max_words for words in split
            ],
            "have words that are not in the vocabulary": [
                any(word not in number for word in words) for words in split
            ],
        }
        for problem, is_wrong in what.items():
            if count := sum(is_wrong):
                first = captions[is_wrong.index(True)]
                raise ValueError(
                    f"captions: {count} of {len(captions)} {problem}, the first is "
                    f"{first!r}. Leave them out, or give a vocabulary that fits."
                )
