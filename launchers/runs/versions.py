"""What a run's numbers depend on beside its config: packages, Python, system, commit."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = (
    *("tolman", "jax", "jaxlib", "numpy", "dm-haiku", "optax", "dm-env", "gymnasium"),
    *("ale-py", "pgx", "mctx", "open-spiel", "dm-reverb", "dm-acme", "tensorflow-cpu"),
    "ray",
)
VERSIONS = "versions.json"
ABSENT = "not installed"


def package_versions() -> dict[str, str]:
    """The version of every package that decides numbers."""
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = ABSENT
    return found


def versions(devices: str) -> dict[str, str]:
    """Everything beside a config that a run's numbers depend on.

    Args:
      devices: what learns, in words.
    """
    system = f"{sys.platform} {os.uname().machine}"
    commit = {"commit": found} if (found := _commit()) else {}
    python = {"python": platform.python_version(), "system": system}
    return {**python, **package_versions(), **commit, "devices": devices}


def changed_versions(folder: Path, devices: str) -> list[str]:
    """What differs from when the run in `folder` was made, as `name old -> new`."""
    try:
        before = dict(json.loads((folder / VERSIONS).read_text()))
    except (OSError, ValueError, TypeError):
        return [f"{VERSIONS} is not readable"]
    now = versions(devices)
    # A folder of an earlier version lists fewer packages: nothing is known of the others.
    return [
        f"{name} {before[name]} -> {now[name]}"
        for name in now
        if name in before and before[name] != now[name]
    ]


def _commit() -> str | None:
    """Of a checkout of Tolman, with "+" where files differ from it; None elsewhere."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    command = ["git", "-C", str(root), "describe", "--always", "--abbrev=40"]
    try:
        found = subprocess.run(
            [*command, "--exclude=*", "--dirty=+"],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return found.stdout.strip() or None
