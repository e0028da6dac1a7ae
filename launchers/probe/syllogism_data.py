"""Syllogisms that others have written, from a file.

The format is that of the data set `syllogisms_belief2x2`: JSON with a list `syllogisms`,
of each its `id` and `variants`. A variant has two statements, a conclusion, and two labels:
`ground_truth_syntax`, "valid" or "invalid", and `ground_truth_NLU`, "believable" or
"unbelievable". The labels are taken as they are.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tolman.agents.llm_probe.content_effects.items import Condition, Item
from tolman.agents.llm_probe.content_effects.syllogisms import ANSWERS, BASELINE, QUESTION
from tolman.launchers.probe.tokenizer import brief

LABELS = {
    "ground_truth_syntax": ("valid", "invalid"),
    "ground_truth_NLU": ("believable", "unbelievable"),
}


def read_syllogisms(path: Path) -> list[Item]:
    """Of each syllogism the one with meaning, "N", and the one of nonsense words, "X".

    Raises:
      ValueError: if the file is not there or not in the format.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror}).") from None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: is not JSON ({error}). Mend it.") from None
    if not isinstance(content, dict):
        raise ValueError(
            f"{path}: is {brief(json.dumps(content))}: must be an object {{...}} with "
            "'syllogisms'. See launchers/probe/syllogism_data.py for the format."
        )
    found = []
    try:
        for number, syllogism in enumerate(content["syllogisms"]):
            for name in ("N", "X"):
                variant = syllogism["variants"][name]
                found.append(_item(syllogism["id"], number, variant, name == "X"))
    except (KeyError, TypeError, AttributeError) as error:
        is_missing = isinstance(error, KeyError)
        what = f"{error} is missing" if is_missing else f"is in another format ({error})"
        raise ValueError(
            f"{path}: {what}. See launchers/probe/syllogism_data.py for the format."
        ) from None
    if not found:
        raise ValueError(f"{path}: has no syllogism: must have at least one.")
    return found


def _item(group: str, number: int, variant: Any, is_nonsense: bool) -> Item:
    is_valid, is_believable = (
        _label(group, key, variant[key]) == words[0] for key, words in LABELS.items()
    )
    condition: Condition = "consistent" if is_valid == is_believable else "violate"
    conclusion = variant["conclusion"].removeprefix("Therefore, ")
    said = (
        variant["statement_1"],
        variant["statement_2"],
        conclusion[:1].upper() + conclusion[1:],
    )
    # Every other question names "invalid" first.
    named = [answer.strip() for answer in (ANSWERS if number % 2 == 0 else ANSWERS[::-1])]
    return Item(
        group=group,
        condition="nonsense" if is_nonsense else condition,
        prompt=QUESTION.format(*named, *said),
        baseline=BASELINE,
        options=ANSWERS,
        right=0 if is_valid else 1,
        is_valid=is_valid,
        is_believable=None if is_nonsense else is_believable,
    )


def _label(group: str, key: str, value: Any) -> str:
    if value not in LABELS[key]:
        words = " or ".join(LABELS[key])
        raise ValueError(f"{group}: {key} is {value!r}: must be {words}. Mend the file.")
    return str(value)
