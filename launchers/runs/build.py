"""Builds the runner of a job: looked up by name, so that no runner is imported for another.

A runner is registered under `LAUNCHER/KIND` at the bottom of its own module:

    @register_runner("local/acts")
    def make_local_runner(job: Job, folder: RunFolder) -> LocalRunner:
"""

from __future__ import annotations

from tolman.envs.registry import Registry
from tolman.launchers.catalog.names import RUNNER, lookup
from tolman.launchers.runs.folder import RunFolder
from tolman.launchers.runs.job import Job
from tolman.launchers.runs.protocol import Runner

RUNNERS = Registry("runner")
register_runner = RUNNERS.register


def build_runner(job: Job, folder: RunFolder) -> Runner:
    """Builds the runner of a job.

    Args:
      job: what is trained.
      folder: of the run; nothing is written to it yet.

    Raises:
      ValueError: if that launcher cannot run it.
    """
    return lookup(RUNNER, job.runner)(job, folder)
