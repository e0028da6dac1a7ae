"""Says what this installation can do, and what to change where it cannot."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tolman.envs.places import summary
from tolman.launchers.runs.versions import ABSENT, package_versions
from tolman.launchers.settings.compiled import (
    FLAG,
    VARIABLE,
    compiled_files,
    compiled_folder,
)

HOST_PACKAGES = "tensorflow, reverb, acme"
HOST_TIMEOUT_SECONDS = 120
LEAST_FREE_GIGABYTES = 2.0
MANY_MEGABYTES = 4000.0
NONE_KEPT = f"none are kept, by {VARIABLE}=off or {FLAG}"
NVIDIA_DRIVER = Path("/proc/driver/nvidia/version")


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
      what: looked at.
      found: what it is.
      advice: what to do about it; empty where all is well.
    """

    what: str
    found: str
    advice: str = ""


def doctor() -> list[Finding]:
    """Looks at everything that a run depends on; changes nothing."""
    findings = [_world(), Finding("packages", _packages()), _devices()]
    if sys.version_info < (3, 12) and sys.platform == "linux":
        findings.append(_host_packages())
    return [*findings, _compiled(), _data(), _disk()]


def describe(findings: Sequence[Finding]) -> list[str]:
    """What was found, in lines, each with its advice."""
    lines = []
    for finding in findings:
        lines.append(f"{'-' if finding.advice else '+'} {finding.what}: {finding.found}")
        lines += [f"  {finding.advice}"] if finding.advice else []
    return lines


def _world() -> Finding:
    python = platform.python_version()
    if sys.version_info < (3, 12):
        return Finding("python", f"{python}: every launcher, and both replays")
    return Finding(
        "python",
        f"{python}: the launchers on-device and local; ray, and --replay reverb, need 3.11",
    )


def _packages() -> str:
    """Those that decide a run's numbers, as `versions.json` lists them."""
    found = package_versions().items()
    return ", ".join(f"{name} {'-' if at == ABSENT else at}" for name, at in found)


def _devices() -> Finding:
    try:
        import jax

        devices = jax.devices()
    except Exception as error:  # A broken driver can raise anything; that is the finding.
        reason = summary(error)
        advice = "Repair the driver, or set JAX_PLATFORMS=cpu."
        return Finding("devices", f"jax finds none ({reason})", advice)
    found = f"{len(devices)} x {devices[0].device_kind} ({jax.default_backend()})"
    if jax.default_backend() != "cpu":
        return Finding("devices", found)
    if "cpu" in os.environ.get("JAX_PLATFORMS", "").split(","):
        return Finding("devices", f"{found}; no accelerator: JAX_PLATFORMS rules it out")
    if not NVIDIA_DRIVER.exists():
        return Finding("devices", f"{found}; no accelerator: no driver of NVIDIA's is here")
    return Finding(
        "devices",
        f"{found}; no accelerator: its driver is here, jax's plugin is not",
        "Run: uv sync --extra cuda, in a clone, or pip install 'tolman[cuda]', where pip "
        "installed Tolman.",
    )


def _host_packages() -> Finding:
    """Imports what Reverb needs in a process of its own; it is heavy."""
    began = time.perf_counter()
    try:
        result = subprocess.run(
            # The first serves what acme asks of a package that has no build here.
            [sys.executable, "-c", f"import tolman.launchers.host.reverb, {HOST_PACKAGES}"],
            capture_output=True,
            text=True,
            timeout=HOST_TIMEOUT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        advice = "Try again when the machine has less to do."
        return Finding(HOST_PACKAGES, f"no import within {HOST_TIMEOUT_SECONDS} s", advice)
    if result.returncode:
        reason = (result.stderr.strip().splitlines() or ["no message"])[-1]
        advice = (
            "The launchers on-device and local work without. For ray: uv sync, in a clone; "
            "where pip installed Tolman, the two lines for Reverb in docs/dependencies.md."
        )
        return Finding(HOST_PACKAGES, f"import fails ({reason})", advice)
    return Finding(HOST_PACKAGES, f"import in {time.perf_counter() - began:.1f} s")


def clear_compiled() -> str:
    """Deletes the compiled programs that were kept; says how many."""
    folder = compiled_folder()
    if folder is None:
        return f"compiled programs: {NONE_KEPT}"
    files = compiled_files(folder)
    freed = _megabytes(files)
    for file in files:
        file.unlink(missing_ok=True)
    return f"deleted {len(files)} files of compiled programs, {freed:.1f} MB: {folder}"


def _compiled() -> Finding:
    what, folder = "compiled programs", compiled_folder()
    if folder is None:
        return Finding(what, NONE_KEPT)
    megabytes = _megabytes(compiled_files(folder))
    advice = ""
    if megabytes > MANY_MEGABYTES:
        advice = "They may be deleted: tolman doctor --clear-compiled."
    return Finding(what, f"{megabytes:.1f} MB kept in {folder}", advice)


def _megabytes(files: Sequence[Path]) -> float:
    return sum(file.stat().st_size for file in files) / 1e6


def _data() -> Finding:
    folder = os.environ.get("TOLMAN_DATA")
    if folder is None:
        return Finding(
            "TOLMAN_DATA", "not set; studies that need data make or fetch their own"
        )
    if Path(folder).is_dir():
        return Finding("TOLMAN_DATA", folder)
    return Finding(
        "TOLMAN_DATA", f"{folder}: no such folder", "Correct or unset TOLMAN_DATA."
    )


def _disk() -> Finding:
    gigabytes = shutil.disk_usage(Path.cwd()).free / 1e9
    advice = ""
    if gigabytes < LEAST_FREE_GIGABYTES:
        advice = f"Free at least {LEAST_FREE_GIGABYTES:g} GB, or choose another --run-dir."
    return Finding("disk", f"{gigabytes:.1f} GB free here", advice)
