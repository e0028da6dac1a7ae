"""Packs what environments live through, and makes the items that agents learn from.

Shapes: T decisions an unroll, E environments of an actor, G of them in one item, E / G = S
streams of rows, N bytes a row, M bytes a state.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import jax
import numpy as np

from tolman.agents.agent import DataSpec, Decision
from tolman.envs.environment import TimeStep
from tolman.launchers.host.layout import ItemLayout


class Streams(Protocol):
    """S streams of rows that a replay takes in step."""

    def append(self, rows: np.ndarray, states: np.ndarray | None) -> None:
        """Adds a row to each.

        Args:
          rows: `[S, N]` uint8.
          states: `[S, M]` uint8, the actor's after the row; None where no item begins.
        """
        ...

    def write_items(self, priority: float) -> None:
        """Makes an item of the last T + 1 rows of each; waits while there is no room."""
        ...

    def close(self) -> None:
        """Drops the rows that are in no item."""
        ...


class UnrollWriter:
    """Writes what E environments live through as unrolls of T decisions and T + 1 rows.

    Items run on across the ends of episodes, and row T of one is row 0 of the next, as in
    `tolman.agents.agent.Unroll`. A row is stored with the decision that led to it; the
    actor's state is stored with the rows that open an item only.
    """

    def __init__(
        self,
        data: DataSpec,
        layout: ItemLayout,
        num_envs: int,
        streams: Streams,
        new_priority: Callable[[], float] = lambda: 1.0,
    ) -> None:
        """Writes nothing yet.

        Args:
          data: what the agent asks for.
          layout: of the items.
          num_envs: E.
          streams: S of them, which take the rows.
          new_priority: returns the priority of a new item.
        """
        self._layout, self._streams = layout, streams
        self._num_streams = num_envs // layout.group_size
        self._unroll_length = data.unroll_length
        self._period = data.period or data.unroll_length
        self._new_priority = new_priority
        self._num_decisions = -1

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
        number, layout = self._num_streams, self._layout
        if decision is None:
            nothing = np.zeros((number, layout.row.num_bytes), np.uint8)
            _, decision, _ = layout.row.read(nothing)
        row = (timestep, decision, np.full(number, version, np.int32))
        states = None
        if self._num_decisions % self._period == 0:
            states = layout.actor_state.pack(jax.device_get(actor_state), number)
        self._streams.append(layout.row.pack(row, number), states)
        start = self._num_decisions - self._unroll_length
        if start >= 0 and start % self._period == 0:
            self._streams.write_items(self._new_priority())

    def close(self) -> None:
        """Drops unrolls that are not complete."""
        self._streams.close()
