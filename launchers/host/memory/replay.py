"""A replay in the memory of this process: what a Reverb table of the same data would do.

Shapes: S streams of an actor, T + 1 rows an item, I items a batch, N bytes a row.
"""

from __future__ import annotations

import json
import shutil
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

from tolman.agents.agent import DataSpec
from tolman.launchers.host.layout import ItemLayout
from tolman.launchers.host.memory.items import Items
from tolman.launchers.host.memory.limiter import RateLimiter
from tolman.launchers.host.memory.rows import RowRing
from tolman.launchers.host.memory.size import sizes_of
from tolman.launchers.host.replay import Batch, limits_of
from tolman.launchers.host.saved_replay import seal
from tolman.launchers.host.writer import UnrollWriter
from tolman.launchers.runs.checkpoints import EMPTY_REPLAY, save_arrays

ROWS, STATES, ITEMS, COUNTS = "rows.npy", "states.npy", "items.npz", "counts.json"


class MemoryReplay:
    """See `host.replay.Replay`.

    A row is stored once, in a ring, and an item holds the places of its rows. One lock
    guards it all; a batch is a copy, made by the thread that learns.
    """

    def __init__(
        self,
        data: DataSpec,
        layout: ItemLayout,
        num_streams: int,
        seed: int = 0,
        saved: Path | None = None,
    ) -> None:
        """Takes the memory.

        Args:
          data: what the agent asks for.
          layout: of the items.
          num_streams: S, of all writers together.
          seed: of the draws.
          saved: what `save` wrote, to start with; None to start empty.

        Raises:
          ValueError: if `saved` holds something else.
        """
        self._data, self._layout = data, layout
        sizes = sizes_of(data, layout, num_streams)
        self.rows = RowRing(sizes.rows, layout.row.num_bytes)
        self.states = RowRing(sizes.states, layout.actor_state.num_bytes)
        self.items = Items(data, sizes.items)
        self.limiter = RateLimiter(limits_of(data, layout.num_items))
        self.changed = threading.Condition()
        self.is_released = False
        self._is_queue = data.replay == "queue"
        self._random = np.random.default_rng(seed)
        if saved is not None:
            self._load(saved)

    def writer(self, num_envs: int, new_priority: Callable[[], float]) -> UnrollWriter:
        with self.changed:
            self.is_released = False
        streams = MemoryStreams(self, self._data.unroll_length)
        return UnrollWriter(self._data, self._layout, num_envs, streams, new_priority)

    def next(self, seconds: float) -> Batch | None:
        number = self._layout.num_items
        with self.changed:
            if not self.changed.wait_for(lambda: self._may_draw(number), seconds):
                return None
            keys, probability = self.items.draw(number, self._random)
            items = self._read(keys)
            self.limiter.num_drawn += number
            if self._is_queue:
                self.items.drop(int(keys[-1]) + 1)
            self.changed.notify_all()
        versions = self._layout.versions(items)
        probability = probability.astype(np.float32)
        device = jax.devices()[0]
        if device.platform != "cpu":  # There, a compiled update reads them in place.
            items, probability = jax.device_put((items, probability), device)
        return Batch(items, probability, keys.astype(np.uint64), versions)

    def set_priorities(self, batch: Batch, priorities: np.ndarray) -> None:
        with self.changed:
            self.items.set_priorities(batch.keys.astype(np.int64), priorities)

    def num_items(self) -> int:
        return len(self.items)

    def examples(self, number: int) -> Any:
        with self.changed:
            keys, _ = self.items.draw(number, self._random)
            return self._read(keys)

    def room(self) -> int:
        """How many items may be inserted now, up to C; the lock must be held."""
        size, capacity = len(self.items), self.items.capacity
        if self._is_queue:
            return capacity - size
        return min(self.limiter.inserts_allowed(size), capacity)

    def save(self, folder: Path) -> None:
        shutil.rmtree(folder, ignore_errors=True)  # Of one that died while it saved.
        folder.mkdir(parents=True)
        with self.changed:
            places = self.items.keys() % self.items.capacity
            first_rows, states = self.items.first_rows[places], self.items.states[places]
            first_row = int(first_rows.min(initial=self.rows.end))
            first_state = int(states.min(initial=self.states.end))
            self.rows.save(folder / ROWS, first_row)
            self.states.save(folder / STATES, first_state)
            rows = (self.items.rows[places] - first_row) % self.rows.size
            weights = self.items.weights
            columns = {
                "rows": rows,
                "states": states - first_state,
                "first_rows": first_rows - first_row,
                "weights": np.zeros(0) if weights is None else weights.get(places),
            }
            with (folder / ITEMS).open("wb") as file:
                save_arrays(file, columns)
            counts = {
                "first_key": self.items.first,
                "num_inserted": self.limiter.num_inserted,
                "num_drawn": self.limiter.num_drawn,
                "random": self._random.bit_generator.state,
            }
            (folder / COUNTS).write_text(json.dumps(counts))
        seal(folder)

    def release(self) -> None:
        with self.changed:
            self.is_released = True
            self.changed.notify_all()

    def close(self) -> None:
        """The memory goes with the last that holds it."""

    def _read(self, keys: np.ndarray) -> dict[str, np.ndarray]:
        """The columns of the items of these keys; the lock must be held."""
        places = keys % self.items.capacity
        return {
            "row": self.rows.read(self.items.rows[places]),
            "actor_state": self.states.read(self.items.states[places] % self.states.size),
        }

    def _may_draw(self, number: int) -> bool:
        if self._is_queue:
            return len(self.items) >= number
        return self.limiter.allows_draws(len(self.items), number)

    def _load(self, folder: Path) -> None:
        if not (folder / COUNTS).exists():
            raise ValueError(
                f"{folder}: was saved by --replay reverb, not memory; {EMPTY_REPLAY}"
            )
        rows_gone = self.rows.load(folder / ROWS)
        states_gone = self.states.load(folder / STATES)
        with np.load(folder / ITEMS) as columns:
            saved: dict[str, Any] = {name: columns[name] for name in columns}
        is_there = (saved["first_rows"] >= rows_gone) & (saved["states"] >= states_gone)
        kept = np.flatnonzero(is_there)[-self.items.capacity :]
        counts = json.loads((folder / COUNTS).read_text())
        self.items.first = self.items.end = counts["first_key"] + len(is_there) - len(kept)
        self.items.insert(
            (saved["rows"][kept] - rows_gone) % self.rows.size,
            saved["states"][kept] - states_gone,
            saved["first_rows"][kept] - rows_gone,
            saved["weights"][kept] if self.items.weights is not None else 0.0,
        )
        self.limiter.num_inserted = counts["num_inserted"]
        self.limiter.num_drawn = counts["num_drawn"]
        self._random.bit_generator.state = counts["random"]


class MemoryStreams:
    """S streams of an actor's rows to a `MemoryReplay`; see `host.writer.Streams`."""

    def __init__(self, replay: MemoryReplay, unroll_length: int) -> None:
        """Writes nothing yet."""
        self._replay = replay
        self._rows: deque[int] = deque(maxlen=unroll_length + 1)
        self._states: deque[int] = deque(maxlen=unroll_length + 1)
        self._num_streams = 0

    def append(self, rows: np.ndarray, states: np.ndarray | None) -> None:
        replay, self._num_streams = self._replay, len(rows)
        with replay.changed:
            self._rows.append(replay.rows.append(rows))
            # -1 where no item begins.
            self._states.append(-1 if states is None else replay.states.append(states))
            replay.items.drop_overwritten(replay.rows.first, replay.states.first)

    def write_items(self, priority: float) -> None:
        replay, streams = self._replay, np.arange(self._num_streams)
        rows = streams[:, None] + np.array(self._rows)  # [S, T + 1], their numbers.
        states = streams + self._states[0]
        with replay.changed:
            while len(streams) and not replay.is_released:
                some, streams = np.split(streams, [replay.room()])
                replay.items.insert(
                    rows[some] % replay.rows.size,
                    states[some],
                    rows[some, 0],
                    replay.items.weigh(priority),
                )
                replay.limiter.num_inserted += len(some)
                replay.changed.notify_all()
                if len(streams):
                    replay.changed.wait()

    def close(self) -> None:
        """The rows that are in no item go with the ring."""
