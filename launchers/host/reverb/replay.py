"""A replay of Reverb's: a server in this process, its reader and its writers."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

from tolman.agents.agent import DataSpec
from tolman.launchers.host.layout import EXAMPLES, TABLE, ItemLayout
from tolman.launchers.host.replay import Batch
from tolman.launchers.host.reverb.batches import Batches, draw_examples
from tolman.launchers.host.reverb.server import (
    ReplayServer,
    make_examples_table,
    make_table,
)
from tolman.launchers.host.reverb.writer import ReverbStreams
from tolman.launchers.host.writer import UnrollWriter


class ReverbReplay:
    """See `host.replay.Replay`."""

    def __init__(
        self,
        data: DataSpec,
        layout: ItemLayout,
        scratch: Path,
        saved: Path | None,
        keeps_examples: bool = False,
    ) -> None:
        """Starts the server, and reads ahead of the learner.

        Args:
          data: what the agent asks for.
          layout: of the items.
          scratch: see `ReplayServer`.
          saved: what `save` wrote, to start with; None to start empty.
          keeps_examples: whether `examples` will be asked for; they take a table.
        """
        self._data, self._layout = data, layout
        self._is_over = threading.Event()
        is_queue = data.replay == "queue"
        tables = [make_table(data, layout)]
        self._tables = [TABLE]
        if keeps_examples and not is_queue:
            tables.append(make_examples_table(data, layout))
            self._tables.append(EXAMPLES)
        self.server = ReplayServer(tables, None if is_queue else scratch, saved)
        device = jax.devices()[0]
        self._batches = Batches([self.server.address], data, layout, device)
        self._client = self.server.client()

    def writer(self, num_envs: int, new_priority: Callable[[], float]) -> UnrollWriter:
        self._is_over.clear()
        address, number = self.server.address, num_envs // self._layout.group_size
        streams = ReverbStreams(address, self._data, number, self._is_over, self._tables)
        return UnrollWriter(self._data, self._layout, num_envs, streams, new_priority)

    def next(self, seconds: float) -> Batch | None:
        return self._batches.next(seconds)

    def set_priorities(self, batch: Batch, priorities: np.ndarray) -> None:
        keys = batch.keys.tolist()
        updates = dict(zip(keys, priorities.tolist(), strict=True))
        self._client.mutate_priorities(TABLE, updates=updates)

    def num_items(self) -> int:
        return self._client.server_info()[TABLE].current_size

    def examples(self, number: int) -> Any:
        return draw_examples([self._client], EXAMPLES, number)

    def save(self, folder: Path) -> None:
        self.server.save(folder)

    def release(self) -> None:
        self._is_over.set()

    def close(self) -> None:
        self._batches.close()
        self.server.stop()
