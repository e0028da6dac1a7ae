"""The process of one of the servers that share out the data."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import ray

from tolman.launchers.cluster.work import Lines, Work

if TYPE_CHECKING:
    from tolman.launchers.host.replay import Replay

logger = logging.getLogger(__name__)


class ReplayReport(NamedTuple):
    """What a server did, in this life.

    Attributes:
      address: where clients reach it.
      num_inserted: items.
      num_sampled: items.
      size: items that it holds.
      lines: logged since the report before, level and text.
    """

    address: str
    num_inserted: int
    num_sampled: int
    size: int
    lines: list[tuple[int, str]]


class ReplayRole:
    """A Reverb server with the agent's table; run as a Ray actor."""

    def __init__(self, work: Work, folder: Path, before: str) -> None:
        """Starts the server, with what its last checkpoint holds.

        Args:
          work: the run's.
          folder: for its checkpoints.
          before: the address that it had in its life before this one, or "". Clients find
            it again by themselves where it can have that one again.
        """
        self._lines = Lines()
        from tolman.launchers.host.adder import TABLE
        from tolman.launchers.host.replay import Replay, item_layout

        self._table = TABLE
        agent = work.agent()
        layout = item_layout(agent, work.specs.observation_spec(), work.num_envs)
        host = ray.util.get_node_ip_address()
        host_before, _, port = before.rpartition(":")

        def start(port: int | None) -> Replay:
            return Replay(agent.data, layout, folder, host, work.num_shards, port)

        if host == host_before:
            try:
                self._replay = start(int(port))
            except RuntimeError as error:
                logger.warning("port %s is taken (%s): another is used.", port, error)
                self._replay = start(None)
        else:
            self._replay = start(None)
        self._client = self._replay.client()
        self._inserted_before, self._sampled_before = self._counts()
        if size := self._size():
            logger.info("restored with %d items from %s", size, folder)

    def report(self) -> ReplayReport:
        """What happened so far."""
        inserted, sampled = self._counts()
        return ReplayReport(
            self._replay.address,
            inserted - self._inserted_before,
            sampled - self._sampled_before,
            self._size(),
            self._lines.take(),
        )

    def checkpoint(self) -> None:
        """Saves what it holds; a queue has nothing to save."""
        self._replay.checkpoint()

    def close(self) -> None:
        """Stops the server."""
        self._replay.stop()

    def _size(self) -> int:
        return self._client.server_info()[self._table].current_size

    def _counts(self) -> tuple[int, int]:
        """Items inserted and sampled in all lives of the table."""
        info = self._client.server_info()[self._table].rate_limiter_info
        return info.insert_stats.completed, info.sample_stats.completed
