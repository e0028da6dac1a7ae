"""A process that steps some copies of an environment for a `ProcessVector`."""

from __future__ import annotations

import contextlib
import logging
import os
import pickle
import signal
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

import cloudpickle

from tolman.envs.environment import TimeStep
from tolman.envs.host import EnvironmentFault
from tolman.envs.serial_vector import SerialVector
from tolman.envs.shared_rows import RowLayout, SharedRows

STEP = b""  # The order to step every copy; every other is pickled.
NOTHING_TO_TELL = b""  # The answer to it where there is nothing to tell; others likewise.


class Plan(NamedTuple):
    """What a worker steps.

    Attributes:
      factory: as `SerialVector` takes it, by cloudpickle; all that follows as it does.
      num_envs: copies of this worker.
      seed: of the copies of all workers.
      name: of the environment.
      on_error: see `SerialVector`.
      timeout_seconds: see `SerialVector`.
      first_copy: the number of its first copy.
      restarts: of each of its copies before.
    """

    factory: bytes
    num_envs: int
    seed: int
    name: str
    on_error: str
    timeout_seconds: float
    first_copy: int
    restarts: int


class Answer(NamedTuple):
    """What came of an order.

    Attributes:
      value: what was asked for.
      error: what was raised; None where all went well.
      log: level and text of what was logged meanwhile.
      is_last: a copy hangs, as `error` says, and the process ends.
    """

    value: Any
    error: Exception | None
    log: Sequence[tuple[int, str]]
    is_last: bool = False


class Told(NamedTuple):
    """What a row's arrays do not hold.

    Attributes:
      num_restarts: of the worker's copies, so far; told whenever it is another.
      episode_info: see `HostVector`; None where every one is empty.
    """

    num_restarts: int
    episode_info: Sequence[Mapping[str, float]] | None


def main() -> None:
    """Serves orders until there are no more, or until the parent is gone.

    The words of the command are three descriptors: of the connection, of a pipe that
    closes with the parent, and of the file of the shared rows.
    """
    connection, parent, rows = map(int, sys.argv[1:4])
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # The parent gets it too, and decides.
    threading.Thread(target=_end_with_parent, args=(parent,), daemon=True).start()
    with contextlib.suppress(EOFError, OSError):  # The parent is gone.
        _serve(Connection(connection), rows)
    os._exit(0)  # A thread of an environment would be waited for.


def _end_with_parent(descriptor: int) -> None:
    os.read(descriptor, 1)  # Nothing is ever written.
    os._exit(1)


def _serve(connection: Connection, rows: int) -> None:
    log = _Log()

    def end(fault: EnvironmentFault) -> None:
        connection.send_bytes(_packed(Answer(None, fault, log.take(), is_last=True)))
        os._exit(1)

    worker: _Worker | None = None
    while True:
        message = connection.recv_bytes()
        order, value, error = "", None, None
        try:
            order, *arguments = pickle.loads(message) if message else ("step",)
            if worker is None:
                (plan,) = arguments
                worker = _Worker(plan, rows, end)
                value = worker.specs()
            else:
                value = getattr(worker, order)(*arguments)
        except Exception as raised:
            error = raised
        if value is None and error is None and log.is_empty():
            connection.send_bytes(NOTHING_TO_TELL)
        else:
            connection.send_bytes(_packed(Answer(value, error, log.take())))
        if order == "close":
            return


class _Worker:
    """The orders, by name."""

    def __init__(
        self, plan: Plan, rows: int, on_overdue: Callable[[EnvironmentFault], None]
    ) -> None:
        self._first, self._descriptor = plan.first_copy, rows
        factory = pickle.loads(plan.factory)
        settings = {**plan._asdict(), "factory": factory, "on_overdue": on_overdue}
        self._vector = SerialVector(**settings)
        self._rows: SharedRows | None = None
        self._told_restarts = 0

    def specs(self) -> tuple[Any, Any]:
        """Of observations and actions."""
        return self._vector.observation_spec(), self._vector.action_spec()

    def extend(self, num_envs: int) -> None:
        """Builds further copies, up to so many."""
        self._vector.extend(num_envs)

    def share(self, layout: RowLayout) -> None:
        """Has rows and actions go through memory of this layout."""
        copies = slice(self._first, self._first + self._vector.num_envs)
        self._rows = SharedRows(self._descriptor, layout, copies)

    def reset(self) -> Told | None:
        """Starts an episode in every copy."""
        return self._tell(self._vector.reset())

    def step(self) -> Told | None:
        """Steps every copy."""
        assert self._rows is not None
        return self._tell(self._vector.step(self._rows.action))

    def take_over(self, step_number: int) -> Told | None:
        """Goes on for copies whose process has died, after the row that is shared."""
        assert self._rows is not None
        return self._tell(self._vector.take_over(self._rows.timestep, step_number))

    def close(self) -> None:
        """Closes the copies."""
        self._vector.close()

    def _tell(self, row: TimeStep) -> Told | None:
        assert self._rows is not None
        self._rows.write_row(row)
        vector = self._vector
        has_info = any(vector.episode_info)
        if not has_info and vector.num_restarts == self._told_restarts:
            return None
        self._told_restarts = vector.num_restarts
        info = [dict(told) for told in vector.episode_info] if has_info else None
        return Told(vector.num_restarts, info)


class _Log(logging.Handler):
    """Keeps what Tolman logs here, for the parent."""

    def __init__(self) -> None:
        super().__init__()
        self._records: list[tuple[int, str]] = []
        logger = logging.getLogger("tolman")
        logger.addHandler(self)
        logger.propagate = False

    def emit(self, record: logging.LogRecord) -> None:
        self._records.append((record.levelno, record.getMessage()))

    def is_empty(self) -> bool:
        return not self._records

    def take(self) -> list[tuple[int, str]]:
        taken, self._records = self._records, []
        return taken


def _packed(answer: Answer) -> bytes:
    """As bytes; an error that cannot be taken apart is told in words."""
    error = answer.error
    if error is None or type(error) in (ValueError, EnvironmentFault):
        return pickle.dumps(answer)
    with contextlib.suppress(Exception):
        packed = cloudpickle.dumps(answer)
        pickle.loads(packed)
        return packed
    told = RuntimeError(f"{type(error).__name__}: {error}")
    return pickle.dumps(answer._replace(value=None, error=told))
