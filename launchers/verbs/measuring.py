"""Verbs that measure: experiments, language models, runs beside each other, speed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tolman.launchers.verbs.verb import Verb


def _study(words: Sequence[str]) -> int:
    from tolman.launchers.studies.options import parse_study
    from tolman.launchers.studies.study import run_study

    given, options = parse_study(words)
    return run_study(given.name, given.quick, given.seed, given.out, options)


def _probe(words: Sequence[str]) -> int:
    from tolman.launchers.settings.flags import parse_verb
    from tolman.launchers.studies.probing import ProbeConfig, run_probe

    return run_probe(parse_verb("probe", ProbeConfig, words))


@dataclass(frozen=True)
class Report:
    """Writes one HTML page that shows and compares runs and studies.

    Attributes:
      folders: of runs and studies.
      out: the page; None for a place beside the first folder.
    """

    folders: tuple[Path, ...]
    out: Path | None = None


def _report(given: Report) -> int:
    if not given.folders:
        raise ValueError("FOLDERS are missing: tolman report RUN [RUN ...].")
    from tolman.launchers.report import write_report

    print(write_report(list(given.folders), given.out))
    return 0


@dataclass(frozen=True)
class Bench:
    """Measures speed, always beside what it is compared with.

    Attributes:
      name: one of `tolman list benches`.
      json: print JSON instead of a table.
    """

    name: str
    json: bool = False


def _bench(given: Bench) -> int:
    from tolman.launchers.benches.bench import run_bench

    return run_bench(given.name, given.json)


VERBS = {
    "study": Verb(
        "PAPER/STUDY [--quick]", "re-run a paper's experiment, check its claims", _study
    ),
    "probe": Verb("MODEL [--study NAME]", "study a language model", _probe),
    "report": Verb(
        "RUN [RUN ...]", "compare runs and studies on one HTML page", _report, Report
    ),
    "bench": Verb("NAME [--json]", "measure speed", _bench, Bench),
}
