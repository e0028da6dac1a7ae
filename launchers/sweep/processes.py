"""The runs of a sweep side by side, each a process, or whatever looks like one."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

from tolman.launchers.report.status import read_status
from tolman.launchers.sweep.grid import Planned

COMMAND = """import sys
from tolman.launchers.sweep.processes import stop_with_parent
stop_with_parent()
from tolman.launchers.cli import main
sys.exit(main())"""
SECONDS_BETWEEN_LOOKS = 0.1


class UnderWay(Protocol):
    """A run that has begun: a `subprocess.Popen`, or like one."""

    def poll(self) -> int | None:
        """The exit code; None while it goes on."""
        ...

    def terminate(self) -> None:
        """Asks it to save and stop."""
        ...

    def wait(self) -> int:
        """Waits for its end."""
        ...


Begin = Callable[[Path, Planned], UnderWay]


def train_each(
    folder: Path, runs: Sequence[Planned], jobs: int, begin: Begin
) -> list[Planned]:
    """Trains what has not finished.

    Args:
      folder: of the sweep.
      runs: all of it.
      jobs: at a time.
      begin: starts one.

    Returns:
      The runs that failed.
    """
    waiting = [run for run in runs if not is_finished(folder, run)]
    under_way: list[tuple[Planned, UnderWay]] = []
    failed: list[Planned] = []
    with _children_end_with_us(under_way):
        while waiting or under_way:
            while waiting and len(under_way) < jobs:
                run = waiting.pop(0)
                under_way.append((run, begin(folder, run)))
            time.sleep(SECONDS_BETWEEN_LOOKS)
            for run, process in [*under_way]:
                code = process.poll()
                if code is None:
                    continue
                under_way.remove((run, process))
                told = "finished" if code == 0 else f"ended with code {code}"
                print(f"{run.name}: {told}", file=sys.stderr)
                if code:
                    failed.append(run)
    return failed


def is_finished(folder: Path, run: Planned) -> bool:
    """Whether a run of the sweep has been trained to its end."""
    return bool(read_status(folder / run.name).get("state") == "finished")


def begin(folder: Path, run: Planned) -> subprocess.Popen[bytes]:
    """Starts a run, or resumes it; what it says goes to a file beside its folder.

    It stops, its checkpoint saved, when this process ends, however that ends.
    """
    words = [*run.words, "--run-dir", str(folder / run.name), "--if-exists", "resume"]
    with (folder / f"{run.name}.txt").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-c", COMMAND, "train", *words],
            stdin=subprocess.PIPE,  # Nothing is written to it; see `stop_with_parent`.
            stdout=log,
            stderr=log,
        )


def stop_with_parent() -> None:
    """Has this process asked to stop once its standard input ends, as with its parent."""
    threading.Thread(target=_wait_for_the_end, daemon=True).start()


def _wait_for_the_end() -> None:
    while os.read(0, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


@contextlib.contextmanager
def _children_end_with_us(under_way: list[tuple[Planned, UnderWay]]) -> Iterator[None]:
    """Has runs save and stop where this process is asked to, and waits for them."""

    def stop(number: int, frame: Any) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        for _, process in under_way:
            if process.poll() is None:
                process.terminate()
        for _, process in under_way:
            process.wait()
        signal.signal(signal.SIGTERM, before)
