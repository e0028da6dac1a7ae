"""Links that lead out of a folder, which may be somebody else's."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path


def all_paths(folder: Path) -> Iterator[Path]:
    """Everything in a folder; what links lead to is not entered."""
    for place, folders, files in os.walk(folder):
        yield from (Path(place) / name for name in (*folders, *files))


def link_out(folder: Path, paths: Iterable[Path]) -> Path | None:
    """The first of the paths, within a folder, that a link leads out of it; or None."""
    root = folder.resolve()
    return next((p for p in paths if not p.resolve().is_relative_to(root)), None)
