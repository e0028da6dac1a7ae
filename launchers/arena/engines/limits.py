"""How much an engine may think."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Any

from annotated_types import Gt, Interval

from tolman.launchers.arena.player import split_keys
from tolman.launchers.settings.bounds import check_settings

LIMITS: dict[str, tuple[str, Callable[[str], Any]]] = {
    "nodes": ("nodes", int),
    "depth": ("depth", int),
    "seconds": ("seconds", float),
    "timeout": ("timeout_seconds", float),
}


@dataclass(frozen=True)
class Limits:
    """Of one move. Nodes make a match repeatable; seconds depend on the machine.

    Attributes:
      nodes: positions that it may look at; None for no such limit. GTP knows none.
      depth: in plies; None for no such limit.
      seconds: of thought; None for no such limit.
      timeout_seconds: after which an engine counts as hung; it is killed, and the game
        lost.
    """

    nodes: Annotated[int, Gt(0)] | None = None
    depth: Annotated[int, Gt(0)] | None = None
    seconds: Annotated[float, Gt(0)] | None = None
    timeout_seconds: Annotated[float, Interval(gt=0, le=1e9)] = 60.0


@dataclass(frozen=True)
class EngineSettings:
    """What engines of every protocol are told.

    Attributes:
      command: the program and its words, as in a shell.
      name: in tables and records.
      limits: of one move.
      options: of the engine, by name, as its protocol sets them.
    """

    command: str
    name: str
    limits: Limits = field(default_factory=Limits)
    options: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        try:
            words = shlex.split(self.command)
        except ValueError as error:
            raise ValueError(
                f"player {self.name!r}: {error}. Write the command as in a shell, each "
                "quote twice."
            ) from None
        if not words:
            raise ValueError(f"player {self.name!r}: must name a program after the colon.")


def engine_settings(spec: str, rest: str) -> EngineSettings:
    """Reads `uci:COMMAND?KEY=VALUE&...`, of any protocol.

    Raises:
      ValueError: for no command, an unknown key or a value that does not fit.
    """
    command, keys = split_keys(spec, rest)
    limits: dict[str, Any] = {}
    options: dict[str, str] = {}
    name = spec
    for key, value in keys.items():
        if key in LIMITS:
            setting, read = LIMITS[key]
            try:
                limits[setting] = read(value)
            except ValueError:
                raise ValueError(f"player {spec!r}: {key}={value} is no number.") from None
        elif key.startswith("option."):
            options[key.removeprefix("option.")] = value
        elif key == "name":
            name = value
        else:
            raise ValueError(
                f"player {spec!r}: key {key!r} is unknown: must be one of "
                f"{', '.join(LIMITS)}, name or option.NAME."
            )
    settings = EngineSettings(command, name, Limits(**limits), options)
    try:
        check_settings(settings.limits)
    except ValueError as error:
        told = str(error).partition(" Set ")[0]
        raise ValueError(f"player {spec!r}: {told}") from None
    return settings
