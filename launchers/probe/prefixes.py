"""Texts that begin alike: what they share is read once.

Few-shot examples stand before many questions, and a question before each of its options.
Texts are put in groups of which each shares one prefix, so that as few tokens as possible
are read; groups go through a model in batches, of prefixes first and then of what follows
them.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from tolman.launchers.probe.batches import MIN_LENGTH, power_of_four, power_of_two

MIN_PREFIX = 64  # Tokens of a row of prefixes.
MIN_SHARED = 16  # Tokens; less is not worth a group of its own.
MIN_ROWS = 16  # Of what follows prefixes.
MAX_GROUP = 512  # Texts.
KEPT_PER_READ = 8  # Tokens that are kept may be so many times those read at once.


class Group(NamedTuple):
    """Texts that begin with the same tokens.

    Attributes:
      indices: of the texts.
      size: tokens of the prefix; 0 of a text that is alone.
    """

    indices: list[int]
    size: int


class SharedBatch(NamedTuple):
    """Texts that go through a model together, behind prefixes that are read once.

    Attributes:
      indices: of the texts.
      sizes: of each, tokens of its prefix.
      which: of each, the number of its prefix among those of this batch.
      prefix_length: tokens of a row of prefixes, a power of two or the model's limit.
      rest_length: tokens of a row of what follows: twice a power of four, or the limit.
      num_prefixes: rows of prefixes, a power of four or as many as are read at once; the
        others are padding.
      num_rows: of what follows, likewise.
    """

    indices: list[int]
    sizes: list[int]
    which: list[int]
    prefix_length: int
    rest_length: int
    num_prefixes: int
    num_rows: int

    def split(self, texts: Sequence[Sequence[int]]) -> tuple[list, list]:
        """The tokens of the prefixes, and those that follow them in each text."""
        heads: dict[int, Sequence[int]] = {}
        rests = []
        for index, size, which in zip(self.indices, self.sizes, self.which, strict=True):
            heads[which] = texts[index][:size]
            rests.append(texts[index][size:])
        return [heads[which] for which in range(len(heads))], rests


def groups_of(texts: Sequence[Sequence[int]], limits: Sequence[int]) -> list[Group]:
    """Groups that share prefixes such that the fewest tokens are read.

    Args:
      texts: tokens of each.
      limits: of each, how many of its first tokens may be read apart from the others.
    """
    order = sorted(range(len(texts)), key=lambda index: list(texts[index]))
    same = [0, *(_same(texts[a], texts[b]) for a, b in itertools.pairwise(order))]
    # The cheapest way to read the first so many texts, and where its last group begins.
    costs, begins, sizes = [0], [0], [0]
    for end in range(1, len(order) + 1):
        last = order[end - 1]
        total, size = len(texts[last]), limits[last]
        best = costs[end - 1] + total, end - 1, 0
        for begin in range(end - 2, max(end - MAX_GROUP, 0) - 1, -1):
            size = min(size, same[begin + 1], limits[order[begin]])
            if size < MIN_SHARED:
                break
            total += len(texts[order[begin]])
            cost = costs[begin] + total - (end - begin - 1) * size
            best = min(best, (cost, begin, size))
        for kept, value in zip((costs, begins, sizes), best, strict=True):
            kept.append(value)
    found, end = [], len(order)
    while end:
        found.append(Group(order[begins[end] : end], sizes[end]))
        end = begins[end]
    return found[::-1]


def _same(one: Sequence[int], other: Sequence[int]) -> int:
    """How many tokens two texts have in common at their start."""
    pairs = enumerate(zip(one, other, strict=False))
    differing = (place for place, (a, b) in pairs if a != b)
    return next(differing, min(len(one), len(other)))


def in_shared_batches(
    groups: Sequence[Group], lengths: Sequence[int], max_tokens: int, max_length: int
) -> Iterator[SharedBatch]:
    """Puts groups with prefixes and rests of like lengths together, the longest first.

    Args:
      groups: that share a prefix.
      lengths: of each text, prefix included.
      max_tokens: that are read at once, padding included; one row may have more.
      max_length: the model's limit.
    """

    def prefix_row(count: int) -> int:
        return min(power_of_two(max(count, MIN_PREFIX)), max_length)

    def rest_row(count: int) -> int:
        return min(2 * power_of_four(max((count + 1) // 2, MIN_LENGTH)), max_length)

    alike: dict[tuple[int, int], list[tuple[int, int, int]]] = {}
    for number, group in enumerate(groups):
        for index in group.indices:
            shape = prefix_row(group.size), rest_row(lengths[index] - group.size)
            alike.setdefault(shape, []).append((number, index, group.size))
    for (prefix, rest), members in sorted(alike.items(), reverse=True):
        kept = KEPT_PER_READ * max_tokens // (prefix + rest)
        num_rows = _at_most(min(max_tokens // rest, kept))
        num_prefixes = _at_most(max_tokens // prefix)
        limits = prefix, rest, num_prefixes, num_rows
        part: list[tuple[int, int, int]] = []
        for member in members:
            numbers = {number for number, _, _ in (*part, member)}
            if len(part) == num_rows or len(numbers) > num_prefixes:
                yield _batch(part, *limits)
                part = []
            part.append(member)
        yield _batch(part, *limits)


def _at_most(count: int) -> int:
    """The largest power of two that is not above a count, or 1."""
    return max(1, power_of_two(count + 1) // 2)


def _batch(
    members: Sequence[tuple[int, int, int]],
    prefix_length: int,
    rest_length: int,
    max_prefixes: int,
    max_rows: int,
) -> SharedBatch:
    different, which = np.unique([one[0] for one in members], return_inverse=True)
    return SharedBatch(
        [one[1] for one in members],
        [one[2] for one in members],
        which.tolist(),
        prefix_length,
        rest_length,
        min(power_of_four(len(different)), max_prefixes),
        min(power_of_four(max(len(members), MIN_ROWS)), max_rows),
    )
