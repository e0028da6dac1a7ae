"""Verbs that look at what there is: names, what a user wrote, this installation."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tolman.launchers.verbs.verb import Verb


def _check_env(words: list[str]) -> int:
    from tolman.launchers.check_env import check_named
    from tolman.launchers.settings.commands import parse_check_env

    for line in check_named(*parse_check_env(words)):
        print(line)
    return 0


def _check_core(words: list[str]) -> int:
    from tolman.launchers.check_core import check_named_core
    from tolman.launchers.settings.commands import parse_check_core

    for line in check_named_core(*parse_check_core(words)):
        print(line)
    return 0


@dataclass(frozen=True)
class Doctor:
    """Says what this installation can do; exit code 1 where something needs attention.

    Attributes:
      clear_compiled: first delete the compiled programs that were kept.
    """

    clear_compiled: bool = False


def _doctor(given: Doctor) -> int:
    from tolman.launchers.doctor import clear_compiled, describe, doctor

    if given.clear_compiled:
        print(clear_compiled())
    findings = doctor()
    print("\n".join(describe(findings)))
    return int(any(finding.advice for finding in findings))


@dataclass(frozen=True)
class List:
    """Lists what there is by name, or the runs in a folder.

    Attributes:
      groups: agents, presets, envs, cores, games, sources, players, studies or benches;
        all of them if none is given. Or runs, and perhaps their folder: runs/ if none is
        given.
    """

    groups: tuple[str, ...]


def _list(given: List) -> int:
    if given.groups[:1] == ("runs",):
        from tolman.launchers.report.listing import list_runs

        for folder in given.groups[1:] or ("runs",):
            print("\n".join(list_runs(Path(folder))))
        return 0
    from tolman.launchers.catalog.listing import describe_names

    print("\n".join(describe_names(given.groups)))
    return 0


VERBS = {
    "list": Verb("[GROUP ... | runs [DIR]]", "what there is by name", _list, List),
    "check-env": Verb(
        "ID [--env.KEY V]", "check an environment or a game of your own", _check_env
    ),
    "check-core": Verb(
        "NAME [--core.KEY V]", "check a memory core of your own", _check_core
    ),
    "doctor": Verb(
        "[--clear-compiled]", "say what this installation can do", _doctor, Doctor
    ),
}
