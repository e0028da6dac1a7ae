"""Plays episodes of a run to be watched, and films them."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from tolman.agents.agent import Array
from tolman.agents.greedy import greedy
from tolman.launchers.evaluation.episodes import (
    Episodes,
    check_num_episodes,
    environment_seed,
    evaluation_key,
    play_episodes_of,
)
from tolman.launchers.film.camera import FilmedSource, nothing_to_see, observed_picture
from tolman.launchers.film.writer import Film, check_film
from tolman.launchers.runs.failures import explained
from tolman.launchers.runs.folder import LOG, open_run
from tolman.launchers.runs.job import Job
from tolman.launchers.runs.restore import (
    Restored,
    named_checkpoint,
    restore,
    stored_job,
)


class Played(NamedTuple):
    """What was played.

    Attributes:
      film: the mp4 file.
      env_steps: of the checkpoint.
      returns: of the episodes, in order.
      lengths: of the episodes, decisions.
    """

    film: Path
    env_steps: int
    returns: list[float]
    lengths: list[int]


def _check_acts(run: Path, job: Job) -> None:
    """Raises ValueError, with what can be done in its place, unless the agent acts."""
    if job.kind != "acts":
        game = f"tolman play {job.config.env} --protocol gtp --player {run}@last"
        instead = (
            f"Play against it: {game}" if job.kind == "plays" else f"tolman eval {run}"
        )
        raise ValueError(
            f"{run}: agent {job.config.agent!r} does not act in an environment, and cannot "
            f"be filmed. {instead}"
        )


def play(
    run: Path | str,
    checkpoint: int | None = None,
    trust: bool = False,
    greedily: bool = False,
    num_episodes: int = 1,
    seed: int = 0,
    out: Path | None = None,
    fps: float | None = None,
) -> Played:
    """Plays episodes on one environment and films them, one picture a row.

    The agent acts by the code of training and evaluation. The environment has its
    settings for evaluation; see `resolve`. On-device, memory starts empty in
    each episode, as in `evaluate`; on the host it is wiped where the environment says so.

    Args:
      run: the run folder, or RUN@best; see `named_checkpoint`.
      checkpoint: env steps of the one to take; None for the last that is sound.
      trust: whether the run's config may name any code; see `catalog.trust`.
      greedily: as in `evaluate`.
      num_episodes: at least 1.
      seed: of the episodes, independent of the run's.
      out: the mp4 file; None for `videos/<env_steps>_s<seed>.mp4` in the run folder.
      fps: pictures a second; None for the environment's own speed, or 15.

    Raises:
      FileNotFoundError: if there is no such run or checkpoint.
      ValueError: for a number outside its range, a file that cannot be written, if no
        checkpoint is sound, or if there is nothing to see.
      EnvironmentFault: if the environment breaks down.
    """
    check_num_episodes(num_episodes, 1)
    run, checkpoint = named_checkpoint(Path(run), checkpoint)
    key, videos = evaluation_key(seed), open_run(run).videos
    # Refused before the parameters are restored, which takes seconds.
    check_film(out or videos / "film.mp4", fps)
    job = stored_job(run, environment_seed(key), trust)
    _check_acts(run, job)
    is_on_device = job.config.launcher == "on-device"
    if not is_on_device:
        filmed: Any = FilmedSource(
            job.source, environment_seed(key), num_episodes, job.config.env_timeout
        )
        job = replace(job, source=filmed)
    with contextlib.closing(job.source), explained(run / LOG):
        restored = restore(run, checkpoint, job)
        if greedily:
            restored = restored._replace(agent=greedy(restored.agent))
        path = out or videos / f"{restored.env_steps}_s{seed}.mp4"
        with Film(path, fps) as film:
            play_on = _on_device if is_on_device else _on_host
            played = play_on(restored, key, num_episodes, film)
    returns, lengths = played.returns.tolist(), played.lengths.tolist()
    return Played(path, restored.env_steps, returns, lengths)


def _on_device(restored: Restored, key: Array, num_episodes: int, film: Film) -> Episodes:
    job, agent, params, *_ = restored
    picture = observed_picture(job.source.observation_spec())
    if picture is None:
        raise nothing_to_see(job.config.env)
    played = play_episodes_of(job, agent, params, key, num_episodes)
    pictures = picture(played.trajectory.timestep.observation)  # [T + 1, 1, E, H, W, 3]
    for episode, length in enumerate(played.lengths):
        for row in pictures[: length + 1, 0, episode]:
            film.add(row)
    return played


def _on_host(restored: Restored, key: Array, num_episodes: int, film: Film) -> Episodes:
    job, agent, params, *_ = restored
    vector = job.source.roll(film)
    return play_episodes_of(job, agent, params, key, num_episodes, vector)
