"""Starts a run from the parameters of another."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import jax
import numpy as np

from tolman.launchers.runs.checkpoints import Checkpoints, read_leaves
from tolman.launchers.runs.folder import open_run
from tolman.launchers.runs.protocol import State

PARAMETERS = (".learner.params", ".learner.target_")  # How the paths of them begin.


def take_parameters(
    state: State, source: str, fresh: Sequence[str] = ()
) -> tuple[State, list[str]]:
    """Puts the parameters of another run's checkpoint in the place of fresh ones.

    Taken is what has the same path and shape; the moments of optimisers start anew.

    Args:
      state: of a runner, fresh.
      source: RUN or RUN@STEPS; without a number the last sound checkpoint.
      fresh: patterns of paths that are to stay as they are, such as `heads`.

    Returns:
      The state, and lines that say what was taken and what not.

    Raises:
      FileNotFoundError: if there is no such run or checkpoint.
      ValueError: if nothing fits, or a pattern is of no parameter.
    """
    path, stored = _read(source)
    leaves, structure = jax.tree_util.tree_flatten_with_path(state)
    names = [jax.tree_util.keystr(name) for name, _ in leaves]
    ours = [name for name in names if name.startswith(PARAMETERS)]
    for pattern in fresh:
        if not any(_matches(name, [pattern]) for name in ours):
            raise ValueError(
                f"fresh={pattern!r}: no parameter has that in its path; there are "
                f"{', '.join(ours)}. Set --fresh."
            )
    values, lines, num_taken = [], [], 0
    for name, (_, like) in zip(names, leaves, strict=True):
        values.append(like)
        if not name.startswith(PARAMETERS):
            continue
        if _matches(name, fresh):
            lines.append(f"fresh, as asked: {name}")
            continue
        found = _fit(stored.get(name), np.shape(like))
        if found is None:
            has = f"is {list(stored[name].shape)}" if name in stored else "has none"
            lines.append(f"fresh: {name} is {list(np.shape(like))}, that of {path} {has}")
            continue
        values[-1] = found.astype(like.dtype)
        if isinstance(like, jax.Array):  # Over Ray the state is the host's.
            values[-1] = jax.device_put(values[-1], like.sharding)
        num_taken += 1
    if not num_taken:
        why = lines[0] if lines else "it has none"
        raise ValueError(f"{path}: none of its parameters fits ({why}). Set --init-from.")
    for name in stored:
        if name.startswith(PARAMETERS) and name not in names:
            lines.append(f"not taken: {name} of {path}")
    lines.insert(0, f"took {num_taken} of {len(ours)} parameters from {path}")
    return jax.tree_util.tree_unflatten(structure, values), lines


def _read(source: str) -> tuple[Path, dict[str, np.ndarray]]:
    """The checkpoint that is named, and its leaves by path."""
    run, at, steps = source.rpartition("@")
    has_steps = bool(at) and steps.isdigit()
    folder = open_run(Path(run if has_steps else source).expanduser()).checkpoints
    there = Checkpoints(folder).steps()
    wanted = [int(steps)] if has_steps else there[::-1]
    if not there or (has_steps and wanted[0] not in there):
        raise FileNotFoundError(
            f"{folder}: no checkpoint {steps if has_steps else ''}; there are "
            f"{there or 'none'}. Set --init-from."
        )
    reason = ""
    for units in wanted:
        path = folder / str(units)
        try:
            leaves = read_leaves(path)
        except ValueError as error:
            reason = str(error)
            continue
        bad = [n for n, v in leaves.items() if n.startswith(PARAMETERS) and not _sound(v)]
        if not bad:
            return path, leaves
        reason = f"{path}: parameter {bad[0]} is not finite."
    raise ValueError(f"{reason} Set --init-from.")


def _sound(leaf: np.ndarray) -> bool:
    return leaf.dtype.kind == "V" or bool(np.isfinite(leaf).all())


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch(name, f"*{pattern}*") for pattern in patterns)


def _fit(stored: Any, shape: tuple[int, ...]) -> np.ndarray | None:
    """The stored leaf in that shape; a run on the device has one more axis, of members."""
    if stored is None or stored.dtype.kind == "V":
        return None
    for candidate in (stored.shape, (1, *stored.shape), stored.shape[1:]):
        if candidate == shape and stored.size == np.prod(shape, dtype=int):
            return stored.reshape(shape)
    return None
