"""What a run says while it runs: a live bar on a terminal, log lines elsewhere."""

from __future__ import annotations

import contextlib
import logging
import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import rich.progress
from rich.console import Console, RenderableType
from rich.table import Table

if TYPE_CHECKING:
    from tolman.launchers.runs.protocol import RoleRow

SECONDS_BETWEEN_LINES = 10.0
SHOWN = {
    "train/episode_return": "return",
    "loss/entropy": "entropy",
    "train/accuracy": "accuracy",
}

logger = logging.getLogger("tolman")


@contextlib.contextmanager
def log_to(file: Path) -> Iterator[Console]:
    """Sends the log of everything in Tolman to `file` and to standard error.

    Yields:
      The console that it prints on, for a live bar that log lines do not break.
    """
    console = Console(stderr=True)
    to_file = logging.FileHandler(file)
    to_file.handleError = lambda record: None  # type: ignore[method-assign]  # A full disk.
    to_file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    to_console = _ConsoleHandler(console)
    # On a terminal the bar shows what progress lines (level DEBUG there) would repeat.
    to_console.setLevel(logging.INFO)
    before = logger.level
    logger.setLevel(logging.DEBUG)
    for handler in (to_file, to_console):
        logger.addHandler(handler)
    try:
        yield console
    finally:
        logger.setLevel(before)
        for handler in (to_file, to_console):
            logger.removeHandler(handler)
            handler.close()


class Progress:
    """Shows how far a run is, and the log's lines above that; a context manager."""

    def __init__(
        self,
        done: int,
        total: int,
        log_file: Path,
        roles: Callable[[], Sequence[RoleRow]] = list,
        unit: str = "env_steps",
    ) -> None:
        """Prepares a bar.

        Args:
          done: units trained so far.
          total: units of the whole run.
          log_file: where log lines are appended.
          roles: the processes of the run as of now; called from any thread.
          unit: what is counted.
        """
        self._roles = roles
        self._done, self._total, self._unit = done, total, unit
        self._log_file = log_file
        self._last_line = -math.inf
        self._exits = contextlib.ExitStack()

    def __enter__(self) -> Progress:
        console = self._exits.enter_context(log_to(self._log_file))
        self._live = console.is_terminal
        self._bar = _Bar(
            self._roles,
            rich.progress.TextColumn(self._unit),
            rich.progress.BarColumn(),
            rich.progress.MofNCompleteColumn(),
            rich.progress.TaskProgressColumn(),
            rich.progress.TextColumn("{task.fields[shown]}"),
            rich.progress.TimeRemainingColumn(),
            console=console,
            disable=not self._live,
        )
        self._task = self._bar.add_task(
            "", completed=self._done, total=self._total, shown=""
        )
        self._exits.enter_context(self._bar)
        return self

    def __exit__(self, *error: object) -> None:
        self._exits.close()

    def update(self, row: dict[str, Any]) -> None:
        """Shows a row, of several members the median; as log lines at most one in ten
        seconds, and the last.
        """
        done = int(row[self._unit])
        speed = row[f"time/{self._unit}_per_second"]
        word = self._unit.removeprefix("env_")
        shown = [f"{speed:,.0f} {word}/s" if speed >= 10 else f"{speed:.2g} {word}/s"]
        medians = {w: _median(row[name]) for name, w in SHOWN.items() if name in row}
        shown += [f"{w} {m:.3g}" for w, m in medians.items() if not math.isnan(m)]
        self._bar.update(self._task, completed=done, shown="  ".join(shown))
        now = time.monotonic()
        if done >= self._total or now - self._last_line >= SECONDS_BETWEEN_LINES:
            self._last_line = now
            level = logging.DEBUG if self._live else logging.INFO
            if roles := self._roles():
                logger.log(level, "%s", "; ".join(map(_in_words, roles)))
            left = max(self._total - done, 0)
            logger.log(
                level,
                "%s %d of %d (%.0f %%)  %s  %.0f s left",
                self._unit,
                done,
                self._total,
                100 * done / self._total,
                "  ".join(shown),
                left / speed if left and speed else left and math.inf,
            )


def _median(value: Any) -> float:
    """Of the members that have one."""
    every = np.atleast_1d(np.asarray(value, float))  # None becomes NaN.
    known = every[~np.isnan(every)]
    return float(np.median(known)) if known.size else math.nan


class _Bar(rich.progress.Progress):
    """A bar, with a table of the run's processes below it."""

    def __init__(
        self,
        roles: Callable[[], Sequence[RoleRow]],
        *columns: rich.progress.ProgressColumn,
        console: Console,
        disable: bool,
    ) -> None:
        self._roles = roles
        super().__init__(*columns, console=console, disable=disable)

    def get_renderables(self) -> Iterable[RenderableType]:
        yield from super().get_renderables()
        if roles := self._roles():
            table = Table("role", "alive", "restarts", "speed", box=None)
            for row in roles:
                alive = f"{row.alive} of {row.wanted}"
                table.add_row(row.kind, alive, str(row.restarts), row.note)
            yield table


def _in_words(row: RoleRow) -> str:
    words = [f"{row.kind} {row.alive} of {row.wanted} alive"]
    words += [f"{row.restarts} restarts"] if row.restarts else []
    return ", ".join([*words, row.note] if row.note else words)


class _ConsoleHandler(logging.Handler):
    """Prints above the live bar."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info:  # The file has it; who called the run tells people.
            return
        prefix = "" if record.levelno < logging.WARNING else f"{record.levelname.lower()}: "
        text = f"tolman: {prefix}{record.getMessage()}"
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)
