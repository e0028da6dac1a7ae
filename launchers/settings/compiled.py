"""A folder of compiled programs, so that a second start of a command compiles nothing.

jax keeps them; here is where. The folder is named by jax's version, by the processor,
because what was compiled for one processor may fail on another that shares the folder, and
by the compression that jax finds, because it cannot read what it packed with another.
"""

from __future__ import annotations

import hashlib
import os
import platform
import sys
from collections.abc import Sequence
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

VARIABLE = "TOLMAN_COMPILED"
OFF = "off"
FLAG = "--no-compiled"
JAX_FOLDER = "JAX_COMPILATION_CACHE_DIR"
# jax would keep only what took a second to compile.
JAX_LIMITS = {
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
}
PROCESSOR = Path("/proc/cpuinfo")


def keep_compiled(words: Sequence[str]) -> list[str]:
    """Tells jax, before it is imported, where to keep what it compiles.

    Args:
      words: of the command; `--no-compiled` among them turns it off, as does
        `TOLMAN_COMPILED=off`. The variable may also name a folder; jax's own goes first.

    Returns:
      The words without that flag.
    """
    rest = [word for word in words if word != FLAG]
    if len(rest) < len(words):
        os.environ[VARIABLE] = OFF  # Processes that this one starts keep none either.
    if (folder := compiled_folder()) is None:
        os.environ.pop(JAX_FOLDER, None)
    else:
        os.environ[JAX_FOLDER] = str(folder)
        for name, limit in JAX_LIMITS.items():
            os.environ.setdefault(name, limit)
    return rest


def compiled_folder() -> Path | None:
    """Where compiled programs are kept; None where they are not."""
    chosen = os.environ.get(VARIABLE, "")
    if chosen == OFF:
        return None
    if given := os.environ.get(JAX_FOLDER):
        return Path(given)
    return _parent(chosen) / f"jax{version('jax')}-{_processor()}-{_compression()}"


def compiled_files(folder: Path) -> list[Path]:
    """What jax keeps in a folder, and nothing else that lies there."""
    return [*folder.glob("*-cache"), *folder.glob("*-atime")]


def _parent(chosen: str) -> Path:
    if chosen:
        return Path(chosen).expanduser()
    caches = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(caches) / "tolman" / "compiled"


def _compression() -> str:
    """What jax packs programs with: Zstandard where Python 3.14 or a package brings it."""
    is_found = sys.version_info >= (3, 14) or find_spec("zstandard") is not None
    return "zstd" if is_found else "zlib"


def _processor() -> str:
    """Eight letters that two kinds of processor do not share."""
    told = platform.machine() + platform.processor()
    if PROCESSOR.exists():  # Of Linux; the instructions that a processor knows.
        lines = PROCESSOR.read_text().splitlines()
        told += next((line for line in lines if line.startswith(("flags", "Features"))), "")
    return hashlib.sha256(told.encode()).hexdigest()[:8]
