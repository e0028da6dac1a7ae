"""Ids under which other packages know their environments, and what makes these."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

GYMNASIUM_ID = re.compile(r"([\w.-]+[:/])?[A-Za-z][\w-]*-v\d+")
# How each kind of id is spelled, for `tolman list envs`.
SPELLINGS = {
    "ALE/GAME-v5": "Atari 2600 games of ale-py, such as ALE/MsPacman-v5",
    "bsuite/TASK/N": "tasks of the Behaviour Suite, such as bsuite/memory_len/0",
    "NAME-vN": "whatever Gymnasium has registered, such as CartPole-v1",
    "package:NAME-vN": "the same, registered by importing a package",
}


@dataclass(frozen=True)
class HostFactory:
    """Makes the environment of one id.

    Attributes:
      name: the id.
      settings: the dataclass that `make` takes.
      make: takes the id, settings and a seed; returns a dm_env or Gymnasium environment.
      make_vector: takes the id, settings, a number of copies and a seed; None where
        copies are to be stepped in turn.
    """

    name: str
    settings: type
    make: Callable[[str, Any, int], Any]
    make_vector: Callable[[str, Any, int, int], Any] | None = None

    def __call__(self, settings: Any, seed: int = 0) -> Any:
        return self.make(self.name, settings, seed)


def find_host_factory(name: str) -> HostFactory | None:
    """The factory of an id that another package knows; None if `name` is not like one.

    Raises:
      ValueError: if it is like one, and that package does not know it.
    """
    if name.startswith("ALE/"):
        from tolman.envs import atari

        atari.check_atari_id(name)
        return HostFactory(
            name, atari.AtariSettings, atari.AtariEnvironment, atari.AtariVector
        )
    if name.startswith("bsuite/"):
        from tolman.envs.bsuite_ids import BsuiteSettings, check_bsuite_id, make_bsuite

        check_bsuite_id(name)
        return HostFactory(name, BsuiteSettings, make_bsuite)
    if GYMNASIUM_ID.fullmatch(name):
        from tolman.envs.gymnasium_ids import (
            GymnasiumSettings,
            check_gymnasium_id,
            make_gymnasium,
        )

        check_gymnasium_id(name)
        return HostFactory(name, GymnasiumSettings, make_gymnasium)
    return None
