"""From scores of texts to answers: raw, or corrected for how likely each answer is anyway.

Shapes: N items, K options of one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from tolman.agents.llm_probe.content_effects.items import Item


class Score(Protocol):
    """The method `score` of a model; see `tolman.launchers.probe.model`."""

    def __call__(self, prompts: Sequence[str], continuations: Sequence[str]) -> Any:
        """Returns something with `log_probability`, one number a pair."""
        ...


class Answers(NamedTuple):
    """Attributes:
    preference: of each item `[K]`, nats, larger for what is more preferred.
    choice: `[N]`, index of the preferred option; the first of equals.
    is_right: `[N]` bool.
    confidence: `[N]`, nats by which the choice leads before the next.
    """

    preference: list[np.ndarray]
    choice: np.ndarray
    is_right: np.ndarray
    confidence: np.ndarray


def ask(items: Sequence[Item], score: Score, is_corrected: bool = True) -> Answers:
    """Puts items to a model; the same text is sent once.

    Args:
      items: questions.
      score: of the model.
      is_corrected: take from each option's log-probability the one that it has after the
        item's `baseline`.

    Source: Holtzman et al. 2021, equation 3 (the correction, "DC-PMI").
    """
    sides = ("prompt", "baseline") if is_corrected else ("prompt",)
    asked = {
        (getattr(item, side), option): None
        for item in items
        for side in sides
        for option in item.options
    }
    scores = score([pair[0] for pair in asked], [pair[1] for pair in asked])
    found = dict(zip(asked, np.asarray(scores.log_probability, float), strict=True))

    def side_of(item: Item, side: str) -> np.ndarray:
        text = getattr(item, side)
        return np.array([found[text, option] for option in item.options])

    preference = [
        side_of(item, "prompt") - (side_of(item, "baseline") if is_corrected else 0.0)
        for item in items
    ]
    return from_preferences(items, preference)


def from_preferences(items: Sequence[Item], preference: Sequence[np.ndarray]) -> Answers:
    """The answers that preferences `[K]` for the options of each item lead to."""
    choice = np.array([one.argmax() for one in preference], int)
    ranked = [np.sort(one) for one in preference]
    return Answers(
        preference=list(preference),
        choice=choice,
        is_right=choice == np.array([item.right for item in items], int),
        confidence=np.array([one[-1] - one[-2] for one in ranked], float),
    )
