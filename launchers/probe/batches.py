"""Texts of many lengths in few shapes, so that little is padded and compiled.

Both sides of a batch are powers of two. However many texts there are, a model meets at
most one shape for every pair of powers up to its limits.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

MIN_LENGTH = 16  # Tokens; the rows of shorter texts are padded to this.
MAX_BATCH_TOKENS = 4096  # That go through a model at once, padding included.


class Batch(NamedTuple):
    """Texts that go through a model together.

    Attributes:
      indices: of the texts.
      num_rows: a power of two, at least as many; the others are padding.
      length: tokens of a row, a power of two or the model's limit.
    """

    indices: list[int]
    num_rows: int
    length: int


def power_of_two(number: int) -> int:
    """The smallest power of two that is at least a number of 1 or more."""
    return 1 << (number - 1).bit_length()


def power_of_four(number: int) -> int:
    """The smallest power of four that is at least a number of 1 or more."""
    power = power_of_two(number)
    return power if power.bit_length() % 2 else 2 * power


def in_batches(lengths: Sequence[int], max_tokens: int, max_length: int) -> Iterator[Batch]:
    """Puts texts of like lengths together, the longest first.

    Args:
      lengths: in tokens, of each text, at least 1 and at most `max_length`.
      max_tokens: of a batch, padding included; one text may have more.
      max_length: the model's limit.
    """
    rows: dict[int, list[int]] = {}
    for index in np.argsort(-np.asarray(lengths, int), kind="stable").tolist():
        length = min(power_of_two(max(lengths[index], MIN_LENGTH)), max_length)
        rows.setdefault(length, []).append(index)
    for length, indices in rows.items():
        at_once = max(1, power_of_two(max_tokens // length + 1) // 2)
        for first in range(0, len(indices), at_once):
            part = indices[first : first + at_once]
            yield Batch(part, power_of_two(len(part)), length)


def stack(texts: Sequence[Sequence[int]], batch: Batch) -> np.ndarray:
    """The tokens of a batch, `[num_rows, length]` int32, zeros at the right and below."""
    rows = np.zeros((batch.num_rows, batch.length), np.int32)
    for row, index in enumerate(batch.indices):
        rows[row, : len(texts[index])] = texts[index]
    return rows
