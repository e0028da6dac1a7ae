"""Environments by their Gymnasium ids, such as `CartPole-v1` or `my_package:Mine-v0`."""

from __future__ import annotations

import importlib
from typing import Any

from tolman.envs.families import Family, register_family, suggest_family
from tolman.envs.gymnasium_settings import GymnasiumSettings
from tolman.envs.gymnasium_vectors import gymnasium_vector_specs, make_gymnasium_vector
from tolman.envs.places import summary
from tolman.envs.spelling import suggest


def check_gymnasium_id(name: str) -> None:
    """Imports the package that `name` may begin with, and looks `name` up.

    Raises:
      ValueError: for an id that Gymnasium does not know then.
    """
    import gymnasium

    package, _, gymnasium_id = name.rpartition(":")
    if package:
        try:
            importlib.import_module(package)
        except Exception as error:
            reason = summary(error)
            raise ValueError(
                f"env {name!r}: importing {package} failed ({reason}). Run from the folder "
                "that holds it, or install it."
            ) from error
    if gymnasium_id not in gymnasium.registry:
        hint = suggest_family(name) or suggest(gymnasium_id, gymnasium.registry)
        raise ValueError(
            f"env {name!r}: Gymnasium knows no {gymnasium_id!r}{hint}. Where a package "
            "registers it on import, write package:NAME-v0."
        )


def make_gymnasium(name: str, settings: GymnasiumSettings, seed: int) -> Any:
    """Builds the `gymnasium.Env` of that id; its first reset is what seeds it, not this.

    Raises:
      ValueError: if Gymnasium does not make it from these settings.
    """
    import gymnasium

    options = settings.parsed_reset_options()
    try:
        environment = gymnasium.make(
            name,
            max_episode_steps=settings.max_episode_steps,
            **settings.parsed_keywords(),
        )
    except (gymnasium.error.Error, TypeError) as error:
        raise ValueError(" ".join(str(error).split())) from error
    if settings.use_action_mask:
        from tolman.envs.gymnasium_env import MaskedObservation

        environment = MaskedObservation(environment)
    if not options and not settings.log_info:
        return environment
    from tolman.envs.gymnasium_env import Configured

    return Configured(environment, options, settings.log_info)


register_family("[package:]NAME-vN")(
    Family(
        pattern=r"([\w.-]+[:/])?[A-Za-z][\w-]*-v\d+",
        summary="what Gymnasium has registered, or registers when the package is imported",
        settings=GymnasiumSettings,
        check=check_gymnasium_id,
        make=make_gymnasium,
        make_vector=make_gymnasium_vector,
        specs=gymnasium_vector_specs,
        is_vector=lambda settings: settings.vectorized,
        takes_the_rest=True,
    )
)
