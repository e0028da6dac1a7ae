"""What an error says in one line, and where it is from: the line that a user can mend."""

from __future__ import annotations

import traceback
from pathlib import Path

LAYERS = ("agents", "envs", "networks", "launchers")
FOREIGN = ("site-packages", "dist-packages", "lib/python")  # Where packages are installed.


def users_place(error: BaseException) -> traceback.FrameSummary | None:
    """The innermost line that is neither Tolman's nor of what is installed."""
    users = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not is_own(frame)
        and not frame.filename.startswith("<")
        and not any(part in frame.filename for part in FOREIGN)
    ]
    return users[-1] if users else None


def last_place(error: BaseException) -> traceback.FrameSummary | None:
    """The line that raised it; None for one that came from another process."""
    return next(reversed(traceback.extract_tb(error.__traceback__)), None)


def is_own(frame: traceback.FrameSummary) -> bool:
    """Whether a line is Tolman's, in a checkout or installed."""
    root, path = Path(__file__).resolve().parents[1], Path(frame.filename).resolve()
    return any(root / layer in path.parents for layer in LAYERS)


def spelled(frame: traceback.FrameSummary) -> str:
    """The file and the line."""
    return f"{frame.filename}:{frame.lineno}"


def summary(error: BaseException) -> str:
    """The kind of an error and the first line of its message."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def summary_with_place(error: BaseException) -> str:
    """The same, and the file and line that it is from, where it came up with them."""
    place = users_place(error) or last_place(error)
    return f"{summary(error)} ({spelled(place)})" if place else summary(error)
