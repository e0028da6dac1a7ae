"""A user's own questions about content effects, from a file.

A file that ends in `.jsonl` has one question a line, an object with these keys:

    prompt     text that is read before an answer
    options    two or more answers, each with the space before it if it is to have one
    right      index of the logical answer, from 0
    condition  "consistent" with belief, "violate", "nonsense", or for rules of the
               selection task "realistic", "arbitrary"
    group      a name; questions that are made of the same words have the same
    baseline   text in place of the prompt to learn how likely answers are anyway; the end
               of the prompt. Without it: what stands in the prompt's last line, with the
               line break before it
    is_valid, is_believable   true or false, of an argument's conclusion; leave out where
               that is not what is asked

A file that ends in `.json` has the format of `syllogism_data.py`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

from tolman.agents.llm_probe.content_effects.items import Condition, Item
from tolman.envs.spelling import suggest
from tolman.launchers.probe.syllogism_data import read_syllogisms
from tolman.launchers.probe.tokenizer import brief

NEEDED = ("prompt", "options", "right", "condition", "group")
KEYS = (*NEEDED, "baseline", "is_valid", "is_believable")


def read_items(path: Path) -> list[Item]:
    """The questions of a file.

    Raises:
      ValueError: if the file is not there or not in the format; with the line's number.
    """
    if path.suffix == ".json":
        return read_syllogisms(path)
    try:
        # Only a line feed ends a line: JSON may hold other ends within a text.
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except OSError as error:
        raise ValueError(f"--items {path}: cannot be read ({error.strerror}).") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"--items {path}: is not UTF-8 ({error}). Save it so.") from None
    items: list[Item] = []
    places: dict[Any, int] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        where = f"--items {path}, line {number}"
        items.append(_item(where, line))
        first = places.setdefault((items[-1].prompt, items[-1].options), number)
        if first != number:
            raise ValueError(f"{where}: is the question of line {first} again. Drop one.")
    if not items:
        raise ValueError(f"--items {path}: has no question: must have one a line.")
    return items


def _item(where: str, line: str) -> Item:
    try:
        row = json.loads(line, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{where}: is not JSON ({error}). Mend it.") from None
    if not isinstance(row, dict):
        raise ValueError(f"{where}: is {brief(line)}: must be an object {{...}}.")
    for key in row:
        if key not in KEYS:
            raise ValueError(
                f"{where}: key {key!r} is unknown{suggest(key, KEYS)}: use "
                f"{', '.join(KEYS)}."
            )
    for key in NEEDED:
        if key not in row:
            raise ValueError(f"{where}: {key!r} is missing. Give {', '.join(NEEDED)}.")

    def check(key: str, is_right: Callable[[Any], bool], what: str) -> None:
        if not is_right(row.get(key)):
            shown = brief(json.dumps(row.get(key)))
            raise ValueError(f"{where}: {key} is {shown}: must be {what}.")

    for key in ("prompt", "group"):
        check(key, lambda one: isinstance(one, str) and bool(one.strip()), "text")
    check("options", _are_options, "two or more different texts")
    last = len(row["options"]) - 1
    check("right", lambda one: type(one) is int and 0 <= one <= last,
          f"a whole number from 0 to {last}")  # fmt: skip
    conditions = get_args(Condition)
    check("condition", lambda one: one in conditions, f"one of {', '.join(conditions)}")
    for key in ("is_valid", "is_believable"):
        check(key, lambda one: one is None or isinstance(one, bool), "true or false")
    if row.get("is_believable") is not None:
        check("is_valid", lambda one: one is not None, "given with is_believable")
    if row.get("is_valid") is not None:
        check("options", lambda one: len(one) == 2, "two, as is_valid is given")
    prompt = row["prompt"]
    begin = max(prompt.rstrip().rfind("\n"), 0)
    row = {"baseline": prompt[begin:], **row}
    check("baseline", lambda one: isinstance(one, str) and bool(one.strip())
          and prompt.endswith(one), "text, the end of the prompt")  # fmt: skip
    return Item(**{**row, "options": tuple(row["options"])})


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object whose keys are there once."""
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"key {twice!r} is there twice")
    return found


def _are_options(value: Any) -> bool:
    is_list = isinstance(value, list) and len(value) > 1
    return (
        is_list and all(isinstance(one, str) and one.strip() for one in value)
        and len(set(value)) == len(value)
    )  # fmt: skip
