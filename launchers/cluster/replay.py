"""The process of one of the servers that share out the data."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import ray

from tolman.launchers.cluster.work import LogBuffer, Work

if TYPE_CHECKING:
    from tolman.launchers.host.reverb.server import ReplayServer

logger = logging.getLogger(__name__)


class ReplayReport(NamedTuple):
    """What a server did, in this incarnation.

    Attributes:
      address: where clients reach it.
      inserted: sequences, by label.
      num_sampled: sequences.
      size: items that it holds.
      totals: further sums; see `TableStatistics`.
      log: records since the report before, level and text.
    """

    address: str
    inserted: tuple[int, ...]
    num_sampled: int
    size: int
    totals: tuple[float, ...]
    log: list[tuple[int, str]]

    @property
    def num_inserted(self) -> int:
        """Sequences, under all labels."""
        return sum(self.inserted)


class ReplayRole:
    """A Reverb server with the agent's tables; run as a Ray actor."""

    def __init__(self, work: Work, scratch: Path, saved: Path | None, before: str) -> None:
        """Starts the server.

        Args:
          work: the run's.
          scratch: see `host.reverb.server.ReplayServer`.
          saved: what the last checkpoint has of its content; None for nothing.
          before: the address of the incarnation before, or "". Where it can have that one
            again, clients reconnect by themselves.
        """
        self._log = LogBuffer()
        from tolman.launchers.host.reverb.server import ReplayServer

        agent = work.agent()
        written = None if agent.data.replay == "queue" else scratch
        host = ray.util.get_node_ip_address()
        host_before, _, port = before.rpartition(":")

        def start(port: int | None) -> ReplayServer:
            return ReplayServer(work.tables(agent), written, saved, host, port)

        if host == host_before:
            try:
                self._replay = start(int(port))
            except RuntimeError as error:
                logger.warning("port %s is taken (%s): another is used.", port, error)
                self._replay = start(None)
        else:
            self._replay = start(None)
        self._statistics = work.table_statistics(self._replay.client())
        if size := self._statistics().size:
            logger.info("restored with %d items from %s", size, saved)

    def report(self) -> ReplayReport:
        """What happened so far."""
        return ReplayReport(self._replay.address, *self._statistics(), self._log.take())

    def save(self, folder: Path) -> None:
        """Saves what it holds in a new folder, which the driver must see too."""
        self._replay.save(folder)

    def close(self) -> None:
        """Stops the server."""
        self._replay.stop()
        self._log.close()
