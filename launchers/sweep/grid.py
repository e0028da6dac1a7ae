"""The words after `tolman sweep`: which runs they stand for."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Annotated

from annotated_types import Ge

from tolman.launchers.settings.flags import check_not_empty, flag_value

OWN_FLAGS = ("--seeds", "--jobs", "--sweep-dir", "--sweep-launcher")
LAUNCHERS = ("auto", "population", "processes", "ray")
SET_HERE = ("--seed", "--run-dir", "--if-exists")
MAX_RUNS = 10_000
HELP = """usage: tolman sweep AGENT --env ID [--seeds N] [--sweep-launcher HOW]
                    [--jobs N] [--sweep-dir DIR] ...

Trains an agent with every combination of settings, each with every seed. A flag of
`tolman train` takes several values as a list: --agent.learning-rate 1e-4,3e-4.

  --seeds      their number (5), a range (0..4) or a list (3,7); by default 1
  --sweep-dir  a folder of the sweep, which has one for each run; where it holds a sweep,
               that one goes on: tolman sweep --sweep-dir DIR
  --sweep-launcher
               population: runs on the device that differ in their seeds, learning rates
               and entropy costs train together, in one compiled program; processes: each
               run is one; ray: each is a task of Ray, on the cluster at RAY_ADDRESS or
               on this machine; auto, the default: population where that can be
  --jobs       processes or tasks at a time; by default 1, of tasks as many as there is
               room for. With it, auto stands for processes

Whatever else there is: tolman train AGENT --env ID --help"""


@dataclass(frozen=True)
class Sweep:
    """What a sweep runs.

    Attributes:
      words: of `tolman train`, some of them lists such as 1e-4,3e-4.
      seeds: of each setting.
      jobs: runs at a time; 0 for the default.
      folder: of the sweep; None for one below runs/.
      launcher: one of `LAUNCHERS`.
    """

    words: tuple[str, ...]
    seeds: tuple[int, ...]
    jobs: Annotated[int, Ge(0)] = 0
    folder: str | None = None
    launcher: str = "auto"


@dataclass(frozen=True)
class Planned:
    """One run.

    Attributes:
      name: of its folder.
      setting: of the swept flags, as text; "" where none is.
      words: of `tolman train`, without a folder.
    """

    name: str
    setting: str
    words: tuple[str, ...]


def parse_sweep(arguments: Sequence[str]) -> Sweep:
    """Splits the sweep's own flags from those of its runs.

    Raises:
      ValueError: for the first mistake found, in one line.
    """
    words = list(arguments)
    if {"-h", "--help"} & set(words):
        print(HELP)
        raise SystemExit(0)
    check_not_empty(words)
    for flag in SET_HERE:
        if flag_value(words, flag) is not None:
            raise ValueError(f"{flag}: a sweep sets it for each run. Leave it out.")
    own = {flag: flag_value(words, flag) for flag in OWN_FLAGS}
    jobs, launcher = own["--jobs"], own["--sweep-launcher"] or "auto"
    if jobs is not None and (not jobs.isdecimal() or int(jobs) < 1):
        raise ValueError(f"jobs={jobs!r}: must be a number of at least 1. Set --jobs.")
    if launcher not in LAUNCHERS:
        raise ValueError(
            f"sweep_launcher={launcher!r}: must be one of {', '.join(LAUNCHERS)}. Set "
            "--sweep-launcher."
        )
    if jobs is not None and launcher == "population":
        raise ValueError(
            f"jobs={jobs}: a population trains all of its runs at once. Leave --jobs out."
        )
    if jobs is not None and launcher == "auto":
        launcher = "processes"
    seeds = parse_seeds(own["--seeds"] or "1")
    return Sweep(
        tuple(_without(words)), seeds, int(jobs or 0), own["--sweep-dir"], launcher
    )


def parse_seeds(text: str) -> tuple[int, ...]:
    """Seeds from a number of them, 5, from a range, 0..4, or from a list, 3,7.

    Raises:
      ValueError: if it is none of these, or names a seed twice.
    """
    seeds: tuple[int, ...] = ()
    if text.isdecimal():
        seeds = tuple(range(min(int(text), MAX_RUNS + 1)))
    elif found := re.fullmatch(r"(\d+)\.\.(\d+)", text):
        first, last = map(int, found.groups())
        seeds = tuple(range(first, min(last, first + MAX_RUNS) + 1))
    elif re.fullmatch(r"\d+(,\d+)+", text):
        seeds = tuple(map(int, text.split(",")))
    if not seeds or len(set(seeds)) < len(seeds):
        raise ValueError(
            f"seeds={text!r}: must be a number of seeds (5), a range (0..4) or a list of "
            "different ones (3,7). Set --seeds."
        )
    return seeds


def plan_runs(sweep: Sweep) -> list[Planned]:
    """The runs, setting by setting.

    Raises:
      ValueError: if a list holds a value twice or none, there are too many runs, or two
        of them would have one folder.
    """
    places = [
        (index, *_values(word)) for index, word in enumerate(sweep.words) if "," in word
    ]
    number = len(sweep.seeds)
    for index, _, values in places:
        number *= len(values)
        if "" in values or len(set(values)) < len(values):
            raise ValueError(
                f"{sweep.words[index]!r}: must list different values, such as 1e-4,3e-4."
            )
    if number > MAX_RUNS:
        raise ValueError(f"seeds: {number} runs, must be at most {MAX_RUNS}.")
    runs = [
        run
        for chosen in product(*(values for _, _, values in places))
        for run in _of_setting(sweep, places, chosen)
    ]
    settings: dict[str, str] = {}
    for run in runs:
        if settings.setdefault(run.name, run.setting) != run.setting:
            raise ValueError(
                f"{run.setting!r} and {settings[run.name]!r}: their runs would have one "
                f"folder, {run.name}. Sweep them apart."
            )
    return runs


def _of_setting(
    sweep: Sweep, places: Sequence[tuple[int, str, list[str]]], chosen: Sequence[str]
) -> Iterator[Planned]:
    """The runs of one setting, one a seed."""
    words, parts = list(sweep.words), []
    for (index, start, _), value in zip(places, chosen, strict=True):
        words[index] = start + value
        before = start.rstrip("=") or (sweep.words[index - 1] if index else "")
        # A word that follows no flag is the agent.
        is_flag = before.startswith("--") and "=" not in before
        flag = before.removeprefix("--") if is_flag else "agent"
        parts.append(f"{flag}={value}")
    folder = "__".join(re.sub(r"[^\w.=+-]+", "-", part) for part in parts)
    for seed in sweep.seeds:
        name = f"{folder}__s{seed}" if folder else f"s{seed}"
        yield Planned(name, "  ".join(parts), (*words, "--seed", str(seed)))


def _values(word: str) -> tuple[str, list[str]]:
    """What precedes a list of values in a word, `--flag=` or nothing, and the values."""
    start, is_joined, rest = word.partition("=")
    if word.startswith("--") and is_joined:
        return f"{start}=", rest.split(",")
    return "", word.split(",")


def _without(words: Sequence[str]) -> Iterator[str]:
    """The words but for the sweep's own flags and their values."""
    is_value = False
    for word in words:
        if is_value:
            is_value = False
        elif word in OWN_FLAGS:
            is_value = True
        elif not word.startswith(tuple(f"{flag}=" for flag in OWN_FLAGS)):
            yield word
