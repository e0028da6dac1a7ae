"""The partial-exposure question in nonsense words, for language models."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tolman.agents.llm_probe.rule_exemplar.stimuli import AW, AX, BW, BX, CONTEXT

ONSETS, RHYMES = (
    ("bl", "d", "f", "gr", "k", "m", "p", "sn", "t", "v"),
    (
        *("ack", "em", "ib", "oop"),
        *("urn", "azz"),
    ),
)
NUM_SETS = 24  # Of six words.


class Question(NamedTuple):
    """Attributes:
    number: of the set of words.
    prompt: the context and the pair that is asked.
    target: the label by the rule, with a space before it.
    other: the other label.
    is_held_out: the pair is BX.
    place: of the word that decides, 0 or 1.
    is_swapped: the two labels have changed places.
    """

    number: int
    prompt: str
    target: str
    other: str
    is_held_out: bool
    place: int
    is_swapped: bool


def questions() -> list[Question]:
    """All: every set of words with each place and each order of labels, always the same."""
    rng = np.random.default_rng(0)
    words = [onset + rhyme for onset in ONSETS for rhyme in RHYMES]
    found = []
    for number in range(NUM_SETS):
        chosen = rng.choice(words, 6, replace=False).tolist()
        order = rng.permutation(len(CONTEXT))
        for place in (0, 1):
            for is_swapped in (False, True):
                for pair in (AX, AW, BW, BX):
                    found.append(
                        _question(number, chosen, CONTEXT[order], pair, place, is_swapped)
                    )
    return found


def _question(
    number: int,
    words: list[str],
    context: np.ndarray,
    pair: tuple[int, int],
    place: int,
    is_swapped: bool,
) -> Question:
    """Of a set of six words: A, B, X, W and two labels."""
    labels = words[4:][::-1] if is_swapped else words[4:]

    def pair_of(combination: tuple[int, int]) -> str:
        both = words[combination[0]], words[2 + combination[1]]
        return " ".join(both if place == 0 else both[::-1])

    lines = [f"{pair_of((a, b))} is {labels[a]}." for a, b in context.tolist()]
    return Question(
        number, " ".join([*lines, f"{pair_of(pair)} is"]), f" {labels[pair[0]]}",
        f" {labels[1 - pair[0]]}", pair == BX, place, is_swapped,
    )  # fmt: skip


def bootstrap(
    values: np.ndarray, groups: np.ndarray, num_draws: int = 2_000
) -> tuple[float, float]:
    """The 95 % interval of the mean, groups drawn with replacement, always the same.

    Args:
      values: `[N]`.
      groups: `[N]`, the set that each belongs to; sets are of one size.
      num_draws: of all sets.
    """
    means = np.array([values[groups == one].mean() for one in np.unique(groups)])
    drawn = np.random.default_rng(0).choice(means, (num_draws, len(means)))
    low, high = np.quantile(drawn.mean(1), [0.025, 0.975])
    return float(low), float(high)
