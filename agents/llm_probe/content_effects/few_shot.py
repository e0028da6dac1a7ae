"""Solved examples before a question."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from tolman.agents.llm_probe.content_effects.items import Item

BETWEEN = "\n\n"


def with_examples(items: Sequence[Item], num_examples: int) -> list[Item]:
    """The items, each after solved examples of its own kind and condition.

    The examples of a group's items are from the groups that follow it, so that no example
    is made of the words of the question, and a condition has few prefixes. Their answers
    take turns: each place of the right option comes as often as the number allows. The
    correction for how likely answers are anyway is taken after the same examples.

    Args:
      items: of one kind, such as `syllogism_items()`.
      num_examples: before each; 0 leaves them as they are.

    Raises:
      ValueError: if there are not so many other groups in a condition.

    Source: Dasgupta, Lampinen et al. 2022 (the same model asked with and without examples).
      Departure: theirs were not to be had; which examples stand before which question is
      written anew.
    """
    if not num_examples:
        return list(items)
    by_condition: dict[str, dict[str, list[Item]]] = {}
    for item in items:
        groups = by_condition.setdefault(item.condition, {})
        groups.setdefault(item.group, []).append(item)
    prefixes = {
        (condition, half): _prefix(groups, half, num_examples)
        for condition, groups in by_condition.items()
        for half in (0, 1)
    }
    found = []
    for item in items:
        names = list(by_condition[item.condition])
        half = 0 if names.index(item.group) >= (len(names) + 1) // 2 else 1
        prefix = prefixes[item.condition, half]
        baseline = prefix + item.baseline.removeprefix("\n")
        found.append(
            dataclasses.replace(item, prompt=prefix + item.prompt, baseline=baseline)
        )
    return found


def most_examples(items: Sequence[Item]) -> int:
    """How many examples `with_examples` has for every item: half of the fewest groups."""
    groups: dict[str, set[str]] = {}
    for item in items:
        groups.setdefault(item.condition, set()).add(item.group)
    return min(map(len, groups.values()), default=0) // 2


def _prefix(groups: dict[str, list[Item]], half: int, num_examples: int) -> str:
    """Solved examples from one half of the groups of a condition."""
    names = list(groups)
    middle = (len(names) + 1) // 2
    own = names[:middle] if half == 0 else names[middle:]
    if len(own) < num_examples:
        raise ValueError(
            f"num_examples={num_examples}: must be at most {len(own)}, half of the groups "
            "of a condition. Ask for fewer."
        )
    used: dict[int, int] = {}
    parts = []
    for name in own[:num_examples]:
        one = min(groups[name], key=lambda item: used.get(item.right, 0))
        used[one.right] = used.get(one.right, 0) + 1
        parts.append(one.prompt + one.options[one.right] + BETWEEN)
    return "".join(parts)
