"""Writes what actors live through into Reverb, as the unrolls that agents learn from.

Shapes: T decisions an unroll, G environments side by side in one writer.
"""

from __future__ import annotations

import threading
from typing import Any

import dm_env
import jax
import numpy as np
import reverb
from acme.adders.reverb import base

from tolman.agents.agent import DataSpec

TABLE = "unrolls"
MILLISECONDS_A_WAIT = 500
ITEMS_IN_FLIGHT = 2  # Of each writer to a replay, which nobody waits for.
NEW_PRIORITY = 1.0  # Until an item has been learned from.


class Client(reverb.Client):
    """A Reverb client as Acme's adders call it."""

    def trajectory_writer(
        self, num_keep_alive_refs: int, get_signature_timeout_ms: int = 0
    ) -> reverb.TrajectoryWriter:
        """Drops an argument that Acme still passes and Reverb no longer takes."""
        del get_signature_timeout_ms
        return super().trajectory_writer(num_keep_alive_refs)


class UnrollAdder(base.ReverbAdder):
    """An Acme adder whose items are unrolls of T decisions and T + 1 rows.

    Items run on across the borders of episodes, and row T of one is row 0 of the next,
    exactly as `tolman.agents.agent.Unroll` has it. The actor's state is written once an
    item, before its row 0, and not with every row.
    """

    def __init__(
        self, client: Client, data: DataSpec, is_over: threading.Event | None = None
    ) -> None:
        """Opens nothing yet; the first row does.

        Args:
          client: of the server that has the table.
          data: what the agent asks for. A complete item of a queue is in its table when
            `add` returns; those of a replay may be on their way.
          is_over: once set, an item that the table has no room for is not waited for.
        """
        in_flight = 0 if data.replay == "queue" else ITEMS_IN_FLIGHT
        super().__init__(
            client,
            max_sequence_length=data.unroll_length + 2,
            max_in_flight_items=in_flight,
            priority_fns={TABLE: None},
        )
        self._unroll_length = data.unroll_length
        self._period = data.period or data.unroll_length
        self._is_over = is_over or threading.Event()
        self._num_decisions = 0

    def opens_item(self) -> bool:
        """The next decision is an item's first, so `add` needs the actor's state."""
        return self._num_decisions % self._period == 0

    def add_first(self, timestep: dm_env.TimeStep) -> None:
        """Records the first row, `[G, ...]` leaves in `timestep.observation`."""
        super().add_first(timestep)
        self._num_decisions = 0

    def add(self, action: Any, next_timestep: dm_env.TimeStep, extras: Any = ()) -> None:
        """Records a decision and the row after it; writes an item when one is complete.

        Args:
          action: `[G]`.
          next_timestep: a MID time step, whatever its rows are; borders of episodes
            stand in the rows.
          extras: `logits` and `version`, and `actor_state` where `opens_item()`.
        """
        self._num_decisions += 1
        super().add(action, next_timestep, extras)

    def close(self) -> None:
        """Gives up what is not yet an item, and closes the writer."""
        self._writer.close()

    def __del__(self) -> None:
        """Does nothing, where Acme's would flush a writer that `close` has closed."""

    def _write(self) -> None:
        start = self._num_decisions - self._unroll_length
        if start < 0 or start % self._period:
            return
        history, rows = self._writer.history, self._unroll_length + 1
        extras = history["extras"]
        # The last row is open: its observation is there, its decision is yet to come.
        item = {
            "timestep": [column[-rows:] for column in history["observation"]],
            "action": history["action"][-rows:-1],
            "logits": extras["logits"][-rows:-1],
            "actor_state": [column[-rows] for column in extras["actor_state"]],
            "version": extras["version"][-rows],
        }
        self._writer.create_item(TABLE, NEW_PRIORITY, item)
        while not self._is_over.is_set():
            try:
                return self._writer.flush(self._max_in_flight_items, MILLISECONDS_A_WAIT)
            except reverb.DeadlineExceededError:
                continue

    def _write_last(self) -> None:
        raise ValueError("an UnrollAdder takes MID time steps only: it runs on.")


def to_leaves(tree: Any) -> list[np.ndarray]:
    """The leaves as arrays that Reverb can hold (it has no bfloat16)."""
    return [_storable(np.asarray(leaf)) for leaf in jax.tree.leaves(tree)]


def _storable(array: np.ndarray) -> np.ndarray:
    return array.view(np.uint16) if array.dtype.name == "bfloat16" else array
