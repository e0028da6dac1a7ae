"""What there is to run, by name, with one line about each."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tolman.launchers.catalog import host_ids, names
from tolman.launchers.catalog.names import suggest

GROUPS = ("agents", "envs", "cores", "games", "studies", "benches")


def list_names(group: str | None = None) -> dict[str, dict[str, str]]:
    """All names of a group, or of every group, each with the first line of its docstring.

    Raises:
      ValueError: if there is no such group.
    """
    if group is not None and group not in GROUPS:
        raise ValueError(
            f"group {group!r} is unknown{suggest(group, GROUPS)}: use one of "
            f"{', '.join(GROUPS)}."
        )
    return {name: _list(name) for name in ([group] if group else GROUPS)}


def _list(group: str) -> dict[str, str]:
    if group == "studies":
        from tolman.launchers.studies import STUDIES

        return _of_modules(STUDIES)
    if group == "benches":
        from tolman.launchers.benches.bench import BENCHES

        return _of_modules(BENCHES)
    kinds = {**names.KINDS, names.GAME.noun: names.GAME}
    kind = kinds[group.removesuffix("s")]
    lines = _docstrings(names.registered(kind))
    for name, point in names.installed(kind).items():
        lines.setdefault(name, f"{point.value}, from an installed package")
    others = host_ids.SPELLINGS if kind is names.ENV else {}
    return {**dict(sorted(lines.items())), **others}


def _of_modules(table: Mapping[str, str]) -> dict[str, str]:
    """The first lines of modules that are read, not imported: that takes seconds."""
    return {name: _first_line(_module_docstring(path)) for name, path in table.items()}


def _docstrings(table: Mapping[str, Any]) -> dict[str, str]:
    return {name: _first_line(inspect.getdoc(thing)) for name, thing in table.items()}


def _module_docstring(module: str) -> str | None:
    spec = find_spec(module)
    if spec is None or spec.origin is None:
        return None
    return ast.get_docstring(ast.parse(Path(spec.origin).read_text()))


def _first_line(docstring: str | None) -> str:
    return docstring.strip().splitlines()[0] if docstring and docstring.strip() else ""
