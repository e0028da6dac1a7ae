"""SIGINT and SIGTERM ask for a clean stop.

Nothing here imports jax: the handlers are there before that, which takes seconds.
"""

from __future__ import annotations

import contextlib
import logging
import signal
import sys
import threading
from collections.abc import Iterator
from typing import Any

NOTED = "stopping with a checkpoint; once more stops at once"

logger = logging.getLogger(__name__)


class RunStopped(Exception):
    """A signal stopped the run after a checkpoint; the message says how to resume.

    Attributes:
      signal_number: which signal.
    """

    def __init__(self, message: str, signal_number: int) -> None:
        super().__init__(message)
        self.signal_number = signal_number


class StopRequest:
    """What a signal asked for.

    Attributes:
      signal_number: of the first signal that came; None so far.
      is_deferred: whether the first one is only noted, for `check` or a training loop to
        find; else it also interrupts at once.
    """

    def __init__(self, is_deferred: bool = True) -> None:
        self.signal_number: int | None = None
        self.is_deferred = is_deferred
        self._before: dict[int, Any] = {}

    def install(self) -> None:
        """Takes over both signals, where this is the main thread."""
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._note)

    def uninstall(self) -> None:
        """Gives both signals back."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    @contextlib.contextmanager
    def deferred(self) -> Iterator[None]:
        """While inside, the first signal is only noted."""
        before, self.is_deferred = self.is_deferred, True
        try:
            yield
        finally:
            self.is_deferred = before

    def check(self) -> None:
        """Raises KeyboardInterrupt if a signal came whose interruption was lost."""
        if self.signal_number is not None:
            raise KeyboardInterrupt

    def _note(self, number: int, frame: object) -> None:
        self.signal_number = number
        self.uninstall()  # The second one stops at once.
        if not self.is_deferred:
            raise KeyboardInterrupt
        logger.info(NOTED)
        if not logger.hasHandlers():  # The run has no log yet.
            print(f"tolman: {NOTED}", file=sys.stderr)


_installed: list[StopRequest] = []


@contextlib.contextmanager
def stop_request(is_deferred: bool = True) -> Iterator[StopRequest]:
    """The request of the outermost block of this kind, whose handlers hold inside it."""
    if _installed and threading.current_thread() is threading.main_thread():
        yield _installed[-1]
        return
    request = StopRequest(is_deferred)
    request.install()
    _installed.append(request)
    try:
        yield request
    finally:
        _installed.remove(request)
        request.uninstall()
