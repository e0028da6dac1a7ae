"""Parameters on their way from the learner's process to the others."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import jax
import ray
from ray.exceptions import GetTimeoutError, RayError

from tolman.agents.agent import Params
from tolman.launchers.cluster.parameter_server import ONLY_TURN, Snapshot, Turn
from tolman.launchers.host.parameters import Closed

SECONDS_TO_WAIT = 0.05  # For an answer, at most, where there are parameters to act with.
SECONDS_BETWEEN_REQUESTS = 0.2
SECONDS_BETWEEN_PUBLICATIONS = 0.01
SECONDS_TO_REPEAT = 1.0


class ParameterClient:
    """The newest parameters that the parameter server has: a `ParameterSource`.

    It never waits for the learner: where the server, or the machine that holds the
    parameters, does not answer in time, the ones before serve on.

    Attributes:
      turn: what the parameters of the last `get` are for.
      is_closed: set by `close`, for all that works with it.
    """

    def __init__(self, server: Any) -> None:
        """Sends no request yet.

        Args:
          server: handle of the `ParameterServer`.
        """
        self._server = server
        self._version, self._params = -1, None
        self._known = Snapshot()
        self._request: Any = None
        self._asked_at = 0.0
        self.turn = ONLY_TURN
        self.is_closed = threading.Event()

    def get(self, num_unrolls: int = 0) -> tuple[int, Params]:
        """Returns `(version, params)`, params on the device.

        Raises:
          Closed: if the client was closed while it waited for the first parameters.
        """
        self._update(SECONDS_TO_WAIT)
        while self._params is None:
            self.is_closed.wait(SECONDS_BETWEEN_REQUESTS)
            self._update(SECONDS_BETWEEN_REQUESTS)
        return self._version, self._params

    def new_priority(self) -> float:
        """Of a new item of a prioritised replay, as of the last `get`."""
        return self._known.new_priority

    def is_over(self, turn: Turn) -> bool:
        """Whether something else is to be acted in by now; asks now and then."""
        if self.is_closed.is_set():
            return True
        now = time.monotonic()
        if now - self._asked_at >= SECONDS_BETWEEN_REQUESTS:
            self._asked_at = now
            self._update(0.0)
        return self.turn != turn

    def wait_while_ahead(self) -> None:
        """Waits while there is more data than the learner can use.

        Raises:
          Closed: if the client was closed meanwhile.
        """
        while self._known.is_ahead:
            self.is_closed.wait(SECONDS_BETWEEN_REQUESTS)
            self._update(SECONDS_BETWEEN_REQUESTS)

    def address(self, shard: int) -> str:
        """The address of a replay's server, once it is known.

        Raises:
          Closed: if the client was closed meanwhile.
        """
        while not self._known.addresses:
            self._update(SECONDS_BETWEEN_REQUESTS)
            self.is_closed.wait(SECONDS_BETWEEN_REQUESTS)
        return self._known.addresses[shard]

    def close(self) -> None:
        """Ends all waiting."""
        self.is_closed.set()

    def _update(self, seconds: float) -> None:
        """Takes what the server answers, if it answers in time."""
        if self.is_closed.is_set():
            raise Closed
        if self._request is None:
            self._request = self._server.get.remote(self._version, self.turn)
        if not ray.wait([self._request], timeout=seconds)[0]:
            return
        request, self._request = self._request, None
        try:
            snapshot: Snapshot = ray.get(request)
            addresses = snapshot.addresses or self._known.addresses
            self._known = snapshot._replace(params=[], addresses=addresses)
            if snapshot.params:
                params = ray.get(snapshot.params[0], timeout=seconds + SECONDS_TO_WAIT)
                self._params = jax.device_put(params)
                self._version, self.turn = snapshot.version, snapshot.turn
        except GetTimeoutError:
            pass  # On its way from another machine: the next request finds it here.
        except RayError:
            pass  # The server, or the learner that made these, is gone for now.


class ParameterPublisher:
    """Publishes the latest parameters from a thread, so that learning does not wait.

    Versions that come faster than they can be published are passed over.

    Attributes:
      num_published: versions so far.
    """

    def __init__(self, server: Any, new_priority: Callable[[], float]) -> None:
        """Starts the thread.

        Args:
          server: handle of the `ParameterServer`.
          new_priority: returns the priority of a new item of a prioritised replay.
        """
        self._server = server
        self._new_priority = new_priority
        self._latest: tuple[Turn, int, Params] | None = None
        self._changed = threading.Event()
        self._is_closed = False
        self.num_published = 0
        self._thread = threading.Thread(target=self._run, name="publisher", daemon=True)
        self._thread.start()

    def publish(self, version: int, params: Params, turn: Turn = ONLY_TURN) -> None:
        """Hands over parameters, on any device; they must never be changed after."""
        self._latest = (turn, version, params)
        self._changed.set()

    def close(self) -> None:
        """Ends the thread."""
        self._is_closed = True
        self._changed.set()
        self._thread.join(timeout=5.0)

    def _run(self) -> None:
        sent: tuple[Turn, int] | None = None
        reference = None
        while not self._is_closed:
            self._changed.wait(SECONDS_TO_REPEAT)  # A server that was restarted is empty.
            self._changed.clear()
            if self._latest is None:
                continue
            turn, version, params = self._latest
            if (turn, version) != sent:
                reference = ray.put(jax.device_get(params))
                sent = turn, version
                self.num_published += 1
            try:
                priority = self._new_priority()
                ray.get(self._server.publish.remote(version, [reference], priority, turn))
            except RayError:
                self._changed.wait(SECONDS_BETWEEN_REQUESTS)
            time.sleep(SECONDS_BETWEEN_PUBLICATIONS)
