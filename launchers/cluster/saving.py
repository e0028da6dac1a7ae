"""Replays save what they hold into a checkpoint."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ray.exceptions import RayActorError, RayTaskError

from tolman.envs.places import summary
from tolman.launchers.cluster.supervisor import MAX_DEATHS_IN_A_ROW, Process
from tolman.launchers.host.saved_replay import replay_folder
from tolman.launchers.runs.failures import ProcessFailure


def save_all(
    replays: Sequence[Process],
    folder: Path,
    wait: Callable[[], None],
    finish: Callable[[Any], Any],
) -> None:
    """Has every replay save what it holds in the folder of an unfinished checkpoint.

    One that dies meanwhile is restarted, and saves what it has then.

    Args:
      replays: their processes.
      folder: of the checkpoint.
      wait: returns once all of them answer.
      finish: returns the result of a request.

    Raises:
      ProcessFailure: where one dies again and again.
    """
    left, num_deaths = list(replays), 0
    while left:
        wait()
        asked = []
        for process in left:
            target = replay_folder(folder.absolute(), process.index)
            request = process.handle.save.remote(target)
            asked.append((process, process.handle, request))
        for process, handle, request in asked:
            try:
                finish(request)
                left.remove(process)
            except RayActorError as error:
                num_deaths += 1
                if process.handle is handle:
                    process.die(error)
                if num_deaths >= MAX_DEATHS_IN_A_ROW:
                    raise ProcessFailure(
                        f"{process.name} died while it saved its content: {summary(error)}"
                    ) from error
            except RayTaskError as error:
                raise error.cause from None
