"""Trained parts and arrays that a study has made, kept by what went into them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np

from tolman.agents.synth2.pairs import fingerprint
from tolman.launchers.runs.checkpoints import save_arrays
from tolman.launchers.studies.study import Fit, Study

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
    path = study.kept / "made" / f"{name}-{fingerprint(*leaves)}.npz"
    if path.exists():
        try:
            return _read(path)
        except Exception:  # A torn file can make its readers raise anything.
            print(f"{path}: is broken, and is made again.", flush=True)
    made = make()
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    with part.open("wb") as file:
        save_arrays(file, made)
    part.replace(path)
    return _read(path)


def trained(
    study: Study, name: str, agent: Any, source: Any, num_updates: int, num_members: int
) -> Fit:
    """A population of the agent, trained once for these examples and settings.

    Args:
      study: that trains it, or takes up where an interrupted one stood.
      name: of the stage.
      agent: what learns.
      source: of examples.
      num_updates: of each member.
      num_members: P.
    """
    rows = [np.asarray(leaf) for leaf in jax.tree.leaves(source.load("train"))]
    asked = f"{settings_of(agent)} {num_updates} {num_members} {study.seed}"
    mark = fingerprint(*rows, *_arrays(agent), np.frombuffer(asked.encode(), np.uint8))
    return study.fit(f"{name}-{mark}", agent, source, num_updates, num_members)


def settings_of(agent: Any) -> str:
    """All that an agent was built of, but for arrays."""
    known = {
        name: value
        for name, value in sorted(vars(agent).items())
        if (is_dataclass(value) and name != "gradient_step")  # Functions have no text.
        or isinstance(value, int | float | str)
    }
    return f"{type(agent).__name__} {known}"


def _arrays(agent: Any) -> list[np.ndarray]:
    return [
        np.asarray(value)
        for _, value in sorted(vars(agent).items())
        if isinstance(value, np.ndarray | jax.Array)
    ]


def _read(path: Path) -> dict[str, np.ndarray]:
    with np.load(path, allow_pickle=False) as file:
        return {key: file[key] for key in file.files}
