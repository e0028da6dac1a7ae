"""What `status.json` of a run says, and whether its process is still there."""

from __future__ import annotations

import contextlib
import json
import os
import socket
from pathlib import Path
from typing import Any

STATUS = "status.json"
DEAD = "dead"  # The state of a run that says "running" and has no process.


def this_process() -> dict[str, Any]:
    """What tells this process from any other, now and later."""
    pid = os.getpid()
    return {"host": socket.gethostname(), "pid": pid, "started": _started(pid)}


def read_status(folder: Path) -> dict[str, Any]:
    """The status of the run in a folder, `{}` where that is not readable.

    A run that was killed could not write so: its state is given as `DEAD`.
    """
    with contextlib.suppress(OSError, ValueError):
        status = json.loads((folder / STATUS).read_text())
        if isinstance(status, dict):
            is_dead = status.get("state") == "running" and _is_gone(status.get("process"))
            return {**status, "state": DEAD} if is_dead else status
    return {}


def _is_gone(process: Any) -> bool:
    """Whether a process is known to be there no more; False where nothing can tell."""
    if not isinstance(process, dict) or process.get("host") != socket.gethostname():
        return False
    pid = process.get("pid")
    if not isinstance(pid, int) or pid <= 0:
        return False
    try:
        os.kill(pid, 0)  # Sends nothing; asks whether there is such a process.
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):
        return False
    return process.get("started") != _started(pid)


def _started(pid: int) -> str | None:
    """When a process started: the boot of the machine and clock ticks since; Linux only.

    A process that has ended and waits for its parent to ask has a time of its own: "gone".
    """
    with contextlib.suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        # The name, in parentheses, may hold blanks; the state is the first word after it.
        words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return "gone" if words[0] in "ZX" else f"{boot} {words[19]}"
    return None
