"""SIGINT and SIGTERM ask for a clean stop, in place of Launchpad's stop handlers."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable
from typing import Any

logger = logging.getLogger(__name__)


_stop_handlers: list[Callable[[], Any]] = []


def register_stop_handler(handler: Callable[[], Any]) -> None:
    """Has `handler` called once a signal asks for a stop, as Launchpad would."""
    _stop_handlers.append(handler)


def unregister_stop_handler(handler: Callable[[], Any]) -> None:
    """Forgets a registered handler."""
    if handler in _stop_handlers:
        _stop_handlers.remove(handler)


class RunStopped(Exception):
    """A signal stopped the run after a checkpoint; the message says how to resume.

    Attributes:
      signal_number: which signal.
    """

    def __init__(self, message: str, signal_number: int) -> None:
        super().__init__(message)
        self.signal_number = signal_number


class StopRequest:
    """SIGINT and SIGTERM ask for a clean stop; the second one stops at once.

    Attributes:
      signal_number: of the first signal that came; None so far.
    """

    def __init__(self) -> None:
        self.signal_number: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> StopRequest:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    def _note(self, number: int, frame: object) -> None:
        self.signal_number = number
        self.__exit__()
        for handler in list(_stop_handlers):
            handler()
        logger.info("stopping with a checkpoint; once more stops at once")
