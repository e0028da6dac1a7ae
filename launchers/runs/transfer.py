"""Starts a run from the parameters of another."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import jax
import numpy as np

from tolman.launchers.runs.checkpoints import Checkpoints, read_leaves
from tolman.launchers.runs.folder import open_run
from tolman.launchers.runs.protocol import State
from tolman.launchers.runs.restore import named_checkpoint

# Paths of parameters: an agent's own, and those of one inside wrappers, at any depth.
PARAMETERS = re.compile(r"\.learner(?:\.\w+|\[[^]]*\])*?(\.params\b.*|\.target_.*)")


def take_parameters(
    state: State, source: str, fresh: Sequence[str] = ()
) -> tuple[State, list[str]]:
    """Puts the parameters of another run's checkpoint in the place of fresh ones.

    Taken is what has the same path and shape, where the path of an agent inside a wrapper
    counts from that agent on; the moments of optimisers start anew.

    Args:
      state: of a runner, fresh.
      source: RUN, or one of its checkpoints; see `named_checkpoint`.
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
    ours = [name for name in names if PARAMETERS.fullmatch(name)]
    theirs = _sources(ours, [name for name in stored if PARAMETERS.fullmatch(name)])
    for pattern in fresh:
        if not any(_matches(name, [pattern]) for name in ours):
            raise ValueError(
                f"fresh={pattern!r}: no parameter has that in its path; there are "
                f"{', '.join(ours)}. Set --fresh."
            )
    values, lines, num_taken = [], [], 0
    for name, (_, like) in zip(names, leaves, strict=True):
        values.append(like)
        if name not in ours:
            continue
        if _matches(name, fresh):
            lines.append(f"fresh, as asked: {name}")
            continue
        source_name = theirs.get(name, "")
        found = _fit(stored.get(source_name), np.shape(like))
        if found is None:
            has = "has none"
            if source_name:
                has = f"is {list(stored[source_name].shape)}"
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
        if PARAMETERS.fullmatch(name) and name not in theirs.values():
            lines.append(f"not taken: {name} of {path}")
    lines.insert(0, f"took {num_taken} of {len(ours)} parameters from {path}")
    return jax.tree_util.tree_unflatten(structure, values), lines


def _sources(ours: Sequence[str], stored: Sequence[str]) -> Mapping[str, str]:
    """Which stored parameter has the path of each of ours, wrappers apart if need be."""

    def by_own_path(names: Sequence[str]) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for name in names:
            if match := PARAMETERS.fullmatch(name):
                found.setdefault(match[1], []).append(name)
        return found

    candidates = by_own_path(stored)
    unwrapped = {
        names[0]: candidates[path][0]
        for path, names in by_own_path(ours).items()
        if len(names) == len(candidates.get(path, ())) == 1
    }
    return {**unwrapped, **{name: name for name in ours if name in stored}}


def _read(source: str) -> tuple[Path, dict[str, np.ndarray]]:
    """The checkpoint that is named, and its leaves by path."""
    run, steps = named_checkpoint(Path(source).expanduser())
    folder = open_run(run).checkpoints
    there = Checkpoints(folder).steps()
    wanted = there[::-1] if steps is None else [steps]
    if not there or (steps is not None and steps not in there):
        raise FileNotFoundError(
            f"{folder}: no checkpoint {'' if steps is None else steps}; there are "
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
        bad = [n for n, v in leaves.items() if PARAMETERS.fullmatch(n) and not _sound(v)]
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
