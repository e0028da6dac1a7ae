"""Arrays that a study has made, kept by what went into them."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import jax
import numpy as np

from tolman.agents.synth2.pairs import fingerprint
from tolman.launchers.studies.study import Study

Arrays = Mapping[str, np.ndarray]


def stored(study: Study, name: str, inputs: object, make: Callable[[], Arrays]) -> Arrays:
    """What `make` returns, made once for these inputs.

    A file that is broken, as after a kill while it was written, is made again.

    Args:
      study: whose folder keeps it, in `made/`.
      name: of the file.
      inputs: pytree of arrays and numbers; another makes another file.
      make: returns arrays by name.
    """
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(inputs)]
    path = study.folder / "made" / f"{name}-{fingerprint(*leaves)}.npz"
    if path.exists():
        try:
            return _read(path)
        except (OSError, ValueError, EOFError, zipfile.BadZipFile):
            print(f"{path}: is broken, and is made again.", flush=True)
    made = make()
    path.parent.mkdir(exist_ok=True)
    part = path.with_suffix(".part")
    with part.open("wb") as file:
        np.savez(file, **made)
    part.replace(path)
    return _read(path)


def _read(path: Path) -> dict[str, np.ndarray]:
    with np.load(path, allow_pickle=False) as file:
        return {key: file[key] for key in file.files}
