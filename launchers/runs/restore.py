"""Restores what plays: the agent and parameters of a run, without its runner."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from tolman.agents.agent import Params
from tolman.agents.tasks import for_task
from tolman.launchers.runs import folder as run_folder
from tolman.launchers.runs.checkpoints import Checkpoints, check_finite
from tolman.launchers.runs.job import Job, resolve

LEARNER = ".learner"  # Where every runner's state has the agent's.
LABELS = ".labels"  # Where that of tasks in turn on the host has theirs.


class Restored(NamedTuple):
    """A run as it stood at a checkpoint, to be played.

    Attributes:
      job: the run's, with its environment's settings for evaluation.
      agent: what acts, plays or answers.
      params: of the network; `[1, ...]` from a run on the device.
      env_steps: of the checkpoint.
      labels: of tasks in turn, the number under which the agent has each.
    """

    job: Job
    agent: Any
    params: Params
    env_steps: int
    labels: tuple[int, ...] = ()

    def for_task(self, task: int) -> Params:
        """The parameters to play one of the tasks of a run with, like `params`."""
        label = self.labels[task]
        if self.job.config.launcher != "on-device":
            return for_task(self.agent, self.params, label)
        return jax.vmap(lambda params: for_task(self.agent, params, label))(self.params)


def named_checkpoint(run: Path, checkpoint: int | None = None) -> tuple[Path, int | None]:
    """The folder and the checkpoint of a run that may be called RUN@STEPS or RUN@best.

    Args:
      run: RUN, RUN@STEPS, RUN@last, or RUN@best: the one that was evaluated best while the
        run was trained with `eval_every`.
      checkpoint: one that was named apart.

    Returns:
      The folder, and env steps; None for the last that is sound.

    Raises:
      FileNotFoundError: if there is no such run.
      ValueError: if two checkpoints are named, or none is the best.
    """
    path, at, which = str(run).rpartition("@")
    is_name = which in ("best", "last") or (which.isascii() and which.isdigit())
    if run.exists() or not (at and is_name):
        return run, checkpoint
    if checkpoint is not None:
        raise ValueError(
            f"{run}: names a checkpoint, as checkpoint={checkpoint} does. Leave one out."
        )
    folder = Path(path)
    if which == "best":
        best = Checkpoints(run_folder.open_run(folder).checkpoints).best()
        if best is None:
            raise ValueError(
                f"{folder}: has no best checkpoint. Train with --eval-every, or name a "
                f"checkpoint by its env steps: {folder}@STEPS."
            )
        return folder, best.units
    return folder, int(which) if which != "last" else None


def stored_job(run: Path, env_seed: int | None = None, trust: bool = False) -> Job:
    """The job of a run, with its environment's settings for evaluation.

    Args:
      run: the run folder.
      env_seed: of the environments that will be played.
      trust: whether the run's config may name any code; see `catalog.trust`.

    Raises:
      FileNotFoundError: if there is no such run.
      ValueError: if its config is wrong, or names what is not to be trusted.
    """
    config = run_folder.open_run(run).config(trust)
    return resolve(config, env_seed, for_evaluation=True)


def restore(run: Path, checkpoint: int | None, job: Job | None = None) -> Restored:
    """Restores agent and parameters; builds no runner, and no environment twice.

    Args:
      run: the run folder.
      checkpoint: env steps of the one to take; None for the last that is sound.
      job: of that run, from `stored_job`; None to make it.

    Raises:
      FileNotFoundError: if there is no such run or checkpoint.
      ValueError: if no checkpoint is sound, or as `stored_job` does.
    """
    folder = run_folder.open_run(run)
    job = stored_job(run) if job is None else job
    agent = job.make_agent()
    template = _shapes(job, agent)

    def check(learner: Any, path: Path) -> None:
        check_finite(learner.params, num_members=1)

    checkpoints = Checkpoints(folder.checkpoints)
    restored = checkpoints.restore(template, checkpoint, check, LEARNER)
    params = jax.device_put(restored.state.params, jax.devices()[0])
    found = Restored(job, agent, params, restored.units)
    if not job.tasks:
        return found
    labels = np.arange(len(job.tasks))
    if job.config.launcher != "on-device":
        labels = checkpoints.restore(labels, restored.units, part=LABELS).state
    found = found._replace(labels=tuple(map(int, labels)))
    return found._replace(params=found.for_task(0))  # That of `job.source`.


def _shapes(job: Job, agent: Any) -> Any:
    """The shapes of an agent's learner state; nothing is computed."""
    key = jax.random.PRNGKey(0)
    inputs = [key]
    if job.kind == "learns":
        task = job.source.task()
        data = task.load("train")
        inputs += [
            jax.eval_shape(lambda key: task.sample(data, key, agent.batch_size), key)
        ]
    learner = jax.eval_shape(agent.init, *inputs)
    if job.config.launcher != "on-device" or job.kind == "plays":
        return learner
    return jax.tree.map(  # A population of one.
        lambda leaf: jax.ShapeDtypeStruct((1, *leaf.shape), leaf.dtype), learner
    )
