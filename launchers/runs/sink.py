"""Where a training leaves what it makes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tolman.launchers.runs.folder import RunFolder
from tolman.launchers.runs.loggers import Logger
from tolman.launchers.runs.protocol import Runner, State


@dataclass(frozen=True)
class Sink:
    """Where a training leaves what it makes: a run's folder, or that of a study's stage.

    Attributes:
      folder: for everything; this process holds it.
      num_checkpoints_to_keep: the latest ones.
      make_loggers: opens what takes the rows, given the units that are done.
      how_to_go_on: what to do after an interruption, in words.
      advice: about losses that are not finite, in words.
      about: what every checkpoint's metadata holds beside the loop's own, JSON values.
      keeps_replay: whether checkpoints hold what is in the replay.
    """

    folder: RunFolder
    num_checkpoints_to_keep: int
    make_loggers: Callable[[int], list[Logger]]
    how_to_go_on: str
    advice: str = ""
    about: Mapping[str, Any] = field(default_factory=dict)
    keeps_replay: bool = True

    def saved(self, runner: Runner, state: State) -> State:
        """What a checkpoint holds of a state."""
        return state if self.keeps_replay else runner.without_replay(state)
