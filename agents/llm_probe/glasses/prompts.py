"""What is counted and copied, as text."""

from __future__ import annotations

import re

import numpy as np

COPYING = (
    "What is the {which} digit of the following sequence? Please answer exactly as 'The "
    "answer to your question is: <ANSWER>'. {hint}Here is the sequence: {sequence}"
)
HINT = "Hint: It's not necessarily a 1, check carefully. "


def ones_and_zero(num_ones: int) -> str:
    """Ones, then a single zero: the last digit alone differs from all before it."""
    return "1" * num_ones + "0"


def zero_and_ones(num_ones: int) -> str:
    """A single zero, then ones: the first digit alone differs from all after it."""
    return "0" + "1" * num_ones


def separated(digits: str, every: int = 3, separator: str = ",") -> str:
    """A separator behind every third digit, but none at the end.

    Source: Barbero et al. 2024, figure 5d.
    """
    groups = [digits[start : start + every] for start in range(0, len(digits), every)]
    return separator.join(groups)


def copying(sequence: str, which: str, has_hint: bool = False) -> str:
    """Asks for the first or the last digit.

    Args:
      sequence: of digits, perhaps separated.
      which: "first" or "last".
      has_hint: warns that it need not be a 1.

    Source: Barbero et al. 2024, figures 2 and 12.
    """
    return COPYING.format(which=which, hint=HINT if has_hint else "", sequence=sequence)


def counting(task: str, length: int, rng: np.random.Generator) -> tuple[str, int]:
    """A question with a number as its answer, and that number.

    Args:
      task: "sum", "ones", "bits" (of which a share of 0.7 are ones) or "words".
      length: numbers of terms, digits or words.
      rng: draws bits and words.

    Raises:
      ValueError: for another task.

    Source: Barbero et al. 2024, figure 3.
    """
    if task == "sum":
        return f"What is {'+'.join('1' * length)}? The answer is", length
    if task in ("ones", "bits"):
        bits = rng.random(length) < 0.7 if task == "bits" else np.ones(length, bool)
        digits = ",".join("01"[int(bit)] for bit in bits)
        question = f"Count the ones in the following sequence: {digits}. The answer is"
        return question, int(bits.sum())
    if task == "words":
        is_asked = rng.random(length) < 0.7
        words = " ".join("car" if one else "tree" for one in is_asked)
        question = f"Count the word 'car' in the following sentence: {words}. The answer is"
        return question, int(is_asked.sum())
    raise ValueError(
        f"task={task!r}: must be 'sum', 'ones', 'bits' or 'words'. Choose one of them."
    )


def number_in(answer: str) -> int | None:
    """The first number in an answer, or None where there is none."""
    found = re.search(r"\d+", answer)
    return int(found[0]) if found else None
