"""Checkpoints: any pytree of arrays, saved whole and restored bit by bit.

A checkpoint is the folder `<units>/` with `state.npz` in it: the leaves in the order of the
flattened tree, and as `description` their names in JSON; and with what else its saver adds,
such as a replay. It is written beside its place, flushed to disk and renamed there, so that
a process killed at any point leaves either all of it or nothing; every byte has a checksum
that `restore` verifies. Older ones are removed only then.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shutil
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import jax
import numpy as np

from tolman.envs.places import summary
from tolman.launchers.report.whole import UNFINISHED, replace_text

STATE, BEST = "state.npz", "best.json"
EMPTY_REPLAY = "tolman resume RUN --empty-replay goes on with an empty one"

logger = logging.getLogger(__name__)


class MisfitError(ValueError):
    """A sound checkpoint has other leaves than these settings make."""


class Best(NamedTuple):
    """The checkpoint that was evaluated best.

    Attributes:
      units: when.
      value: of the evaluation.
    """

    units: int
    value: float


class Checkpoint(NamedTuple):
    """What was saved.

    Attributes:
      units: when.
      state: pytree of host arrays.
      metadata: what the saver added, JSON values.
    """

    units: int
    state: Any
    metadata: dict[str, Any]


class Checkpoints:
    """The checkpoints of one run, in one folder.

    Attributes:
      folder: where they are.
      keep: how many of the latest ones stay.
    """

    def __init__(self, folder: Path, keep: int = 3) -> None:
        self.folder = folder
        self.keep = keep

    def steps(self) -> list[int]:
        """The units of all complete checkpoints, in ascending order."""
        if not self.folder.is_dir():
            return []
        return sorted(
            int(path.name)
            for path in self.folder.iterdir()
            if path.name.isascii() and path.name.isdigit()
        )

    def latest(self) -> int | None:
        """The units of the last complete checkpoint; None if there is none."""
        return max(self.steps(), default=None)

    def size_of_last(self) -> int:
        """Bytes of the files of the last complete checkpoint; 0 if there is none."""
        last = self.latest()
        files = () if last is None else (self.folder / str(last)).rglob("*")
        return sum(path.stat().st_size for path in files if path.is_file())

    def peek(self, *counts: str) -> tuple[int, dict[str, Any]]:
        """A count and the metadata of the last readable checkpoint; (0, {}) of none.

        Args:
          counts: fields of the state; the first that it has is returned. By default the
            updates.
        """
        names = [f".{name}" for name in (*counts, "updates")]
        for step in reversed(self.steps()):
            path = self.folder / str(step) / STATE
            # A torn file can raise anything.
            with contextlib.suppress(Exception), np.load(path, allow_pickle=False) as file:
                description = json.loads(file["description"].tobytes())
                leaves = description["leaves"]
                index = leaves.index(next(name for name in names if name in leaves))
                return int(file[f"arr_{index}"].flat[0]), description["metadata"]
        return 0, {}

    def save(
        self,
        units: int,
        state: Any,
        metadata: dict[str, Any],
        add: Callable[[Path], None] | None = None,
    ) -> Path:
        """Writes a checkpoint and then removes the oldest ones beyond `keep`.

        Args:
          units: when; an earlier checkpoint of the same number is set aside.
          state: pytree of arrays, on any devices.
          metadata: JSON values to find again at restore.
          add: writes more files into the folder that it is given, each flushed to disk.

        Returns:
          The checkpoint's folder.
        """
        leaves, names = _flatten(state)
        description = json.dumps({"leaves": names, "metadata": metadata}).encode()
        target = self.folder / str(units)
        unfinished = self.folder / f"{units}{UNFINISHED}"
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        try:
            with (unfinished / STATE).open("wb") as file:
                arrays = {f"arr_{index}": leaf for index, leaf in enumerate(leaves)}
                about = np.frombuffer(description, np.uint8)
                save_arrays(file, {"description": about, **arrays})
                file.flush()
                os.fsync(file.fileno())
            if add is not None:
                add(unfinished)
            flush(unfinished)
        except BaseException:  # On a full disk, the status needs what little there is.
            shutil.rmtree(unfinished, ignore_errors=True)
            raise
        if target.exists():
            self._set_aside(units)
        unfinished.rename(target)
        flush(self.folder)
        best = self.best()
        for old in self.steps()[: -self.keep]:
            if best is None or old != best.units:
                shutil.rmtree(self.folder / str(old))
        return target

    def best(self) -> Best | None:
        """The checkpoint that was marked last, where it is still there."""
        with contextlib.suppress(OSError, ValueError, TypeError):
            best = Best(**json.loads((self.folder / BEST).read_text()))
            if best.units in self.steps():
                return best
        return None

    def mark_best(self, units: int, value: float) -> None:
        """Has the checkpoint of `units` kept, in place of the one marked before."""
        replace_text(self.folder / BEST, json.dumps(Best(units, value)._asdict()))

    def restore(
        self,
        template: Any,
        units: int | None = None,
        check: Callable[[Any, Path], None] | None = None,
        part: str = "",
    ) -> Checkpoint:
        """Reads a checkpoint back.

        Args:
          template: pytree of arrays of the same structure, shapes and types.
          units: which one; None for the last that is sound. Each broken one before that
            costs a line in the log.
          check: of a state and its checkpoint's folder; raises ValueError, in words without
            a full stop, where the checkpoint is not sound.
          part: path in the tree of what `template` is, such as ".learner.params"; empty
            for the whole.

        Raises:
          FileNotFoundError: if there is none, or not the one asked for.
          ValueError: if none is sound, or if one is of another structure.
        """
        steps = self.steps()
        if units is not None and units not in steps:
            raise FileNotFoundError(
                f"{self.folder}: no checkpoint {units}; there are {steps or 'none'}."
            )
        if not steps:
            raise FileNotFoundError(f"{self.folder}: no checkpoint.")
        reason = ""
        for candidate in reversed(steps if units is None else [units]):
            path = self.folder / str(candidate)
            try:
                leaves, description = _read(path)
            except Exception as error:  # A torn file can make its readers raise anything.
                reason = summary(error)
                logger.warning("%s: broken checkpoint, not used (%s).", path, reason)
                continue
            state = _unflatten(template, leaves, description["leaves"], path, part)
            try:
                if check is not None:
                    check(state, path)
            except ValueError as error:
                reason = str(error)
                logger.warning("%s: checkpoint not used (%s).", path, reason)
                continue
            return Checkpoint(candidate, state, description["metadata"])
        raise ValueError(
            f"{self.folder}: every checkpoint is broken; nothing was changed ({reason}). "
            f"Remove {self.folder.parent} to begin anew."
        )

    def set_aside_after(self, units: int) -> None:
        """Renames what is later than `units`, and removes what was never finished."""
        for unfinished in self.folder.glob(f"*{UNFINISHED}"):
            if unfinished.is_dir():
                shutil.rmtree(unfinished, ignore_errors=True)
        for later in self.steps():
            if later > units:
                self._set_aside(later)

    def _set_aside(self, units: int) -> None:
        number = 0
        while (aside := self.folder / f"{units}.aside{number or ''}").exists():
            number += 1
        (self.folder / str(units)).rename(aside)


def finished(folder: Path) -> Path:
    """Where a folder that `add` of `Checkpoints.save` was given stands in the end."""
    return folder.with_name(folder.name.removesuffix(UNFINISHED))


def check_finite(params: Any, num_members: int) -> None:
    """Checks that some member has finite parameters only.

    Args:
      params: of one member; of several `[P, ...]`.
      num_members: P.

    Raises:
      ValueError: naming the first that is not, without a full stop.
    """
    sound, first = np.ones(num_members, bool), ""
    for path, leaf in jax.tree_util.tree_flatten_with_path(params)[0]:
        finite = np.isfinite(np.asarray(leaf)).reshape(num_members, -1).all(1)
        if not finite.all() and not first:
            first = jax.tree_util.keystr(path)
        sound &= finite
    if not sound.any():
        raise ValueError(f"parameter {first} is not finite")


def check_space(path: Path, state: Any, checkpoints: Checkpoints, num_kept: int) -> None:
    """Raises ValueError if the checkpoints that are to come do not fit."""
    size = sum(getattr(leaf, "nbytes", 8) for leaf in jax.tree.leaves(state))
    size = max(size, checkpoints.size_of_last())  # With its replay.
    needed = max(num_kept + 1 - len(checkpoints.steps()), 1) * size
    free = shutil.disk_usage(path).free
    if free < needed:
        raise ValueError(
            f"{path}: {free / 1e9:.3g} GB are free there, and the checkpoints need "
            f"{needed / 1e9:.3g} GB ({size / 1e9:.3g} GB each). Make room, or set "
            "--num-checkpoints-to-keep or another folder."
        )


def read_leaves(path: Path) -> dict[str, np.ndarray]:
    """The leaves of the checkpoint in a folder, by their paths in the tree.

    Raises:
      ValueError: if it is broken.
    """
    try:
        leaves, description = _read(path)
    except Exception as error:  # A torn file can make its readers raise anything.
        reason = summary(error)
        raise ValueError(f"{path}: broken checkpoint ({reason}).") from error
    return dict(zip(description["leaves"], leaves, strict=True))


def _flatten(state: Any) -> tuple[list[np.ndarray], list[str]]:
    """The leaves as host arrays, and their paths in the tree."""
    paths, leaves = [], []
    for path, leaf in jax.tree_util.tree_flatten_with_path(state)[0]:
        if _is_typed_key(leaf):
            leaf = jax.random.key_data(leaf)
        array = np.asarray(leaf)
        if array.dtype.hasobject:
            raise ValueError(
                f"leaf {jax.tree_util.keystr(path)} of the state is a "
                f"{type(leaf).__name__}: a checkpoint holds arrays and numbers only."
            )
        paths.append(jax.tree_util.keystr(path))
        leaves.append(array)
    return leaves, paths


def _read(path: Path) -> tuple[list[np.ndarray], dict[str, Any]]:
    """All leaves, and their description; raises whatever if a byte is wrong."""
    with np.load(path / STATE, allow_pickle=False) as file:
        description = json.loads(file["description"].tobytes())
        leaves = [file[f"arr_{index}"] for index in range(len(description["leaves"]))]
    return leaves, description


def _unflatten(
    template: Any, leaves: list[np.ndarray], names: list[str], path: Path, part: str
) -> Any:
    """Puts the leaves of that part in the template's structure.

    Raises:
      MisfitError: if they do not fit it, naming the first leaf that does not.
    """
    expected, structure = jax.tree_util.tree_flatten_with_path(template)
    wanted = [part + jax.tree_util.keystr(name) for name, _ in expected]
    if part:
        own = [index for index, name in enumerate(names) if _is_in(name, part)]
        names, leaves = [names[index] for index in own], [leaves[index] for index in own]
    if wanted != names:
        odd = next(
            (name for name in [*wanted, *names] if (name in wanted) != (name in names)), ""
        )
        raise MisfitError(f"{path}: is of another agent, core or environment (leaf {odd}).")
    restored = []
    for name, (_, like), leaf in zip(names, expected, leaves, strict=True):
        is_key = _is_typed_key(like)
        stored = jax.eval_shape(jax.random.key_data, like) if is_key else like
        shape, dtype = np.shape(stored), np.result_type(stored)
        if leaf.dtype.kind == "V":  # NumPy forgets the names of types such as bfloat16.
            leaf = leaf.view(dtype)
        if (leaf.shape, leaf.dtype) != (shape, dtype):
            raise MisfitError(
                f"{path}: leaf {name} is {leaf.dtype}{list(leaf.shape)}; these settings "
                f"make it {dtype}{list(shape)}."
            )
        if is_key:
            leaf = jax.random.wrap_key_data(
                jax.numpy.asarray(leaf), impl=jax.random.key_impl(like)
            )
        restored.append(leaf)
    return jax.tree_util.tree_unflatten(structure, restored)


def _is_in(name: str, part: str) -> bool:
    return name.startswith(part) and name[len(part) : len(part) + 1] in ("", ".", "[")


def _is_typed_key(leaf: Any) -> bool:
    dtype = getattr(leaf, "dtype", None)
    return dtype is not None and jax.numpy.issubdtype(dtype, jax.dtypes.prng_key)


def flush(path: Path) -> None:
    """Makes what was written to a file, or a rename in a folder, survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def save_arrays(file: BinaryIO, arrays: Mapping[str, Any]) -> None:
    """What `np.savez` does, with an archive that is closed on a full disk, too: one that is
    not prints a traceback when it is collected.
    """
    with zipfile.ZipFile(file, "w") as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as entry:
                np.lib.format.write_array(entry, np.asanyarray(array), allow_pickle=False)
