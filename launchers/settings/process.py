"""What a process of the command needs before jax is imported."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from tolman.launchers.settings.compiled import keep_compiled

FORCE_CPU_DEVICES = "--xla_force_host_platform_device_count"


def prepare_process(words: Sequence[str]) -> list[str]:
    """Sets what must precede the import of jax, and finds modules in the current folder.

    Returns:
      The words of the command without those that were for all verbs.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # A terminal may know ASCII alone.
            stream.reconfigure(errors="backslashreplace")
    flags = os.environ.get("XLA_FLAGS", "")
    if FORCE_CPU_DEVICES not in flags:
        # The members of a study are shared out among these; a single run takes one.
        os.environ["XLA_FLAGS"] = f"{flags} {FORCE_CPU_DEVICES}={os.cpu_count()}".strip()
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)
    return keep_compiled(words)
