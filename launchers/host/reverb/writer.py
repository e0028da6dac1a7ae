"""Streams of packed rows to a Reverb server.

Shapes: S streams, N bytes a row, M bytes a state.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import reverb

from tolman.agents.agent import DataSpec
from tolman.launchers.host.layout import TABLE

MILLISECONDS_A_WAIT = 500
ITEMS_IN_FLIGHT = 2  # Of each writer to a replay; nobody waits for them.


class Flag(Protocol):
    """An event, or what stands in for one."""

    def is_set(self) -> bool: ...


class RowWriter:
    """A stream of rows to one server, and items made of its last rows.

    Attributes:
      history: by column, the rows that an item can be made of.
    """

    def __init__(
        self,
        address: str,
        max_rows: int,
        is_over: Flag,
        items_in_flight: int = 0,
    ) -> None:
        """Connects.

        Args:
          address: of the server.
          max_rows: of an item.
          is_over: once set, no item waits for room in its table.
          items_in_flight: that may be on their way when `write` returns.
        """
        self._writer = reverb.Client(address).trajectory_writer(max_rows)
        self._is_over = is_over
        self._items_in_flight = items_in_flight

    @property
    def history(self) -> Any:
        return self._writer.history

    def append(self, row: dict[str, np.ndarray]) -> None:
        """Adds a row; it may lack columns."""
        self._writer.append(row)

    def write(self, table: str, priority: float, item: Any) -> None:
        """Inserts an item of slices of `history`; waits while the table is full."""
        self._writer.create_item(table, priority, item)
        while not self._is_over.is_set():
            try:
                return self._writer.flush(self._items_in_flight, MILLISECONDS_A_WAIT)
            except reverb.DeadlineExceededError:
                continue

    def end_sequence(self) -> None:
        """Lets go of the rows written so far."""
        self._writer.end_episode(True, MILLISECONDS_A_WAIT)

    def close(self) -> None:
        """Sends what is on its way, if it finds room at once, and ends the connection.

        Reverb may keep the last items of a writer until it is told to send all.
        """
        if not self._is_over.is_set():
            # A RuntimeError tells that it is closed already.
            with contextlib.suppress(reverb.ReverbError, RuntimeError):
                self._writer.flush(0, MILLISECONDS_A_WAIT)
        self._writer.close()


class ReverbStreams:
    """S streams of an actor's rows to one server; see `host.writer.Streams`.

    A complete item of a queue is in its table when `write_items` returns; those of a
    replay may be on their way.
    """

    def __init__(
        self,
        address: str,
        data: DataSpec,
        num_streams: int,
        is_over: Flag,
        tables: Sequence[str] = (TABLE,),
    ) -> None:
        """Connects.

        Args:
          address: of the server.
          data: what the agent asks for.
          num_streams: S.
          is_over: once set, no item waits for room in its table.
          tables: each item goes into all of these.
        """
        self._tables = tables
        self._num_rows = data.unroll_length + 1
        in_flight = 0 if data.replay == "queue" else ITEMS_IN_FLIGHT
        self._writers = [
            RowWriter(address, self._num_rows, is_over, in_flight)
            for _ in range(num_streams)
        ]

    def append(self, rows: np.ndarray, states: np.ndarray | None) -> None:
        for index, writer in enumerate(self._writers):
            columns = {"row": rows[index]}
            if states is not None:
                columns["actor_state"] = states[index]
            writer.append(columns)

    def write_items(self, priority: float) -> None:
        for writer in self._writers:
            history = writer.history
            item = {
                "row": history["row"][-self._num_rows :],
                "actor_state": history["actor_state"][-self._num_rows],
            }
            for table in self._tables:
                writer.write(table, priority, item)

    def close(self) -> None:
        for writer in self._writers:
            writer.close()
