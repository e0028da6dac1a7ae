"""The folder of a run: what stands where, how it is made, and who holds it.

config.yaml versions.json status.json metrics.jsonl events.out.tfevents… log.txt lock
checkpoints/<units>/ videos/<units>_s<seed>.mp4

A stage of a study has the same but for the config, which is the study's.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tolman.launchers.report.changes import Change
from tolman.launchers.report.status import STATUS, read_status, this_process
from tolman.launchers.report.whole import UNFINISHED, replace_text
from tolman.launchers.runs.versions import VERSIONS, versions
from tolman.launchers.settings.config import TrainConfig
from tolman.launchers.settings.files import (
    load_config,
    save_config,
    to_mapping,
)

CONFIG, LOCK, LOG = "config.yaml", "lock", "log.txt"


@dataclass(frozen=True)
class RunFolder:
    """A run's files.

    Attributes:
      path: the folder.
    """

    path: Path

    @property
    def metrics(self) -> Path:
        """One JSON object a line."""
        return self.path / "metrics.jsonl"

    @property
    def log(self) -> Path:
        """What the run said."""
        return self.path / LOG

    @property
    def checkpoints(self) -> Path:
        """The folder of checkpoints."""
        return self.path / "checkpoints"

    @property
    def videos(self) -> Path:
        """The folder of films."""
        return self.path / "videos"

    def config(
        self, trust: bool = True, given: Mapping[str, Any] | None = None
    ) -> TrainConfig:
        """Reads the config back; the arguments are those of `load_config`."""
        return load_config(self.path / CONFIG, trust, given)

    def status(self) -> dict[str, Any]:
        """See `read_status`."""
        return read_status(self.path)

    def write_status(
        self,
        state: str,
        units: int,
        seconds: float,
        reason: str = "",
        restarts: Mapping[str, int] | None = None,
        unit: str = "env_steps",
    ) -> None:
        """Replaces `status.json`, at once and whole.

        Args:
          state: running, finished, failed or interrupted.
          units: trained so far.
          seconds: of wall time spent training so far, over all resumes.
          reason: why it failed or was interrupted.
          restarts: of each kind of process that the run has beside its own, since it was
            last started or resumed.
          unit: what is counted.
        """
        status = {
            "state": state,
            "reason": reason,
            "unit": unit,
            unit: units,
            "seconds": round(seconds, 3),
            "updated": datetime.now(UTC).isoformat(timespec="seconds"),
            "process": this_process(),
            **({"restarts": dict(restarts)} if restarts else {}),
        }
        replace_text(self.path / STATUS, json.dumps(status, indent=1))

    def write_versions(self, devices: str) -> None:
        """Writes `versions.json`; `devices` says what trains."""
        replace_text(self.path / VERSIONS, json.dumps(versions(devices), indent=1))

    def write_config(self, config: TrainConfig, changes: Sequence[Change] = ()) -> None:
        """Writes `config.yaml`, the last of a new run's files: it can be resumed then."""
        unfinished = self.path / f"{CONFIG}{UNFINISHED}"
        save_config(config, unfinished, changes)
        unfinished.replace(self.path / CONFIG)


@contextlib.contextmanager
def hold(path: Path, work: str = "training this run") -> Iterator[None]:
    """Holds a folder for this process; the system frees it however that ends.

    Args:
      path: the folder.
      work: what another process does that holds it.

    Raises:
      ValueError: if another process holds it.
    """
    try:
        descriptor = os.open(path / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise ValueError(
            f"{path}: no folder that can be written to ({error.strerror})."
        ) from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ValueError(f"{path}: another process is {work}.") from None
        yield
    finally:
        os.close(descriptor)


def make_folder(path: Path, flag: str, is_numbered: bool = False) -> Path:
    """Makes a folder of a name that no other process gets.

    Args:
      path: the folder.
      flag: that sets it, for messages.
      is_numbered: take `path-2`, `path-3`, ... where there is one; else it is an error.

    Returns:
      The folder.

    Raises:
      ValueError: if it cannot be made.
    """
    candidate, number = path, 1
    while True:
        try:
            candidate.parent.mkdir(parents=True, exist_ok=True)
            candidate.mkdir()
            return candidate
        except OSError as error:
            if not isinstance(error, FileExistsError) or not candidate.exists():
                raise ValueError(
                    f"{path}: cannot be made ({error.strerror}). Choose another {flag}."
                ) from error
            if not is_numbered:
                raise ValueError(f"{path}: exists. Choose another {flag}.") from None
        number += 1
        candidate = path.with_name(f"{path.name}-{number}")


def ensure_folder(path: Path, flag: str) -> bool:
    """Makes a folder where there is none; returns whether it did.

    Raises:
      ValueError: if it cannot be made; the message names the flag that sets it.
    """
    is_new = not path.exists()
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(
            f"{path}: cannot be made ({error.strerror}). Choose another {flag}."
        ) from error
    return is_new


@contextlib.contextmanager
def new_run(config: TrainConfig) -> Iterator[RunFolder | None]:
    """Makes the folder of a new run and holds it; removes it again if nothing comes of it.

    Yields:
      The folder, which has no config yet; None where it holds the run already and
      `config.if_exists` says to resume it.

    Raises:
      ValueError: if the folder is taken, held, or of a run of another config.
    """
    path, is_numbered = _default_path(config), True
    if config.run_dir is not None:
        path = Path(config.run_dir).expanduser()
        is_numbered = config.if_exists == "new"
    is_there = path.exists() and not (path.is_dir() and is_unused(path))
    if is_there and not is_numbered:
        _check_resumable(path, config)
        yield None
        return
    made = [parent for parent in path.parents if not parent.exists()]
    # A run that is starting holds nothing but its lock, and for a moment not even that.
    is_another = config.run_dir is None or (is_numbered and (path / LOCK).exists())
    if is_there or is_another or not path.exists():
        path = make_folder(path, "--run-dir", is_numbered)
    with hold(path):
        if (path / CONFIG).exists():  # Another process was faster.
            raise ValueError(f"{path}: holds a run already. Choose another --run-dir.")
        try:
            yield RunFolder(path)
        finally:
            if is_unused(path):
                with contextlib.suppress(OSError):
                    (path / LOCK).unlink(missing_ok=True)
                    for folder in (path, *made):
                        folder.rmdir()


def open_run(path: Path) -> RunFolder:
    """The run in an existing folder.

    Raises:
      FileNotFoundError: if there is none.
    """
    if not path.is_dir():
        raise FileNotFoundError(f"{path}: no such run folder.")
    if not (path / CONFIG).is_file():
        raise FileNotFoundError(f"{path}: is no run folder, it has no {CONFIG}.")
    return RunFolder(path)


def is_unused(path: Path, marker: str = "") -> bool:
    """Whether a folder holds nothing but perhaps a lock, and a half-written `marker`."""
    return all(item.name in (LOCK, f"{marker}{UNFINISHED}") for item in path.iterdir())


def _default_path(config: TrainConfig) -> Path:
    parts = [config.env, config.agent, config.core, f"s{config.seed}"]
    time = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    return Path("runs") / "__".join(
        [re.sub(r"[^\w.-]+", "-", part) for part in parts] + [time]
    )


def _check_resumable(path: Path, config: TrainConfig) -> None:
    """Raises ValueError unless the folder holds a run of `config` that is to be resumed."""
    if not (path / CONFIG).is_file():
        raise ValueError(f"{path}: exists and holds no run. Choose another --run-dir.")
    if config.if_exists == "fail":
        raise ValueError(
            f"{path}: holds a run already. Say --if-exists resume or new, or choose "
            "another --run-dir."
        )
    before, now = to_mapping(RunFolder(path).config()), to_mapping(config)
    for key in now.keys() | before.keys():
        if key not in ("run_dir", "if_exists") and before.get(key) != now.get(key):
            flag = f"--{key.replace('_', '-')}"
            raise ValueError(
                f"{path}: its run has {key}={before.get(key)!r}, not {now.get(key)!r}. "
                f"Set {flag} back to resume it, or say --if-exists new; tolman resume "
                "changes settings."
            )
