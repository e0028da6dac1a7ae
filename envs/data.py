"""Where data sets that are not part of this project are looked for."""

from __future__ import annotations

import os
from pathlib import Path

DATA_VARIABLE = "TOLMAN_DATA"


def data_folder() -> Path | None:
    """The folder that `TOLMAN_DATA` names, or `../shared/data`; None if neither is there.

    The second is relative to the checkout of this project, then to the current folder.

    Raises:
      ValueError: if `TOLMAN_DATA` names no folder.
    """
    named = os.environ.get(DATA_VARIABLE)
    if named:
        if not Path(named).is_dir():
            raise ValueError(
                f"{DATA_VARIABLE}={named!r}: must name a folder. Set it or unset it."
            )
        return Path(named)
    checkout = Path(__file__).resolve().parents[1]
    for base in (checkout, Path.cwd()):
        folder = base.parent / "shared" / "data"
        if folder.is_dir():
            return folder
    return None


def data_set(name: str) -> Path | None:
    """The folder of one data set, or None where it is absent."""
    folder = data_folder()
    if folder is None or not (folder / name).is_dir():
        return None
    return folder / name
