"""The runs of a sweep as tasks of Ray, on a cluster or on this machine.

All machines see the sweep's folder under one path.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError

from tolman.launchers.cluster import connection
from tolman.launchers.sweep.grid import Planned
from tolman.launchers.sweep.processes import SECONDS_BETWEEN_LOOKS, begin

FAILED = 1


class Task:
    """A run in a task; see `UnderWay`."""

    def __init__(self, folder: Path, run: Planned) -> None:
        """Hands it to Ray, which starts it where a CPU is free."""
        self._answer = _task().remote(folder.resolve(), run)

    def poll(self) -> int | None:
        """The exit code of the run; 1 where the task was lost."""
        done, _ = ray.wait([self._answer], timeout=0)
        return self.wait() if done else None

    def terminate(self) -> None:
        """Asks the run to save and stop."""
        ray.cancel(self._answer)

    def wait(self) -> int:
        """Waits for its end."""
        try:
            return ray.get(self._answer)
        except RayError:
            return FAILED


def ray_tasks(
    folder: Path, runs: Sequence[Planned], jobs: int, train_each: Callable[..., Any]
) -> list[Planned]:
    """Trains what has not finished; returns the runs that failed.

    Args:
      folder: of the sweep.
      runs: all of it.
      jobs: at a time; 0 for as many as there are CPUs.
      train_each: what begins them, and waits.

    Raises:
      ValueError: if there is no cluster at RAY_ADDRESS, or Ray does not start.
    """
    address = os.environ.get("RAY_ADDRESS")
    if address is None:
        connection.start(jobs)
    else:
        connection.join(address)
    try:
        return train_each(folder, runs, jobs or len(runs), Task)
    finally:
        connection.disconnect(is_ours=True)


def _task() -> Any:
    return ray.remote(num_cpus=1, max_retries=0)(_train)


def _train(folder: Path, run: Planned) -> int:
    """One run, in a process of its own on the machine of the task; its exit code."""
    process = begin(folder, run)
    try:
        while process.poll() is None:  # To wait in one call would put off a cancellation.
            time.sleep(SECONDS_BETWEEN_LOOKS)
        return process.returncode
    finally:  # The task was cancelled.
        if process.poll() is None:
            process.terminate()
            process.wait()
