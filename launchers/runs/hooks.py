"""What a user's own code is told of a training: `train(config, callbacks=[...])`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tolman.agents.agent import Params

HOOKS = ("on_row", "on_checkpoint", "on_episode")


class Moment(NamedTuple):
    """A training at one moment.

    Attributes:
      folder: of the run.
      units: done, of the runner's unit.
      updates: done.
      row: the latest row of metrics.
      params: returns the parameters as they are now.
      stop: ends the training cleanly at the end of this row: `stop("good enough")`.
    """

    folder: Path
    units: int
    updates: int
    row: Mapping[str, Any]
    params: Callable[[], Params]
    stop: Callable[[str], None]


class Callbacks:
    """Calls what objects have of `on_row`, `on_checkpoint` and `on_episode`.

    on_row(moment)                after each row of metrics was written
    on_checkpoint(moment, path)   after a checkpoint was saved
    on_episode(moment, episode)   before `on_row`, for each episode that has ended since
                                  the row before, an `Episode`; on the host only
    """

    def __init__(self, objects: Sequence[Any] = ()) -> None:
        """Checks the objects.

        Raises:
          ValueError: for one that has none of these methods.
        """
        self._objects = tuple(objects)
        self.reason = ""  # Why one of them asked to stop.
        for each in self._objects:
            if not any(callable(getattr(each, hook, None)) for hook in HOOKS):
                raise ValueError(
                    f"callback {each!r}: has none of the methods {', '.join(HOOKS)}. Give "
                    "it one."
                )

    def stop(self, reason: str = "a callback asked to") -> None:
        """Has the training end."""
        self.reason = reason or "a callback asked to"

    def want_episodes(self) -> bool:
        """Whether any of them has `on_episode`."""
        return any(hasattr(each, "on_episode") for each in self._objects)

    def call(self, hook: str, *arguments: Any) -> None:
        """Calls one of `HOOKS` of all objects that have it."""
        for each in self._objects:
            method = getattr(each, hook, None)
            if method is not None:
                method(*arguments)
