"""Runs side by side: which form one series, what each is called, where they differ.

Runs whose configs are the same but for the seed form one *series*: a mean with an
interval over seeds. Any other run is a series of its own.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tolman.launchers.report.folders import Run, leaf

# Keys that name a run and do not change what it learns, beside the seed itself.
RUN_ONLY_KEYS = ("run_dir", "if_exists")
TIME_PART = re.compile(r"\d{8}T\d+Z?")  # Of a folder name: its UTC time,
SEED_PART = re.compile(r"s\d+")  # and its seed.


@dataclass(frozen=True)
class Series:
    """Runs that differ by seed alone, or one run."""

    label: str
    runs: list[Run]


def group_by_seed(runs: Sequence[Run]) -> list[Series]:
    """Puts runs whose configs are the same but for distinct seeds in one series."""
    groups: dict[Any, list[Run]] = {}
    for index, run in enumerate(runs):
        own = ("seed", *RUN_ONLY_KEYS)
        key: Any = frozenset(i for i in run.config.items() if leaf(i[0]) not in own)
        # No config, or a seed seen already: nothing says that these are two samples.
        if not run.config or run.seed in [other.seed for other in groups.get(key, [])]:
            key = index
        groups.setdefault(key, []).append(run)
    labels = number_repeats(
        series_names([[run.name for run in g] for g in groups.values()])
    )
    return [Series(*pair) for pair in zip(labels, groups.values(), strict=True)]


def series_names(groups: Sequence[Sequence[str]]) -> list[str]:
    """Names series by the fewest `__` parts of their folder names that tell them apart."""
    split = [[name.split("__") for name in names] for names in groups]
    own = [[part for part in g[0] if all(part in other for other in g)] for g in split]
    shared = set(own[0]).intersection(*own) if len(own) > 1 else set()
    own = [[part for part in parts if part not in shared] for parts in own]
    no_time = [[part for part in parts if not TIME_PART.fullmatch(part)] for parts in own]
    no_seed = [
        [part for part in parts if not SEED_PART.fullmatch(part)] for parts in no_time
    ]
    labels = [names[0] for names in groups]
    for choice in (own, no_time, no_seed):
        joined = ["__".join(parts) for parts in choice]
        if len(groups) > 1 and all(joined) and len(set(joined)) == len(joined):
            labels = joined
    if len(groups) == 1 and len(groups[0]) > 1:
        labels = ["__".join(own[0]) or labels[0]]
    counts = [f" \u00d7 {len(names)} seeds" if len(names) > 1 else "" for names in groups]
    return [label + count for label, count in zip(labels, counts, strict=True)]


def number_repeats(names: Sequence[str]) -> list[str]:
    """Numbers the repeated names: a, a becomes a (1), a (2)."""
    total, seen, unique = Counter(names), Counter[str](), []
    for name in names:
        seen[name] += 1
        unique.append(name if total[name] == 1 else f"{name} ({seen[name]})")
    return unique


def compare(
    columns: Sequence[dict[str, str]],
) -> tuple[list[tuple[str, list[str]]], list[tuple[str, str]]]:
    """Splits keys into those that differ (a value per column) and those in common."""
    different, common = [], []
    for key in dict.fromkeys(key for column in columns for key in column):
        values = [column.get(key, "not set") for column in columns]
        if len(set(values)) > 1:
            different.append((key, values))
        else:
            common.append((key, values[0]))
    return different, common


def without_run_only(config: dict[str, str]) -> dict[str, str]:
    """Leaves out the keys that name a run and do not change what it learns."""
    return {key: value for key, value in config.items() if leaf(key) not in RUN_ONLY_KEYS}
