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
from tolman.envs.places import summary
from tolman.launchers.cluster.parameters import ParameterPublisher
from tolman.launchers.cluster.work import LogBuffer, Work
from tolman.launchers.host.priorities import PriorityScale

if TYPE_CHECKING:
    import reverb

    from tolman.launchers.host.learner import AgentLearner
    from tolman.launchers.host.replay import Batch
    from tolman.launchers.host.reverb.batches import Batches
    from tolman.launchers.host.state import HostState

SECONDS_BETWEEN_TRIES = 1.0

logger = logging.getLogger(__name__)


class TrainResult(NamedTuple):
    """What some updates resulted in.

    Attributes:
      learner: the state after them, on the host.
      priorities: `[2]`, of `PriorityScale`, or `()`.
      metrics: means over them; none for no updates.
    """

    learner: LearnerState
    priorities: np.ndarray | tuple[()]
    metrics: Mapping[str, Any]


class LearnerReport(NamedTuple):
    """How far the learner is.

    Attributes:
      updates: done.
      num_published: versions of the parameters, in this incarnation.
      log: records since the report before, level and text.
    """

    updates: int
    num_published: int
    log: list[tuple[int, str]]


class LearnerRole:
    """Learns from the replays and publishes parameters; run as a Ray actor.

    `report`, `set_addresses` and `set_max_updates` are called from another thread while
    `train` runs.
    """

    def __init__(self, work: Work, server: Any) -> None:
        """Learns nothing before `start`.

        Args:
          work: the run's.
          server: handle of the `ParameterServer`.
        """
        self._log = LogBuffer()
        self._agent = work.agent()
        self._layout = work.layout(self._agent)
        self._seed = work.config.seed
        self._publisher = ParameterPublisher(server, self._new_priority)
        self._addresses: tuple[str, ...] = ()
        self._clients: dict[str, reverb.Client] = {}  # By address.
        self._batches: Batches | None = None
        self._learner: AgentLearner | None = None
        self._max_updates: int | None = None
        self._bound_changed = threading.Event()

    def start(
        self,
        state: HostState,
        total_updates: int,
        addresses: tuple[str, ...],
        max_updates: int | None,
    ) -> str:
        """Continues from a state and publishes its parameters.

        Args:
          state: on the host.
          total_updates: of the whole run.
          addresses: of the replays' servers.
          max_updates: after which it waits for `set_max_updates`; None for no bound.

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
            jax.device_put(state.learner, device),
            int(state.updates),
            total_updates,
            self._seed,
            self._set_priorities,
            PriorityScale(state.priorities),
        )
        (params,) = self._learner.get_variables()
        self._publisher.publish(self._learner.num_updates, params)
        return device.device_kind

    def set_addresses(self, addresses: tuple[str, ...]) -> None:
        """Has the next batch come from servers at these addresses."""
        self._addresses, batches = addresses, self._batches
        self._batches = None
        if batches is not None:
            batches.close()

    def set_max_updates(self, max_updates: int) -> None:
        """Sets after how many updates it waits."""
        self._max_updates = max_updates
        self._bound_changed.set()

    def train(self, num_updates: int) -> TrainResult:
        """Takes updates."""
        assert self._learner is not None
        metrics = self._learner.train(num_updates, self._publisher.publish)
        state = jax.device_get(self._learner.save())
        return TrainResult(state, self._learner.priorities.state(), metrics)

    def report(self) -> LearnerReport:
        """How far it is."""
        updates = self._learner.num_updates if self._learner else 0
        return LearnerReport(updates, self._publisher.num_published, self._log.take())

    def close(self) -> None:
        """Ends the threads; the servers should be stopped before."""
        self._publisher.close()
        if self._batches is not None:
            self._batches.close()
        self._log.close()

    def _new_priority(self) -> float:
        return self._learner.priorities.largest if self._learner else 1.0

    def _next_batch(self) -> Batch:
        assert self._learner is not None
        while self._max_updates is not None:
            self._bound_changed.clear()
            if self._learner.num_updates < self._max_updates:
                break
            self._bound_changed.wait(SECONDS_BETWEEN_TRIES)
        while True:
            try:
                batches = self._batches
                if batches is None:
                    batches = self._batches = self._open()
                batch = batches.next()
            except Exception as error:  # Whatever TensorFlow makes of a lost connection.
                logger.warning("no batch for now, a replay is gone: %s", summary(error))
                self.set_addresses(self._addresses)
                time.sleep(SECONDS_BETWEEN_TRIES)
                continue
            if batch is not None:
                return batch

    def _open(self) -> Batches:
        from tolman.launchers.host.reverb.batches import Batches

        device = jax.devices()[0]
        return Batches(self._addresses, self._agent.data, self._layout, device)

    def _set_priorities(self, batch: Batch, priorities: np.ndarray) -> None:
        """Tells the server that a batch came from; drops them while it is gone."""
        import reverb

        from tolman.launchers.host.layout import TABLE

        address = self._addresses[batch.shard]
        if address not in self._clients:
            self._clients[address] = reverb.Client(address)
        updates = dict(zip(batch.keys.tolist(), priorities.tolist(), strict=True))
        try:
            self._clients[address].mutate_priorities(TABLE, updates=updates)
        except RuntimeError as error:
            logger.warning("priorities were not taken: %s", summary(error))
