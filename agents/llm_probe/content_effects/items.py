"""What one question is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Condition = Literal["consistent", "violate", "nonsense", "realistic", "arbitrary"]


@dataclass(frozen=True)
class Item:
    """A question with answers to choose from.

    Attributes:
      group: items of one group are made of the same words; a group is what chance draws.
      condition: how its content stands to what is believed.
      prompt: what is read before an answer.
      baseline: what is read in place of it to learn how likely the answers are anyway. It
        is the end of `prompt`.
      options: the answers, each with the space before it.
      right: index of the logical answer.
      is_valid: whether the conclusion follows; None where that is not what is asked.
      is_believable: whether the conclusion is believed; None for one without meaning.
    """

    group: str
    condition: Condition
    prompt: str
    baseline: str
    options: tuple[str, ...]
    right: int
    is_valid: bool | None = None
    is_believable: bool | None = None


def nonsense_words() -> list[str]:
    """156 nouns without meaning, all different."""
    onsets = ("bl", "dr", "fl", "gl", "kr", "pl", "sk", "sn", "st", "tr", "vr", "zw")
    rimes = (
        *("eeb", "ulf", "oaz", "ixen", "arv", "omple", "ufter"),
        *("ienk", "oggle", "aiv", "urg", "ebbin", "awp"),
    )
    return [onset + rime for rime in rimes for onset in onsets]
