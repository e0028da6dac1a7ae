"""The process of the learner."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import numpy as np

from tolman.agents.agent import LearnerState
from tolman.envs.places import summary
from tolman.launchers.cluster.parameter_server import ONLY_TURN, Turn
from tolman.launchers.cluster.parameters import ParameterPublisher
from tolman.launchers.cluster.work import LogBuffer, Work
from tolman.launchers.host.layout import examples_of, table_of
from tolman.launchers.host.learner import AgentLearner, NoMoreBatches
from tolman.launchers.host.priorities import PriorityScale
from tolman.launchers.host.schedule import Switch
from tolman.launchers.runs.turns import no_examples

if TYPE_CHECKING:
    import reverb

    from tolman.launchers.host.replay import Batch
    from tolman.launchers.host.reverb.batches import Batches
    from tolman.launchers.host.state import HostState

SECONDS_BETWEEN_TRIES = 1.0

logger = logging.getLogger(__name__)


class TrainResult(NamedTuple):
    """What some updates resulted in.

    Attributes:
      updates: done so far; fewer were taken than asked for where `stop` came.
      learner: the state after them, on the host.
      priorities: `[2]`, of `PriorityScale`, or `()`.
      metrics: means over them; none for no updates.
    """

    updates: int
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

    `report`, `stop`, `set_addresses` and `set_max_updates` are called from another thread
    while `train` runs.
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
        self._names = list(dict.fromkeys(work.config.tasks))
        self._is_given = work.config.labels == "given"
        self._publisher = ParameterPublisher(server, self._new_priority)
        self._addresses: tuple[str, ...] = ()
        self._clients: dict[str, reverb.Client] = {}  # By address.
        self._batches: dict[int, Batches] = {}  # By label; those of all stay open.
        self._turn = ONLY_TURN
        self._tell = Switch(self._agent, self._layout)
        self._learner: AgentLearner | None = None
        self._max_updates: int | None = None
        self._bound_changed = threading.Event()
        self._is_stopped = False

    def start(
        self,
        state: HostState,
        total_updates: int,
        addresses: tuple[str, ...],
        max_updates: int | None,
        turn: Turn,
    ) -> str:
        """Continues from a state and publishes its parameters.

        Args:
          state: on the host.
          total_updates: of the whole run.
          addresses: of the replays' servers.
          max_updates: after which it waits for `set_max_updates`; None for no bound.
          turn: what the state is of; the actors go where it is.

        Returns:
          The kind of device that learns.
        """
        self._addresses, self._max_updates = addresses, max_updates
        if turn != self._turn and self._agent.data.replay == "queue":
            self._empty_queues(turn.label)
        self._turn = turn
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
        self._publisher.publish(self._learner.num_updates, params, turn)
        return device.device_kind

    def set_addresses(self, addresses: tuple[str, ...]) -> None:
        """Has the next batch come from servers at these addresses."""
        self._addresses = addresses
        self._close_batches()

    def set_max_updates(self, max_updates: int) -> None:
        """Sets after how many updates it waits."""
        self._max_updates = max_updates
        self._bound_changed.set()

    def train(self, num_updates: int) -> TrainResult:
        """Takes updates, until `stop` comes."""
        assert self._learner is not None
        self._is_stopped = False
        publish = partial(self._publisher.publish, turn=self._turn)
        metrics = self._learner.train(num_updates, publish)
        state = jax.device_get(self._learner.save())
        priorities = self._learner.priorities.state()
        return TrainResult(self._learner.num_updates, state, priorities, metrics)

    def stop(self) -> None:
        """Ends the `train` under way after the present update."""
        self._is_stopped = True
        self._bound_changed.set()

    def switch(self, key: Any, ended: int, begun: int) -> LearnerState:
        """The state, on the host, after one task follows another; learns from it only
        once it is told to `start`.

        Args:
          key: `[2]`.
          ended: the label of the present task, whose examples it draws.
          begun: that of the next.

        Raises:
          ValueError: if there are no examples, and the label was given.
        """
        assert self._learner is not None
        items, number = None, self._tell.num_examples
        if number:
            items = self._examples(ended, number)
        state = self._tell(self._learner.save(), items, key, ended, begun)
        return jax.device_get(state)

    def report(self) -> LearnerReport:
        """How far it is."""
        updates = self._learner.num_updates if self._learner else 0
        return LearnerReport(updates, self._publisher.num_published, self._log.take())

    def close(self) -> None:
        """Ends the threads; the servers should be stopped before."""
        self._publisher.close()
        self._close_batches()
        self._log.close()

    def _new_priority(self) -> float:
        return self._learner.priorities.largest if self._learner else 1.0

    def _next_batch(self) -> Batch:
        assert self._learner is not None
        while self._max_updates is not None:
            self._bound_changed.clear()
            if self._is_stopped or self._learner.num_updates < self._max_updates:
                break
            self._bound_changed.wait(SECONDS_BETWEEN_TRIES)
        while True:
            if self._is_stopped:
                raise NoMoreBatches
            try:
                label = self._turn.label
                batches = self._batches.get(label)
                if batches is None:
                    batches = self._batches[label] = self._open(label)
                batch = batches.next()
            except Exception as error:
                if not _is_of_lost_replay(error):
                    raise
                logger.warning("no batch for now, a replay is gone: %s", summary(error))
                self.set_addresses(self._addresses)
                time.sleep(SECONDS_BETWEEN_TRIES)
                continue
            if batch is not None:
                return batch

    def _open(self, label: int) -> Batches:
        from tolman.launchers.host.reverb.batches import Batches

        device, data = jax.devices()[0], self._agent.data
        # That of the layout is of games, too.
        table = table_of(label) if label else None
        return Batches(self._addresses, data, self._layout, device, table=table)

    def _close_batches(self) -> None:
        batches, self._batches = self._batches, {}
        for each in batches.values():
            each.close()

    def _empty_queues(self, label: int) -> None:
        """Drops what waits from before, which gets too old."""
        self._close_batches()
        for address in self._addresses:
            try:
                self._client(address).reset(table_of(label))
            except Exception as error:
                if not _is_of_lost_replay(error):
                    raise
                logger.warning("a queue was not emptied: %s", summary(error))

    def _examples(self, label: int, number: int) -> Any:
        """Columns of items of a task that ended.

        None where too little was learned under a label that was inferred.
        """
        from tolman.launchers.host.reverb.batches import draw_examples

        least = 1 if self._is_given else self._agent.data.min_size
        while True:
            try:
                clients = [self._client(address) for address in self._addresses]
                items = draw_examples(clients, examples_of(label), number, least)
                break
            except Exception as error:
                if not _is_of_lost_replay(error):
                    raise
                logger.warning("no examples for now, a replay is gone: %s", summary(error))
                time.sleep(SECONDS_BETWEEN_TRIES)
        if items is None and self._is_given:
            raise no_examples(self._names[label])
        return items

    def _client(self, address: str) -> reverb.Client:
        import reverb

        if address not in self._clients:
            self._clients[address] = reverb.Client(address)
        return self._clients[address]

    def _set_priorities(self, batch: Batch, priorities: np.ndarray) -> None:
        """Tells the server that a batch came from; drops them while it is gone."""
        client = self._client(self._addresses[batch.shard])
        table = table_of(self._turn.label)
        updates = dict(zip(batch.keys.tolist(), priorities.tolist(), strict=True))
        try:
            client.mutate_priorities(table, updates=updates)
        except RuntimeError as error:
            logger.warning("priorities were not taken: %s", summary(error))


def _is_of_lost_replay(error: Exception) -> bool:
    """Whether it may be what TensorFlow or Reverb makes of a server that is gone."""
    import tensorflow as tf
    from reverb.errors import ReverbError

    # Jax's is a RuntimeError too, such as for a device whose memory is full.
    return isinstance(
        error, (tf.errors.OpError, ReverbError, RuntimeError)
    ) and not isinstance(error, jax.errors.JaxRuntimeError)
