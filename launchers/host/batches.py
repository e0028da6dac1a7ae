"""Batches from Reverb, on the learner's device before it asks for them."""

from __future__ import annotations

import queue
import threading
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
import tensorflow as tf
from acme.datasets import reverb as acme_datasets

from tolman.agents.agent import DataSpec
from tolman.launchers.host.adder import TABLE
from tolman.launchers.host.replay import ItemLayout

SECONDS_BETWEEN_LOOKS = 0.5


class Batch(NamedTuple):
    """I items.

    Attributes:
      items: dict of `[I, ...]` leaves on the device; see `ItemLayout.signature`.
      probability: `[I]` of each item in its table, on the device.
      keys: `[I]` uint64 on the host, the items' names in their table.
      versions: `[I]` on the host, updates behind the parameters that acted.
      shard: which server they came from.
    """

    items: Any
    probability: jax.Array
    keys: np.ndarray
    versions: np.ndarray
    shard: int


class Batches:
    """Reads batches in a thread of its own and puts them on the device.

    A queue is read in its order, with one request under way at a time. Where several
    servers share out the data they are read in turn.
    """

    def __init__(
        self,
        addresses: Sequence[str],
        data: DataSpec,
        layout: ItemLayout,
        device: jax.Device,
        num_prefetched: int = 2,
    ) -> None:
        """Starts to read.

        Args:
          addresses: of the servers.
          data: what the agent asks for.
          layout: of the items.
          device: the learner's.
          num_prefetched: batches that wait on the device.
        """
        self._device = device
        is_queue = data.replay == "queue"
        self._datasets = [
            iter(
                acme_datasets.make_reverb_dataset(
                    address,
                    batch_size=layout.num_items,
                    prefetch_size=None if is_queue else 1,
                    table=TABLE,
                    num_parallel_calls=1 if is_queue else 2,
                    max_in_flight_samples_per_worker=(
                        layout.num_items if is_queue else 2 * layout.num_items
                    ),
                )
            )
            for address in addresses
        ]
        self._ready: queue.Queue[Batch | Exception] = queue.Queue(num_prefetched)
        self._is_closed = threading.Event()
        self._thread = threading.Thread(target=self._read, name="batches", daemon=True)
        self._thread.start()

    def next(self, seconds: float = SECONDS_BETWEEN_LOOKS) -> Batch | None:
        """The next batch, or None where none came in time.

        Raises:
          tf.errors.OpError: if a server is gone.
        """
        try:
            batch = self._ready.get(timeout=seconds)
        except queue.Empty:
            return None
        if isinstance(batch, Exception):
            raise batch
        return batch

    def close(self) -> None:
        """Reads no more; call it once the servers are stopped."""
        self._is_closed.set()
        while not self._ready.empty():
            self._ready.get_nowait()
        self._thread.join(timeout=5.0)

    def _read(self) -> None:
        try:
            while not self._is_closed.is_set():
                for shard, dataset in enumerate(self._datasets):
                    self._put(self._load(next(dataset), shard))
        except (tf.errors.OpError, StopIteration, RuntimeError) as error:
            self._put(error)

    def _load(self, sample: Any, shard: int) -> Batch:
        data = {
            name: jax.tree.map(np.asarray, value) for name, value in sample.data.items()
        }
        versions = data.pop("version")
        probability = np.asarray(sample.info.probability, np.float32)
        items, probability = jax.device_put((data, probability), self._device)
        return Batch(items, probability, np.asarray(sample.info.key), versions, shard)

    def _put(self, batch: Batch | Exception) -> None:
        while not self._is_closed.is_set():
            try:
                return self._ready.put(batch, timeout=SECONDS_BETWEEN_LOOKS)
            except queue.Full:
                continue
