"""The process of the learner."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import numpy as np

from tolman.agents.agent import LearnerState
from tolman.launchers.cluster.parameters import Publisher
from tolman.launchers.cluster.work import Lines, Work

if TYPE_CHECKING:
    from tolman.launchers.host.learner import AgentLearner
    from tolman.launchers.host.reverb.adder import Client
    from tolman.launchers.host.reverb.batches import Batch, Batches

SECONDS_BETWEEN_TRIES = 1.0

logger = logging.getLogger(__name__)


class Learned(NamedTuple):
    """What some updates came to.

    Attributes:
      learner: the state after them, on the host.
      metrics: means over them; none for no updates.
    """

    learner: LearnerState
    metrics: Mapping[str, Any]


class LearnerReport(NamedTuple):
    """What the learner does.

    Attributes:
      updates: done.
      num_published: versions of the parameters, in this life.
      lines: logged since the report before, level and text.
    """

    updates: int
    num_published: int
    lines: list[tuple[int, str]]


class LearnerRole:
    """Learns from the replays and publishes parameters; run as a Ray actor.

    `train` may take its time; `report`, `relocate` and `allow` are called from another
    thread meanwhile.
    """

    def __init__(self, work: Work, board: Any) -> None:
        """Learns nothing before `start`.

        Args:
          work: the run's.
          board: handle of the `Board`.
        """
        self._lines = Lines()
        self._agent = work.agent()
        self._layout = work.layout(self._agent)
        self._seed = work.config.seed
        self._publisher = Publisher(board)
        self._addresses: tuple[str, ...] = ()
        self._batches: Batches | None = None
        self._learner: AgentLearner | None = None
        self._lags: list[np.ndarray] = []
        self._max_updates: int | None = None
        self._may_go_on = threading.Event()

    def start(
        self,
        state: LearnerState,
        num_updates: int,
        total_updates: int,
        addresses: tuple[str, ...],
        max_updates: int | None,
    ) -> str:
        """Goes on from a state and publishes its parameters.

        Args:
          state: on the host.
          num_updates: behind it.
          total_updates: of the whole run.
          addresses: of the replays' servers.
          max_updates: after which it waits for `allow`; None for no such end.

        Returns:
          The kind of device that learns.
        """
        from tolman.launchers.host.learner import AgentLearner

        self._addresses, self._max_updates = addresses, max_updates
        device = jax.devices()[0]
        self._learner = AgentLearner(
            self._agent,
            self._layout,
            self._next_batch,
            jax.device_put(state, device),
            num_updates,
            total_updates,
            self._seed,
            [PatientClient(self, shard) for shard in range(len(addresses))],  # type: ignore[misc]
        )
        self._publish()
        return device.device_kind

    def relocate(self, addresses: tuple[str, ...]) -> None:
        """Has the next batch come from servers at other addresses."""
        self._addresses, batches = addresses, self._batches
        self._batches = None
        if batches is not None:
            batches.close()

    def allow(self, max_updates: int) -> None:
        """Has it learn on until there are so many updates behind it."""
        self._max_updates = max_updates
        self._may_go_on.set()

    def train(self, num_updates: int) -> Learned:
        """Takes updates."""
        assert self._learner is not None
        rows = []
        self._lags = []
        for _ in range(num_updates):
            rows.append(self._learner.step())
            self._publish()
        rows = jax.device_get(rows)
        metrics = {
            name: np.mean([row[name] for row in rows]) for name in (rows[0] if rows else ())
        }
        if self._lags:
            metrics["time/param_lag"] = np.mean(np.concatenate(self._lags))
        return Learned(jax.device_get(self._learner.save()), metrics)

    def report(self) -> LearnerReport:
        """How far it is."""
        updates = self._learner.num_updates if self._learner else 0
        return LearnerReport(updates, self._publisher.num_published, self._lines.take())

    def close(self) -> None:
        """Ends the threads; the servers should be stopped before."""
        self._publisher.close()
        if self._batches is not None:
            self._batches.close()

    def address(self, shard: int) -> str:
        """Of one of the servers, as of now."""
        return self._addresses[shard]

    def _publish(self) -> None:
        assert self._learner is not None
        (params,) = self._learner.get_variables()
        self._publisher.publish(self._learner.num_updates, params)

    def _next_batch(self) -> Batch:
        assert self._learner is not None
        while self._max_updates is not None:
            self._may_go_on.clear()
            if self._learner.num_updates < self._max_updates:
                break
            self._may_go_on.wait(SECONDS_BETWEEN_TRIES)
        while True:
            try:
                batches = self._batches
                if batches is None:
                    batches = self._batches = self._open()
                batch = batches.next()
            except Exception as error:  # Whatever TensorFlow makes of a lost connection.
                text = str(error).splitlines()[0] if str(error) else type(error).__name__
                logger.warning("no batch for now, a replay is gone: %s", text)
                self.relocate(self._addresses)
                time.sleep(SECONDS_BETWEEN_TRIES)
                continue
            if batch is not None:
                self._lags.append(self._learner.num_updates - batch.versions)
                return batch

    def _open(self) -> Batches:
        from tolman.launchers.host.reverb.batches import Batches

        device = jax.devices()[0]
        return Batches(self._addresses, self._agent.data, self._layout, device)


class PatientClient:
    """Sends priorities to one shard; those that it cannot take any more are dropped."""

    def __init__(self, role: LearnerRole, shard: int) -> None:
        """Connects when it is needed.

        Args:
          role: that knows the addresses.
          shard: of which server.
        """
        self._role, self._shard = role, shard
        self._client: tuple[str, Client] | None = None
        self._lock = threading.Lock()

    def mutate_priorities(self, table: str, updates: dict[int, float]) -> None:
        """Sets the priorities of items by their keys."""
        from tolman.launchers.host.reverb.adder import Client

        address = self._role.address(self._shard)
        with self._lock:
            if self._client is None or self._client[0] != address:
                self._client = (address, Client(address))
        try:
            self._client[1].mutate_priorities(table, updates=updates)
        except RuntimeError as error:
            logger.warning("priorities were not taken: %s", str(error).splitlines()[0])
