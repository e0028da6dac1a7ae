"""The folder of a run: what stands where, and what happens if it is there already.

config.yaml versions.json status.json metrics.jsonl events.out.tfevents… log.txt
checkpoints/<env_steps>/ videos/<env_steps>_s<seed>.mp4
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import platform
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from tolman.launchers.settings.config import (
    TrainConfig,
    load_config,
    save_config,
    to_mapping,
)

CONFIG, STATUS, VERSIONS = "config.yaml", "status.json", "versions.json"
PACKAGES = ("tolman", "jax", "jaxlib", "numpy", "dm-haiku", "optax", "rlax")


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
        return self.path / "log.txt"

    @property
    def checkpoints(self) -> Path:
        """The folder of checkpoints."""
        return self.path / "checkpoints"

    @property
    def replay(self) -> Path:
        """The folder for checkpoints of a replay."""
        return self.path / "replay"

    @property
    def videos(self) -> Path:
        """The folder of films."""
        return self.path / "videos"

    def config(self, trust: bool = True) -> TrainConfig:
        """Reads the config back; `trust` as `load_config` takes it."""
        return load_config(self.path / CONFIG, trust)

    def status(self) -> dict[str, Any]:
        """What `write_status` wrote last; `{}` where that is not readable."""
        with contextlib.suppress(OSError, ValueError):
            return json.loads((self.path / STATUS).read_text())
        return {}

    def write_status(
        self,
        state: str,
        env_steps: int,
        seconds: float,
        reason: str = "",
        restarts: Mapping[str, int] | None = None,
    ) -> None:
        """Replaces `status.json`, at once and whole.

        Args:
          state: running, finished, failed or interrupted.
          env_steps: trained so far.
          seconds: of wall time spent training so far, over all resumes.
          reason: why it failed or was interrupted.
          restarts: of each kind of process that the run has beside its own, since it was
            last started or resumed.
        """
        status = {
            "state": state,
            "reason": reason,
            "env_steps": env_steps,
            "seconds": round(seconds, 3),
            "updated": datetime.now(UTC).isoformat(timespec="seconds"),
            **({"restarts": dict(restarts)} if restarts else {}),
        }
        _replace(self.path / STATUS, json.dumps(status, indent=1))

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Holds the folder for this process; the system frees it however that ends.

        Raises:
          ValueError: if another process trains this run.
        """
        descriptor = os.open(self.path, os.O_RDONLY)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ValueError(
                    f"{self.path}: another process is training this run."
                ) from None
            yield
        finally:
            os.close(descriptor)


def choose(config: TrainConfig) -> tuple[RunFolder, bool]:
    """Says which folder a run goes to, and whether it holds that run already.

    Raises:
      ValueError: if the folder is taken, or holds a run of another config.
    """
    if config.run_dir is None:
        return RunFolder(_free(_default_path(config))), False
    path = Path(config.run_dir).expanduser()
    if not path.exists() or (path.is_dir() and not any(path.iterdir())):
        return RunFolder(path), False
    if config.if_exists == "new":
        return RunFolder(_free(path)), False
    folder = RunFolder(path)
    if not (path / CONFIG).is_file():
        raise ValueError(f"{path}: exists and holds no run. Choose another --run-dir.")
    if config.if_exists == "fail":
        raise ValueError(
            f"{path}: holds a run already. Say --if-exists resume or new, or choose "
            "another --run-dir."
        )
    _check_same(folder.config(), config, path)
    return folder, True


def create(folder: RunFolder, config: TrainConfig, devices: str) -> None:
    """Makes the folder with its config, versions and a first status.

    Args:
      folder: from `choose`.
      config: resolved.
      devices: what trains, in words.

    Raises:
      ValueError: if the folder cannot be made.
    """
    try:
        folder.path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(
            f"{folder.path}: cannot be made ({error.strerror}). Choose another --run-dir."
        ) from error
    _replace(folder.path / VERSIONS, json.dumps(versions(devices), indent=1))
    folder.write_status("running", 0, 0.0)
    # The config comes last: a folder that has one can be resumed.
    unfinished = folder.path / f"{CONFIG}.unfinished"
    save_config(config, unfinished)
    unfinished.replace(folder.path / CONFIG)


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


def versions(devices: str) -> dict[str, str]:
    """What a run's numbers depend on beside its config."""
    found = {
        "python": platform.python_version(),
        "system": f"{sys.platform} {os.uname().machine}",
    }
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return {**found, "devices": devices}


def changed_versions(folder: RunFolder, devices: str) -> list[str]:
    """What differs from when the run was made, as `name old -> new`."""
    try:
        before = json.loads((folder.path / VERSIONS).read_text())
    except (OSError, ValueError):
        return [f"{VERSIONS} is not readable"]
    now = versions(devices)
    return [
        f"{name} {before.get(name)} -> {now[name]}"
        for name in now
        if before.get(name) != now[name]
    ]


def _default_path(config: TrainConfig) -> Path:
    parts = [config.env, config.agent, config.core, f"s{config.seed}"]
    time = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    return Path("runs") / "__".join(
        [re.sub(r"[^\w.-]+", "-", part) for part in parts] + [time]
    )


def _free(path: Path) -> Path:
    """`path`, or the first of `path-2`, `path-3`, ... that does not exist."""
    candidate, number = path, 2
    while candidate.exists():
        candidate, number = path.with_name(f"{path.name}-{number}"), number + 1
    return candidate


def _check_same(stored: TrainConfig, config: TrainConfig, path: Path) -> None:
    before, now = to_mapping(stored), to_mapping(config)
    for key in now.keys() | before.keys():
        if key not in ("run_dir", "if_exists") and before.get(key) != now.get(key):
            flag = f"--{key.replace('_', '-')}"
            raise ValueError(
                f"{path}: its run has {key}={before.get(key)!r}, not {now.get(key)!r}. "
                f"Set {flag} back to resume it, or say --if-exists new."
            )


def _replace(path: Path, text: str) -> None:
    unfinished = path.with_name(f"{path.name}.unfinished")
    unfinished.write_text(text)
    unfinished.replace(path)
