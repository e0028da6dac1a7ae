"""How much an engine may think."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field
from typing import Annotated

from annotated_types import Gt, Interval


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
