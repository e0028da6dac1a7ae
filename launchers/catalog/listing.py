"""What there is to run, by name, with one line about each."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

from tolman.envs.spelling import suggest
from tolman.launchers.catalog import names

MIN_WIDTH = 22  # Of the column of names.
GROUPS = {
    "agents": names.AGENT,
    "presets": names.AGENT,  # Theirs.
    "envs": names.ENV,
    "cores": names.CORE,
    "games": names.GAME,
    "sources": names.SOURCE,
    "players": names.PLAYER,
    "studies": names.STUDY,
    "probes": names.PROBE,
    "benches": names.BENCH,
}


def list_names(group: str | None = None) -> dict[str, dict[str, str]]:
    """All names of a group, or of every group, each with the first line of its docstring.

    Raises:
      ValueError: if there is no such group.
    """
    if group is not None and group not in GROUPS:
        raise ValueError(
            f"group {group!r} is unknown{suggest(group, GROUPS)}: use one of "
            f"{', '.join(GROUPS)}, or runs [DIR]."
        )
    return {name: _list(name) for name in ([group] if group else GROUPS)}


def describe_names(groups: Sequence[str]) -> list[str]:
    """What `list_names` has found, in lines; of every group if none is given."""
    lines = []
    for group in groups or (None,):
        for title, named in list_names(group).items():
            width = max([MIN_WIDTH, *map(len, named)])
            lines += [
                f"{title}:",
                *(f"  {name:<{width}} {line}" for name, line in named.items()),
            ]
    return lines


def _list(group: str) -> dict[str, str]:
    kind = GROUPS[group]
    if group == "presets":
        return {
            f"{agent} {name}": preset.summary
            for agent, thing in sorted(names.registered(kind).items())
            for name, preset in names.presets_of(names.Named(kind, agent, thing)).items()
        }
    lines = {
        name: _first_line(_docstring(kind, thing))
        for name, thing in names.registered(kind).items()
    }
    for name, point in names.installed(kind).items():
        lines.setdefault(name, f"{point.value}, from an installed package")
    families = names.registered(names.FAMILY) if kind is names.ENV else {}
    spelled = {
        name: family.summary
        for name, family in families.items()
        if family.package is None or find_spec(family.package) is not None
    }
    return {**dict(sorted(lines.items())), **spelled}


def _docstring(kind: names.Kind, thing: Any) -> str | None:
    """Of a class or function; of a module that is read, as importing it takes seconds."""
    if kind.table is None:
        return ast.get_docstring(ast.parse(names.providers(kind)[thing]))
    return inspect.getdoc(thing)


def _first_line(docstring: str | None) -> str:
    return docstring.strip().splitlines()[0] if docstring and docstring.strip() else ""
