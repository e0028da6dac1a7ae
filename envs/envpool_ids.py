"""EnvPool's environments by their ids, such as `envpool/Pong-v5`."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any

import dm_env
import numpy as np
from annotated_types import Ge

from tolman.envs.families import Family, register_family
from tolman.envs.native_vector import FirstCopy, NativeVector, native_specs
from tolman.envs.settings import parse_object
from tolman.envs.spelling import require_package, suggest

PREFIX = "envpool/"


@dataclass(frozen=True)
class EnvPoolSettings:
    """What `envpool.make` is called with.

    Attributes:
      max_episode_steps: after which an episode is truncated; None for the id's own limit.
      num_threads: that step the copies; 0 for as many as there are cores.
      keywords: of the environment itself, as a JSON object: {"reward_clip": true}.
    """

    max_episode_steps: Annotated[int, Ge(1)] | None = None
    num_threads: Annotated[int, Ge(0)] = 0
    keywords: str = "{}"

    def setting_problems(self) -> Iterator[tuple[str, str]]:
        parse_object("keywords", self.keywords)
        yield from ()


def check_envpool_id(name: str) -> str:
    """What EnvPool calls an id: `Pong-v5` for `envpool/Pong-v5`.

    Raises:
      ValueError: for an id that EnvPool does not have, or if it is not installed.
    """
    require_package(name, "envpool")
    import envpool

    task, known = name.removeprefix(PREFIX), envpool.list_all_envs()
    if task not in known:
        hint = suggest(task, known, PREFIX)
        raise ValueError(
            f"env {name!r} is unknown{hint}: EnvPool has {len(known)} ids, spelled as "
            "envpool/Pong-v5."
        )
    return task


def make_envpool_vector(
    name: str, settings: EnvPoolSettings, num_envs: int, seed: int
) -> NativeVector:
    """Builds E copies; all chance in them comes from `seed`.

    Raises:
      ValueError: if EnvPool does not make them from these settings, or E is below 1.
    """
    if num_envs < 1:
        raise ValueError(f"num_envs={num_envs}: must be at least 1.")
    import envpool

    spec = _spec(name, settings)  # Names a keyword that there is not.
    seeds = np.random.SeedSequence(seed).generate_state(num_envs) >> 1
    environments = envpool.make(
        check_envpool_id(name),
        env_type="gymnasium",
        num_envs=num_envs,
        env_seed=seeds.tolist(),
        num_threads=settings.num_threads,
        **_keywords(settings),
    )
    return NativeVector(name, environments, spec, num_envs, seed=None, releases_gil=True)


def envpool_specs(name: str, settings: EnvPoolSettings) -> tuple[Any, Any]:
    """The specs of one copy; builds none. Raises as `make_envpool_vector`."""
    return native_specs(_spec(name, settings))


def _keywords(settings: EnvPoolSettings) -> dict[str, Any]:
    limit = settings.max_episode_steps
    limits = {} if limit is None else {"max_episode_steps": limit}
    return {**parse_object("keywords", settings.keywords), **limits}


def _spec(name: str, settings: EnvPoolSettings) -> tuple[Any, Any]:
    """The spaces of one observation and one action."""
    import envpool

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Of bounds that lose digits in float32.
        try:
            spec = envpool.make_spec(check_envpool_id(name), **_keywords(settings))
        except (AssertionError, TypeError, RuntimeError) as error:
            reason = " ".join(str(error).split()).removeprefix("Config.__new__() ")
            raise ValueError(f"env {name!r}: EnvPool: {reason or 'refused'}.") from error
        return spec.observation_space, spec.action_space


def _make_one(name: str, settings: EnvPoolSettings, seed: int) -> dm_env.Environment:
    return FirstCopy(make_envpool_vector(name, settings, 1, seed))


register_family("envpool/TASK-vN")(
    Family(
        pattern=f"{PREFIX}.*",
        summary="environments of EnvPool, stepped by its threads, such as envpool/Pong-v5",
        settings=EnvPoolSettings,
        check=check_envpool_id,
        make=_make_one,
        make_vector=make_envpool_vector,
        specs=envpool_specs,
        releases_gil=True,
    )
)
