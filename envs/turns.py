"""Turns that may hang, for a caller who waits for each no longer than he said."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any


class OverdueError(TimeoutError):
    """A turn takes longer than its caller waits."""


class TurnThread:
    """Runs what may hang in a daemon thread, so that the caller can go on without it.

    A thread that hangs is left behind with the turn that it is in, takes no other, and
    does not keep the process from its end. The next turns run in a thread of their own.
    """

    def __init__(self) -> None:
        """Starts nothing yet; the first `play` does."""
        self._rounds: queue.SimpleQueue[_Round | None] | None = None

    def play(
        self, turn: Callable[[int], Any], indices: Sequence[int], timeout_seconds: float
    ) -> tuple[list[Any], BaseException | None]:
        """Calls `turn` on each of `indices` in order, up to the first that goes wrong.

        Returns:
          What the turns returned, and what the one after these raised: None if there is
          none after them, OverdueError if it takes longer than `timeout_seconds`.
        """
        if self._rounds is None:
            self._rounds = queue.SimpleQueue()
            threading.Thread(target=_work, args=(self._rounds,), daemon=True).start()
        current = _Round(turn, indices)
        self._rounds.put(current)
        if not current.wait(timeout_seconds):
            self._rounds.put(None)
            self._rounds = None
        return current.results, current.error

    def close(self) -> None:
        """Ends the thread once it is idle."""
        if self._rounds is not None:
            self._rounds.put(None)
            self._rounds = None


class WatchedTurns:
    """Takes turns in the caller's own thread; another one watches how long each takes.

    It has no switch of threads in a turn, but a caller who hangs does not come back: what
    watches has to end the process.
    """

    def __init__(self, on_overdue: Callable[[int], None]) -> None:
        """Starts nothing yet; the first `play` does.

        Args:
          on_overdue: called with the index of a turn that is overdue, in another thread.
            The turn, should it ever end, does not return.
        """
        self._on_overdue = on_overdue
        self._lock = threading.Lock()  # Of the end of a turn.
        self._index: int | None = None  # Of the turn that is under way.
        self._turn_began = self._seconds = 0.0
        self._is_watched = False

    def play(
        self, turn: Callable[[int], Any], indices: Sequence[int], timeout_seconds: float
    ) -> tuple[list[Any], BaseException | None]:
        """See `TurnThread.play`; the first call's `timeout_seconds` hold for all."""
        if not self._is_watched:
            self._is_watched, self._seconds = True, timeout_seconds
            threading.Thread(target=self._watch, daemon=True).start()
        results: list[Any] = []
        for index in indices:
            error = None
            self._turn_began, self._index = time.monotonic(), index
            try:
                results.append(turn(index))
            except BaseException as raised:  # sys.exit() in an environment, too.
                error = raised
            with self._lock:
                self._index = None
            if error is not None:
                return results, error
        return results, None

    def close(self) -> None:
        """Does nothing: the process ends with the one who watches."""

    def _watch(self) -> None:
        while True:
            now = time.monotonic()
            began = now if self._index is None else self._turn_began
            if (remaining := began + self._seconds - now) > 0.0:
                time.sleep(remaining)
                continue
            with self._lock:  # Never given back: the turn does not return.
                index = self._index
                if index is not None and self._turn_began == began:
                    self._on_overdue(index)
                    threading.Event().wait()


def _work(rounds: queue.SimpleQueue[_Round | None]) -> None:
    while (current := rounds.get()) is not None:
        current.run()


class _Round:
    """Turns in order. Nothing in it changes any more once its caller has given it up."""

    def __init__(self, turn: Callable[[int], Any], indices: Sequence[int]) -> None:
        self.results: list[Any] = []
        self.error: BaseException | None = None
        self._turn, self._indices = turn, indices
        self._turn_began = time.monotonic()
        self._is_given_up = False
        self._lock = threading.Lock()
        self._done: queue.SimpleQueue[None] = queue.SimpleQueue()

    def run(self) -> None:
        """The thread's side."""
        for index in self._indices:
            result, error = None, None
            try:
                result = self._turn(index)
            except BaseException as raised:  # sys.exit() in an environment, too.
                error = raised
            with self._lock:
                if self._is_given_up:
                    return
                if error is not None:
                    self.error = error
                    break
                self.results.append(result)
                self._turn_began = time.monotonic()
        self._done.put(None)

    def wait(self, timeout_seconds: float) -> bool:
        """The caller's side; False if a turn is overdue, which gives up the round."""
        remaining = timeout_seconds
        while True:
            try:
                self._done.get(timeout=remaining)
                return True
            except queue.Empty:
                pass
            with self._lock:
                remaining = self._turn_began + timeout_seconds - time.monotonic()
                if remaining <= 0.0:
                    self._is_given_up = True
                    self.error = OverdueError()
                    return False
