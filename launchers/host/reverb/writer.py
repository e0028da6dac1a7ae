"""Writes packed rows to Reverb, and makes the items of them that agents learn from.

Shapes: T decisions an unroll, E environments of an actor, G of them in one item, N bytes.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
import reverb

from tolman.agents.agent import DataSpec, Decision
from tolman.envs.environment import TimeStep
from tolman.launchers.host.reverb import TABLE

if TYPE_CHECKING:
    from tolman.launchers.host.reverb.replay import ItemLayout

MILLISECONDS_A_WAIT = 500
ITEMS_IN_FLIGHT = 2  # Of each writer to a replay; nobody waits for them.


class RowWriter:
    """A stream of rows to one server, and items made of its last rows.

    Attributes:
      history: by column, the rows that an item can be made of.
    """

    def __init__(
        self,
        address: str,
        max_rows: int,
        is_over: threading.Event,
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
        """Drops the rows that are in no item, and ends the connection."""
        self._writer.close()


class UnrollWriter:
    """Writes what E environments live through as unrolls of T decisions and T + 1 rows.

    Items run on across the ends of episodes, and row T of one is row 0 of the next, as in
    `tolman.agents.agent.Unroll`. A row is stored with the decision that led to it; the
    actor's state is stored with the rows that open an item only.
    """

    def __init__(
        self,
        address: str,
        data: DataSpec,
        layout: ItemLayout,
        num_envs: int,
        is_over: threading.Event,
        new_priority: Callable[[], float] = lambda: 1.0,
    ) -> None:
        """Connects.

        Args:
          address: of the server.
          data: what the agent asks for. A complete item of a queue is in its table when
            `append` returns; those of a replay may be on their way.
          layout: of the items.
          num_envs: E.
          is_over: once set, no item waits for room in its table.
          new_priority: returns the priority of a new item.
        """
        self._layout = layout
        self._unroll_length = data.unroll_length
        self._period = data.period or data.unroll_length
        self._new_priority = new_priority
        self._num_decisions = -1
        in_flight = 0 if data.replay == "queue" else ITEMS_IN_FLIGHT
        self._writers = [
            RowWriter(address, data.unroll_length + 1, is_over, in_flight)
            for _ in range(num_envs // layout.group_size)
        ]

    def append(
        self, timestep: TimeStep, decision: Decision | None, version: int, actor_state: Any
    ) -> None:
        """Writes a row; makes items where one is complete.

        Args:
          timestep: `[E, ...]`, the row.
          decision: `[E, ...]`, that led to it; None for the first row.
          version: of the parameters that decided.
          actor_state: `[E, ...]` after it; fetched from the device where it is stored.
        """
        self._num_decisions += 1
        number, layout = len(self._writers), self._layout
        if decision is None:
            nothing = np.zeros((number, layout.row.num_bytes), np.uint8)
            _, decision, _ = layout.row.read(nothing)
        row = (timestep, decision, np.full(number, version, np.int32))
        columns = {"row": layout.row.pack(row, number)}
        if self._num_decisions % self._period == 0:
            state = jax.device_get(actor_state)
            columns["actor_state"] = layout.actor_state.pack(state, number)
        start = self._num_decisions - self._unroll_length
        is_complete = start >= 0 and start % self._period == 0
        for index, writer in enumerate(self._writers):
            writer.append({name: column[index] for name, column in columns.items()})
            if is_complete:
                self._write_item(writer)

    def close(self) -> None:
        """Drops unrolls that are not complete, and ends the connections."""
        for writer in self._writers:
            writer.close()

    def _write_item(self, writer: RowWriter) -> None:
        num_rows = self._unroll_length + 1
        history = writer.history
        item = {
            "row": history["row"][-num_rows:],
            "actor_state": history["actor_state"][-num_rows],
        }
        writer.write(TABLE, self._new_priority(), item)
