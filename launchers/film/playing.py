"""Plays episodes of a run to be watched, and films them."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import NamedTuple

from tolman.agents.agent import Array
from tolman.envs.serial_vector import SerialVector
from tolman.launchers.catalog import names
from tolman.launchers.device.episodes import play_episodes
from tolman.launchers.device.on_device import OnDeviceRunner
from tolman.launchers.evaluation.evaluate import environment_seed, evaluation_key
from tolman.launchers.film.camera import (
    Camera,
    make_drawing,
    nothing_to_see,
    observed_picture,
)
from tolman.launchers.film.writer import Film, check_film
from tolman.launchers.runs.folder import open_run
from tolman.launchers.runs.restore import Restored, restore


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


def play(
    run: Path,
    num_episodes: int = 1,
    seed: int = 0,
    checkpoint: int | None = None,
    out: Path | None = None,
    fps: float | None = None,
) -> Played:
    """Plays episodes on one environment and films them, one picture a row.

    The agent acts by the code of training and evaluation. The environment has its
    settings for evaluation; see `evaluation_settings`. On-device, memory starts empty in
    each episode, as in `evaluate`; on the host it is wiped where the environment says so.

    Args:
      run: the run folder.
      num_episodes: at least 1.
      seed: of the episodes, independent of the run's.
      checkpoint: env steps of the one to take; None for the last that is sound.
      out: the mp4 file; None for `videos/<env_steps>_s<seed>.mp4` in the run folder.
      fps: pictures a second; None for the environment's own speed, or 15.

    Raises:
      FileNotFoundError: if there is no such run or checkpoint.
      ValueError: for a number outside its range, a file that cannot be written, if no
        checkpoint is sound, or if there is nothing to see.
      EnvironmentFault: if the environment breaks down.
    """
    if num_episodes < 1:
        raise ValueError(
            f"num_episodes={num_episodes}: must be at least 1. Set --num-episodes."
        )
    key, videos = evaluation_key(seed), open_run(run).videos
    # Refused before the parameters are restored, which takes seconds.
    check_film(out or videos / "film.mp4", fps)
    restored = restore(run, checkpoint)
    path = out or videos / f"{restored.env_steps}_s{seed}.mp4"
    play_on = _on_device if isinstance(restored.runner, OnDeviceRunner) else _on_host
    with Film(path, fps) as film:
        returns, lengths = play_on(restored, key, num_episodes, film)
    return Played(path, restored.env_steps, returns, lengths)


def _on_device(
    restored: Restored, key: Array, num_episodes: int, film: Film
) -> tuple[list[float], list[int]]:
    config = restored.config
    environment = names.make_environment(config.env, config.env_config)
    picture = observed_picture(environment.observation_spec())
    if picture is None:
        raise nothing_to_see(config.env)
    agent, params = restored.runner.agent, restored.params
    played = play_episodes(agent, environment, params, key, num_episodes)
    pictures = picture(played.timestep.observation)  # [T + 1, 1, E, H, W, 3]
    lengths = played.episode_length[0].tolist()
    for episode, length in enumerate(lengths):
        for row in pictures[: length + 1, 0, episode]:
            film.add(row)
    return played.episode_return[0].tolist(), lengths


def _on_host(
    restored: Restored, key: Array, num_episodes: int, film: Film
) -> tuple[list[float], list[int]]:
    from tolman.launchers.host.evaluation import play_host_episodes

    config = restored.config

    def make(seed: int) -> Camera:
        environment = make_drawing(config.env, config.env_config, seed)
        return Camera(config.env, environment, film, num_episodes)

    vector = SerialVector(
        make,
        num_envs=1,
        seed=environment_seed(key),
        name=config.env,
        timeout_seconds=config.env_timeout,
    )
    agent, params = restored.runner.agent, restored.params
    with contextlib.closing(vector):
        episodes = play_host_episodes(agent, vector, params, key, num_episodes)
    _, returns, lengths = zip(*episodes, strict=True)
    return list(returns), list(lengths)
