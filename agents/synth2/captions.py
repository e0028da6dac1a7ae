"""Captions that a language model is asked for: prompts, cleaning, filters and balance.

Shapes: N captions, G concepts.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, NamedTuple

import numpy as np
from annotated_types import Ge

from tolman.agents.synth2.metrics import split_caption

Style = Literal["class-prompted", "unprompted", "narrow"]
# The paper's prompt is known second-hand; these are words of our own to the same effect.
ASKED = (
    "Invent an image and write its caption, as a person would who labels images. {about}"
    "Use about {num_words} plain, everyday words. State only what can be seen: no opinion, "
    "no poetry. Answer with the caption alone.\nCaption:"
)
ABOUT = "The image shows: {concept}. "
_LABEL = re.compile(r"^(?:[-*\d.)\s]+|(?:the )?caption\s*:\s*)+", re.IGNORECASE)
_QUOTES = "\"'`\u201c\u201d\u2018\u2019 "


@dataclass(frozen=True)
class CaptionPlan:
    """What captions are asked for.

    Attributes:
      style: "class-prompted": each of a concept that is drawn from all of them alike;
        "unprompted": of anything; "narrow": as the first, of few concepts.
      num_captions: N, that are asked for; what is filtered out is not asked for again.
      num_words: about so many in a caption.
      num_narrow: concepts that a narrow plan draws from.
    """

    style: Style = "class-prompted"
    num_captions: Annotated[int, Ge(1)] = 1000
    num_words: Annotated[int, Ge(1)] = 10
    num_narrow: Annotated[int, Ge(1)] = 6


class Asked(NamedTuple):
    """Attributes:
    prompts: N texts.
    concepts: N indices of concepts; -1 where none is asked for.
    """

    prompts: list[str]
    concepts: np.ndarray


def ask_for(plan: CaptionPlan, concepts: Sequence[str], rng: np.random.Generator) -> Asked:
    """The prompts of a plan.

    Args:
      plan: what is asked for.
      concepts: G names, such as those of classes of images.
      rng: of the concepts that are drawn.

    Raises:
      ValueError: if a concept is needed and there are none.
    """
    num = plan.num_captions
    if plan.style == "unprompted":
        prompt = ASKED.format(about="", num_words=plan.num_words)
        return Asked([prompt] * num, np.full(num, -1))
    if not concepts:
        raise ValueError(
            f"style={plan.style!r}: needs concepts, and none are given. Give a list of "
            "names, or ask unprompted."
        )
    allowed = np.arange(len(concepts))
    if plan.style == "narrow":
        allowed = rng.permutation(len(concepts))[: plan.num_narrow]
    drawn = allowed[rng.integers(len(allowed), size=num)]
    prompts = [
        ASKED.format(about=ABOUT.format(concept=concepts[i]), num_words=plan.num_words)
        for i in drawn
    ]
    return Asked(prompts, drawn)


def clean(answer: str) -> str:
    """The caption in what a model answered: its first line, without label and quotes."""
    lines = [line.strip() for line in answer.splitlines() if line.strip(_QUOTES)]
    return _LABEL.sub("", lines[0]).strip(_QUOTES) if lines else ""


class Kept(NamedTuple):
    """Attributes:
    rows: `[K]`, the numbers of captions that are kept, in their order.
    removed: how many captions fell to each filter, the first that they met.
    """

    rows: np.ndarray
    removed: dict[str, int]


def keep(
    captions: Sequence[str],
    is_named: np.ndarray,
    min_words: int = 3,
    max_words: int = 40,
) -> Kept:
    """Takes out empty, short, long and repeated captions, and those without their concept.

    Args:
      captions: N texts.
      is_named: `[N]` bool, the caption names what it was asked for.
      min_words: of a caption.
      max_words: of a caption.

    Raises:
      ValueError: if all captions are empty: the model answers nothing.
    """
    split = [tuple(split_caption(one)) for one in captions]
    if captions and not any(split):
        raise ValueError(
            f"{len(captions)} of {len(captions)} captions are empty: the model answers "
            "nothing. Ask another, or see what it answers to one prompt."
        )
    removed: Counter[str] = Counter()
    known: set[tuple[str, ...]] = set()
    rows = []
    for row, words in enumerate(split):
        reason = _reason(words, bool(is_named[row]), words in known, min_words, max_words)
        if reason:
            removed[reason] += 1
            continue
        known.add(words)
        rows.append(row)
    return Kept(np.array(rows, int), dict(removed))


def _reason(
    words: tuple[str, ...], is_named: bool, is_known: bool, min_words: int, max_words: int
) -> str | None:
    if not words:
        return "empty"
    if len(words) < min_words:
        return "short"
    if len(words) > max_words:
        return "long"
    if not is_named:
        return "concept missing"
    return "repeated" if is_known else None


def names_concept(caption: str, concept: str) -> bool:
    """Whether a caption names a concept, or one of its names that stand between commas.

    The words of a name must follow each other; the last may be in the plural.
    """
    words = split_caption(caption)
    return any(_has(words, split_caption(name)) for name in concept.split(",") if name)


def _has(words: list[str], name: list[str]) -> bool:
    if not name:
        return False
    last = {name[-1], f"{name[-1]}s", f"{name[-1]}es"}
    if name[-1].endswith("y"):
        last.add(f"{name[-1][:-1]}ies")
    size = len(name)
    return any(
        words[i : i + size - 1] == name[:-1] and words[i + size - 1] in last
        for i in range(len(words) - size + 1)
    )


def are_named(
    captions: Sequence[str],
    asked: np.ndarray,
    concepts: Sequence[str],
    names: Callable[[str, str], bool] = names_concept,
) -> np.ndarray:
    """`[N]` bool: each caption names the concept that it was asked for, or there was none.

    Args:
      captions: N texts.
      asked: `[N]`, indices of concepts, or -1.
      concepts: G names.
      names: whether a caption names a concept.
    """
    return np.array(
        [
            index < 0 or names(caption, concepts[index])
            for caption, index in zip(captions, asked.tolist(), strict=True)
        ],
        bool,
    )


def balance(concepts: np.ndarray, at_most: int, rng: np.random.Generator) -> np.ndarray:
    """`[K]` rows, in their order: of each concept so many, drawn, or all that there are.

    Args:
      concepts: `[N]`, the concept of each caption; -1, of none, is a concept as others.
      at_most: captions of one concept, at least 1.
      rng: of which are kept.

    Raises:
      ValueError: if `at_most` is below 1.

    Source: Hammoud et al. 2024, "SynthCLIP", balanced sampling of a concept bank.
    """
    if at_most < 1:
        raise ValueError(f"at_most={at_most}: must be at least 1.")
    order = rng.permutation(len(concepts))
    by_concept = order[np.argsort(concepts[order], kind="stable")]
    values = concepts[by_concept]
    first = np.searchsorted(values, values)  # Where the run of each concept begins.
    rank = np.arange(len(values)) - first
    return np.sort(by_concept[rank < at_most])
