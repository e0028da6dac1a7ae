"""Parameters on their way from the learner's process to the others."""

from __future__ import annotations

import threading
import time
from typing import Any

import jax
import ray
from ray.exceptions import GetTimeoutError, RayError

from tolman.agents.agent import Params

SECONDS_TO_WAIT = 0.05  # For the board, at most, where there are parameters to act with.
SECONDS_BETWEEN_LOOKS = 0.2
SECONDS_BETWEEN_PUBLICATIONS = 0.01
SECONDS_TO_REPEAT = 1.0


class Closed(Exception):
    """The process is to end: what it waits for will not come."""


class BoardReader:
    """The newest parameters that the board knows of: a `ParameterSource`.

    It never waits for the learner: where the board, or the machine that holds the
    parameters, does not answer in time, the ones before serve on.
    """

    def __init__(self, board: Any) -> None:
        """Asks nothing yet.

        Args:
          board: handle of the `Board`.
        """
        self._board = board
        self._version, self._params = -1, None
        self._request: Any = None
        self._is_closed = threading.Event()
        self._is_ahead = False
        self.addresses: tuple[str, ...] = ()

    def get(self, num_unrolls: int = 0) -> tuple[int, Params]:
        """Returns `(version, params)`, params on the device.

        Raises:
          Closed: if the reader was closed while it waited for the first parameters.
        """
        self._look(SECONDS_TO_WAIT)
        while self._params is None:
            self._is_closed.wait(SECONDS_BETWEEN_LOOKS)
            self._look(SECONDS_BETWEEN_LOOKS)
        return self._version, self._params

    def wait_while_ahead(self) -> None:
        """Waits while there is more data than the learner can use.

        Raises:
          Closed: if the reader was closed meanwhile.
        """
        while self._is_ahead:
            self._is_closed.wait(SECONDS_BETWEEN_LOOKS)
            self._look(SECONDS_BETWEEN_LOOKS)

    def address(self, shard: int) -> str:
        """The address of a replay's server, once it is known.

        Raises:
          Closed: if the reader was closed meanwhile.
        """
        while not self.addresses:
            self._look(SECONDS_BETWEEN_LOOKS)
            self._is_closed.wait(SECONDS_BETWEEN_LOOKS)
        return self.addresses[shard]

    def close(self) -> None:
        """Ends all waiting."""
        self._is_closed.set()

    def _look(self, seconds: float) -> None:
        """Takes what the board says, if it says it in time."""
        if self._is_closed.is_set():
            raise Closed
        if self._request is None:
            self._request = self._board.look.remote(self._version)
        if not ray.wait([self._request], timeout=seconds)[0]:
            return
        request, self._request = self._request, None
        try:
            notice = ray.get(request)
            self.addresses = notice.addresses or self.addresses
            self._is_ahead = notice.is_ahead
            if notice.params:
                params = ray.get(notice.params[0], timeout=seconds + SECONDS_TO_WAIT)
                self._params = jax.device_put(params)
                self._version = notice.version
        except GetTimeoutError:
            pass  # On its way from another machine: the next look finds it here.
        except RayError:
            pass  # The board, or the learner that made these, is gone for now.


class Publisher:
    """Publishes the latest parameters from a thread, so that learning does not wait.

    Versions that come faster than they can be published are passed over.
    """

    def __init__(self, board: Any) -> None:
        """Starts the thread.

        Args:
          board: handle of the `Board`.
        """
        self._board = board
        self._latest: tuple[int, Params] | None = None
        self._changed = threading.Event()
        self._is_closed = False
        self.num_published = 0
        self._thread = threading.Thread(target=self._run, name="publisher", daemon=True)
        self._thread.start()

    def publish(self, version: int, params: Params) -> None:
        """Hands over parameters, on any device; they must never be changed after."""
        self._latest = (version, params)
        self._changed.set()

    def close(self) -> None:
        """Ends the thread."""
        self._is_closed = True
        self._changed.set()
        self._thread.join(timeout=5.0)

    def _run(self) -> None:
        sent, reference = -1, None
        while not self._is_closed:
            self._changed.wait(SECONDS_TO_REPEAT)  # A board that was restarted is empty.
            self._changed.clear()
            if self._latest is None:
                continue
            version, params = self._latest
            if version != sent:
                reference = ray.put(jax.device_get(params))
                sent = version
                self.num_published += 1
            try:
                ray.get(self._board.publish.remote(version, [reference]))
            except RayError:
                self._changed.wait(SECONDS_BETWEEN_LOOKS)
            time.sleep(SECONDS_BETWEEN_PUBLICATIONS)
