"""Batches from Reverb, where the learner's device reads them before it asks for them."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
import reverb
import tensorflow as tf

from tolman.agents.agent import DataSpec
from tolman.launchers.host.layout import TABLE
from tolman.launchers.host.replay import Batch

SECONDS_TO_WAIT = 0.5
SECONDS_A_REQUEST = 2.0  # Reverb says a line on standard error when one times out.
SECONDS_TO_ANSWER = 10  # A number of whole ones.
NUM_READERS = 2  # Requests to a replay under way at a time.


def make_dataset(
    address: str,
    num_items: int,
    in_order: bool,
    is_over: tf.Variable,
    table: str = TABLE,
    pick: Callable[[Any], Any] | None = None,
) -> tf.data.Dataset:
    """Batches of a server's table, until `is_over` is true.

    Acme's own dataset would wait for data forever, also after the server has stopped;
    this one checks `is_over` after each request that times out.

    Args:
      address: of the server.
      num_items: in a batch.
      in_order: one request at a time; else several, and a batch ready in advance. What is
        read ahead of the learner, some six batches, counts as drawn.
      is_over: ends the batches once the request under way has ended.
      table: of that server.
      pick: takes a part of each sample, so that all are of one shape.
    """

    def samples(_: Any) -> tf.data.Dataset:
        samples = reverb.TrajectoryDataset.from_table_signature(
            server_address=address,
            table=table,
            max_in_flight_samples_per_worker=1 if in_order else num_items,
            num_workers_per_iterator=1 if in_order else NUM_READERS,
            rate_limiter_timeout_ms=int(1000 * SECONDS_A_REQUEST),
        )
        return samples if pick is None else samples.map(pick)

    # A request that times out ends its samples; the next one takes its place.
    requests = tf.data.Dataset.range(tf.int64.max).take_while(
        lambda _: tf.logical_not(is_over)
    )
    batches = requests.flat_map(samples).batch(num_items, drop_remainder=True)
    return batches if in_order else batches.prefetch(1)


def draw_examples(
    clients: Sequence[reverb.Client], table: str, number: int, least: int = 1
) -> Any:
    """Columns of so many items of a table that servers share out, all as likely.

    Args:
      clients: of the servers.
      table: that may be drawn from without limit, such as `make_examples_table` makes.
      number: of items.
      least: items that there must be.

    Returns:
      `[number, ...]` of each column; None where there are fewer than `least`.

    Raises:
      Exception: whatever Reverb makes of a server that is gone.
    """
    ends = np.cumsum([0] + [_size_of(client, table) for client in clients])
    if ends[-1] < least:
        return None
    counts = np.diff(ends * number // ends[-1]).tolist()
    drawn: list[Any] = []
    for client, count in zip(clients, counts, strict=True):
        if count:
            drawn += client.sample(
                table, count, emit_timesteps=False, unpack_as_table_signature=True
            )
    return jax.tree.map(lambda *leaves: np.stack(leaves), *(one.data for one in drawn))


def _size_of(client: reverb.Client, table: str) -> int:
    return client.server_info(SECONDS_TO_ANSWER)[table].current_size


class Batches:
    """Reads batches in a thread of its own and puts them where the device reads them.

    A queue is read in its order, with one request under way at a time. Where several
    servers share out the data they are read in turn.
    """

    def __init__(
        self,
        addresses: Sequence[str],
        data: DataSpec,
        layout: Any,
        device: jax.Device,
        num_prefetched: int = 2,
        table: str | None = None,
    ) -> None:
        """Starts to read.

        Args:
          addresses: of the servers.
          data: what the agent asks for.
          layout: of the items, such as an `ItemLayout`.
          device: the learner's.
          num_prefetched: batches that wait on the device.
          table: that is read; None for the layout's.
        """
        self._device, self._layout = device, layout
        self._is_closed = threading.Event()
        self._is_over = tf.Variable(False)
        is_queue = data.replay == "queue"
        self._datasets = [
            iter(
                make_dataset(
                    address,
                    layout.num_items,
                    is_queue,
                    self._is_over,
                    layout.table if table is None else table,
                    layout.pick,
                )
            )
            for address in addresses
        ]
        self._ready: queue.Queue[Batch | Exception] = queue.Queue(num_prefetched)
        self._thread = threading.Thread(target=self._read, name="batches", daemon=True)
        self._thread.start()

    def next(self, seconds: float = SECONDS_TO_WAIT) -> Batch | None:
        """The next batch, or None where none came in time.

        Raises:
          tf.errors.OpError: if a server is gone.
          Exception: what else ended the reading.
        """
        try:
            batch = self._ready.get(timeout=seconds)
        except queue.Empty:
            return None
        if isinstance(batch, Exception):
            raise batch
        return batch

    def close(self) -> None:
        """Reads no more; call it before the servers stop, or a request would never end."""
        self._is_closed.set()
        self._is_over.assign(True)
        while not self._ready.empty():
            self._ready.get_nowait()
        self._thread.join(timeout=2 * SECONDS_A_REQUEST)

    def _read(self) -> None:
        try:
            while not self._is_closed.is_set():
                for shard, dataset in enumerate(self._datasets):
                    self._put(self._load(next(dataset), shard))
        except Exception as error:  # `next` raises it.
            self._put(error)

    def _load(self, sample: Any, shard: int) -> Batch:
        data = jax.tree.map(np.asarray, sample.data)
        versions = self._layout.versions(data)
        probability = np.asarray(sample.info.probability, np.float32)
        if self._device.platform != "cpu":  # There, a compiled update reads them in place.
            data, probability = jax.device_put((data, probability), self._device)
        return Batch(data, probability, np.asarray(sample.info.key), versions, shard)

    def _put(self, batch: Batch | Exception) -> None:
        while not self._is_closed.is_set():
            try:
                return self._ready.put(batch, timeout=SECONDS_TO_WAIT)
            except queue.Full:
                continue
