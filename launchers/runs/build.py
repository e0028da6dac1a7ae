"""Builds the runner of a job, and what evaluates it; no runner is imported for another.

A runner is registered under `LAUNCHER/KIND` at the bottom of its own module:

    @register_runner("local/acts")
    def make_local_runner(job: Job, folder: RunFolder) -> LocalRunner:
"""

from __future__ import annotations

from typing import Any

from tolman.envs.registry import Registry
from tolman.launchers.catalog.names import EVALUATOR, RUNNER, lookup, registered
from tolman.launchers.runs.folder import RunFolder
from tolman.launchers.runs.job import Job
from tolman.launchers.runs.protocol import Runner

RUNNERS = Registry("runner")
register_runner = RUNNERS.register
EVALUATORS = Registry("evaluator")  # By the kind of agent.
register_evaluator = EVALUATORS.register


def build_runner(job: Job, folder: RunFolder) -> Runner:
    """Builds the runner of a job.

    Args:
      job: what is trained.
      folder: of the run; nothing is written to it yet.

    Raises:
      ValueError: if that launcher cannot run it.
    """
    return lookup(RUNNER, job.runner)(job, folder)


def build_evaluator(job: Job) -> Any:
    """Builds what evaluates a run while it trains: `(params, updates)` to metrics.

    Raises:
      ValueError: if agents of that kind have no return to report.
    """
    if job.kind not in registered(EVALUATOR):
        raise ValueError(
            f"eval_every={job.config.eval_every}: agent {job.config.agent!r} has no return "
            "to report while it trains. Leave --eval-every out."
        )
    return lookup(EVALUATOR, job.kind)(job)
