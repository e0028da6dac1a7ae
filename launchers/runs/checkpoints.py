"""Checkpoints: any pytree of arrays, saved whole and restored bit by bit.

A checkpoint is the folder `<env_steps>/` with `state.npz` in it: the leaves in the order
of the flattened tree, and as `description` their names in JSON. It is written beside its
place, flushed to disk and renamed there, so that a process killed at any point leaves
either all of it or nothing; every byte has a checksum that `restore` verifies.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

STATE = "state.npz"
UNFINISHED = ".unfinished"

logger = logging.getLogger(__name__)


class Checkpoint(NamedTuple):
    """What was saved.

    Attributes:
      env_steps: when.
      state: pytree of host arrays.
      metadata: what the saver added, JSON values.
    """

    env_steps: int
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
        """The env steps of all complete checkpoints, in ascending order."""
        if not self.folder.is_dir():
            return []
        return sorted(
            int(path.name) for path in self.folder.iterdir() if path.name.isdigit()
        )

    def latest(self) -> int | None:
        """The env steps of the last complete checkpoint; None if there is none."""
        return max(self.steps(), default=None)

    def latest_updates(self) -> int:
        """Updates at the last checkpoint that can be read; 0 where none tells."""
        for step in reversed(self.steps()):
            path = self.folder / str(step) / STATE
            # A torn file can raise anything.
            with contextlib.suppress(Exception), np.load(path, allow_pickle=False) as file:
                names = json.loads(file["description"].tobytes())["leaves"]
                return int(file[f"arr_{names.index('.updates')}"].flat[0])
        return 0

    def save(self, env_steps: int, state: Any, metadata: dict[str, Any]) -> Path:
        """Writes a checkpoint and then removes the oldest ones beyond `keep`.

        Args:
          env_steps: when; an earlier checkpoint of the same number is set aside.
          state: pytree of arrays, on any devices.
          metadata: JSON values to find again at restore.

        Returns:
          The checkpoint's folder.
        """
        leaves, names = _flatten(state)
        description = json.dumps({"leaves": names, "metadata": metadata}).encode()
        target = self.folder / str(env_steps)
        unfinished = self.folder / f"{env_steps}{UNFINISHED}"
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        with (unfinished / STATE).open("wb") as file:
            np.savez(file, *leaves, description=np.frombuffer(description, np.uint8))
            file.flush()
            os.fsync(file.fileno())
        if target.exists():
            self._set_aside(env_steps)
        unfinished.rename(target)
        _flush_folder(self.folder)
        for old in self.steps()[: -self.keep]:
            shutil.rmtree(self.folder / str(old))
        return target

    def restore(
        self, template: Any, env_steps: int | None = None, part: str = ""
    ) -> Checkpoint:
        """Reads a checkpoint back.

        Args:
          template: pytree of arrays of the same structure, shapes and types.
          env_steps: which one; None for the last that is sound. Each broken one before
            that costs a line in the log.
          part: path in the tree of what `template` is, such as ".learner.params"; empty
            for the whole.

        Raises:
          FileNotFoundError: if there is none, or not the one asked for.
          ValueError: if none is sound, or if one is of another structure.
        """
        steps = self.steps()
        if env_steps is not None and env_steps not in steps:
            raise FileNotFoundError(
                f"{self.folder}: no checkpoint {env_steps}; there are {steps or 'none'}."
            )
        if not steps:
            raise FileNotFoundError(f"{self.folder}: no checkpoint.")
        for candidate in reversed(steps if env_steps is None else [env_steps]):
            path = self.folder / str(candidate)
            try:
                leaves, description = _read(path)
            except Exception as error:  # A torn file can make its readers raise anything.
                reason = f"{type(error).__name__}: {error}".splitlines()[0]
                logger.warning("%s: broken checkpoint, not used (%s).", path, reason)
                continue
            state = _unflatten(template, leaves, description["leaves"], path, part)
            return Checkpoint(candidate, state, description["metadata"])
        raise ValueError(f"{self.folder}: every checkpoint is broken; nothing was changed.")

    def set_aside_after(self, env_steps: int) -> None:
        """Renames what is later than `env_steps`, so that a run may go on from there."""
        for later in self.steps():
            if later > env_steps:
                self._set_aside(later)

    def _set_aside(self, env_steps: int) -> None:
        number = 0
        while (aside := self.folder / f"{env_steps}.aside{number or ''}").exists():
            number += 1
        (self.folder / str(env_steps)).rename(aside)


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
      ValueError: if they do not fit it, naming the first leaf that does not.
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
        raise ValueError(f"{path}: is of another agent, core or environment (leaf {odd}).")
    restored = []
    for name, (_, like), leaf in zip(names, expected, leaves, strict=True):
        is_key = _is_typed_key(like)
        stored = jax.eval_shape(jax.random.key_data, like) if is_key else like
        shape, dtype = np.shape(stored), np.result_type(stored)
        if leaf.dtype.kind == "V":  # NumPy forgets the names of types such as bfloat16.
            leaf = leaf.view(dtype)
        if (leaf.shape, leaf.dtype) != (shape, dtype):
            raise ValueError(
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


def _flush_folder(folder: Path) -> None:
    """Makes a rename in `folder` survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
