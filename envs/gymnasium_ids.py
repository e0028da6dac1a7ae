"""Environments by their Gymnasium ids, such as `CartPole-v1` or `my_package:Mine-v0`."""

from __future__ import annotations

import difflib
import importlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any

from annotated_types import Ge

from tolman.envs.families import Family, register_family


@dataclass(frozen=True)
class GymnasiumSettings:
    """What `gymnasium.make` is called with.

    Attributes:
      max_episode_steps: after which an episode is truncated; None for the id's own
        limit.
      keywords: of the environment itself, as a JSON object: {"sutton_barto_reward": true}.
      reset_options: the `options` of every `reset`, as a JSON object.
      log_info: names of numbers in the last `info` of an episode that become metrics,
        beside `is_success` and `episode`.
      use_action_mask: only take actions that `info["action_mask"]` tells to be legal, as
        Taxi-v4 does.
    """

    max_episode_steps: Annotated[int, Ge(1)] | None = None
    keywords: str = "{}"
    reset_options: str = "{}"
    log_info: tuple[str, ...] = ()
    use_action_mask: bool = False

    def setting_problems(self) -> Iterator[tuple[str, str]]:
        self.parsed_keywords()
        self.parsed_reset_options()
        yield from ()

    def parsed_keywords(self) -> dict[str, Any]:
        """`keywords` as a dictionary."""
        return _parse_object("keywords", self.keywords)

    def parsed_reset_options(self) -> dict[str, Any]:
        """`reset_options` as a dictionary."""
        return _parse_object("reset_options", self.reset_options)


def _parse_object(name: str, text: str) -> dict[str, Any]:
    try:
        parsed = json.loads(text)
    except json.JSONDecodeError:
        parsed = None
    if not isinstance(parsed, dict):
        raise ValueError(
            f'{name}={text!r}: must be a JSON object, such as {{"size": 3}}. '
            f"Set --env.{name.replace('_', '-')}."
        )
    return parsed


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
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
            raise ValueError(
                f"env {name!r}: importing {package} failed ({reason}). Run from the folder "
                "that holds it, or install it."
            ) from error
    if gymnasium_id not in gymnasium.registry:
        close = difflib.get_close_matches(gymnasium_id, list(gymnasium.registry), n=1)
        hint = f" (did you mean {close[0]!r}?)" if close else ""
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
    )
)
