"""What a verb of the command is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Verb:
    """One verb.

    Attributes:
      usage: the words after it.
      summary: one line of help.
      run: takes the words after it, or the flags that they set; returns the exit code.
      flags: dataclass of these; None where `run` reads the words itself.
    """

    usage: str
    summary: str
    run: Callable[[Any], int]
    flags: type[Any] | None = None
