"""A program that is spoken to in lines, and that may hang, crash or answer nonsense."""

from __future__ import annotations

import contextlib
import os
import queue
import shlex
import signal
import subprocess
import threading
import time

from tolman.launchers.arena.player import PlayerFault

MAX_LINES = 10_000  # That wait to be read; a program that writes more waits, too.


class LineProcess:
    """A running program; every wait for it has an end."""

    def __init__(self, command: str) -> None:
        """Starts it.

        Args:
          command: the program and its words, as in a shell.

        Raises:
          ValueError: if there is no such program.
        """
        words = shlex.split(command)
        try:
            self._process = subprocess.Popen(
                words,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                errors="replace",
                bufsize=1,
                # A group of its own: a script's children end with it, and Ctrl-C on the
                # terminal leaves it to us.
                start_new_session=True,
            )
        except (OSError, IndexError) as error:
            raise ValueError(
                f"engine {command!r}: cannot be started ({error}). Give the path of an "
                "installed program."
            ) from error
        self._lines: queue.Queue[str | None] = queue.Queue(MAX_LINES)
        self._is_killed = False
        threading.Thread(target=self._read, daemon=True).start()

    def send(self, line: str) -> None:
        """Writes one line.

        Raises:
          PlayerFault: if the program has ended.
        """
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()
        except OSError:
            raise PlayerFault(self._end()) from None

    def receive(self, deadline: float) -> str:
        """The next line, without its end.

        Args:
          deadline: of `time.monotonic()`.

        Raises:
          PlayerFault: if none comes by then, or the program ends; after the deadline also
            where lines wait to be read, as a program may write without end.
        """
        left = deadline - time.monotonic()
        try:
            if left <= 0.0:
                raise queue.Empty
            line = self._lines.get(timeout=left)
        except queue.Empty:
            raise PlayerFault("no answer in time") from None
        if line is None:
            raise PlayerFault(self._end())
        return line

    def kill(self) -> None:
        """Ends the program and its children at once."""
        self._is_killed = True
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError):
                if stream is not None:
                    stream.close()
        with contextlib.suppress(queue.Empty):  # The reader may wait for room.
            while True:
                self._lines.get_nowait()

    def _read(self) -> None:
        assert self._process.stdout is not None
        with contextlib.suppress(ValueError, OSError):  # Closed by `kill`.
            for line in self._process.stdout:
                self._lines.put(line.rstrip("\r\n"))
                if self._is_killed:
                    return
        self._lines.put(None)

    def _end(self) -> str:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=1.0)
        return f"the process ended (exit code {self._process.returncode})"
