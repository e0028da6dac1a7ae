"""Where unrolls wait until they are learned from, as the local runner sees it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import jax
import numpy as np

from tolman.agents.agent import DataSpec
from tolman.launchers.host.writer import UnrollWriter

QUEUED_BATCHES = 2  # A queue holds so many batches before it makes actors wait.
SLACK_BATCHES = 1  # How far samples may run from inserts * samples_per_insert.


class Batch(NamedTuple):
    """I items.

    Attributes:
      items: `[I, ...]` columns where the learner's device reads them: on it, or, for a CPU,
        in memory that is not written to again; see `ItemLayout.columns`.
      probability: `[I]` of each item in its table, likewise.
      keys: `[I]` uint64 on the host, the items' names in their table.
      versions: `[I]` on the host, updates behind the parameters that acted.
      shard: which server they came from.
    """

    items: Any
    probability: jax.Array | np.ndarray
    keys: np.ndarray
    versions: np.ndarray
    shard: int = 0


class Limits(NamedTuple):
    """How many items a replay keeps, and how often they are drawn.

    Attributes:
      capacity: items kept.
      min_size: items kept before the first is drawn.
      samples_per_insert: draws that an item allows.
      slack: draws by which the sum of them may differ from what the items allow.
    """

    capacity: int
    min_size: int
    samples_per_insert: float
    slack: float


def limits_of(data: DataSpec, num_items: int, share: int = 1) -> Limits:
    """What an agent asks for; of a queue, only the capacity matters.

    Args:
      data: what the agent asks for.
      num_items: I, in a batch.
      share: the number of replays that share out the data between them.
    """
    if data.replay == "queue":
        return Limits(max(num_items // share, 1) * QUEUED_BATCHES, 1, 1.0, 0.0)
    min_size = max(data.min_size // share, 1)
    slack = SLACK_BATCHES * data.batch_size * max(1.0, data.samples_per_insert)
    capacity = max(data.capacity // share, min_size)
    return Limits(capacity, min_size, data.samples_per_insert, slack)


class Replay(Protocol):
    """Holds the items of one process, for one learner and any number of writers."""

    def writer(self, num_envs: int, new_priority: Callable[[], float]) -> UnrollWriter:
        """What writes the unrolls of E environments; `new_priority` tells a new item's."""
        ...

    def next(self, seconds: float) -> Batch | None:
        """The next batch, on the learner's device; None where none came in time."""
        ...

    def set_priorities(self, batch: Batch, priorities: np.ndarray) -> None:
        """Sets those of a batch's items, `[I]`, above 0; of those still there."""
        ...

    def num_items(self) -> int:
        """Items that can be drawn now."""
        ...

    def examples(self, number: int) -> Any:
        """The columns of so many items, which count as no draws; one must be there.

        A task's Fisher is taken of such. Reverb's are all as likely, those in memory as
        they are for batches.
        """
        ...

    def save(self, folder: Path) -> None:
        """Saves the content in a new folder, flushed to disk, whole or not at all.

        Raises:
          OSError: if there is no space for it.
        """
        ...

    def release(self) -> None:
        """Has no writer wait for room any more: what it writes from now on is dropped.

        A writer that is made later waits again.
        """
        ...

    def close(self) -> None:
        """Frees what it holds; the writers must be closed."""
        ...
