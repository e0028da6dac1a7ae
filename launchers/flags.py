"""Command-line flags from dataclasses by `tyro`, with every mistake told in one line."""

from __future__ import annotations

import contextlib
import io
import os
import re
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

from tolman.launchers.names import suggest

Parsed = TypeVar("Parsed")

RULE = re.compile(r"^[╭│├╰─\s]*─{3,}")
WHERE = re.compile(r"^Error parsing (?!-)[\w.-]+: ")


def parse(
    target: type[Parsed], arguments: Sequence[str], program: str, default: Any = None
) -> Parsed:
    """Reads `arguments` into the dataclass `target`; `--help` prints and exits.

    Args:
      target: what to make. Its docstrings are the help texts.
      arguments: words after the verb.
      program: how usage calls the command, `tolman train`.
      default: an instance of `target` with the values of what is not given.

    Raises:
      ValueError: for a flag or value that does not fit, in one line.
    """
    import tyro

    optional = {} if default is None else {"default": default}
    shown = io.StringIO()
    width = os.environ.get("COLUMNS")
    helps = any(word in ("-h", "--help") for word in arguments)
    if not helps:
        os.environ["COLUMNS"] = "10000"  # One line of the box is one line of the message.
    try:
        with contextlib.redirect_stderr(shown):
            return tyro.cli(target, args=list(arguments), prog=program, **optional)
    except SystemExit as stop:
        if stop.code in (0, None):
            raise
        raise ValueError(_one_line(shown.getvalue(), program)) from None
    finally:
        if not helps:
            os.environ.pop("COLUMNS")
            if width is not None:
                os.environ["COLUMNS"] = width


def flag_value(arguments: Sequence[str], flag: str) -> str | None:
    """The last value that `arguments` give `flag`, without reading anything else."""
    value = None
    for word, following in zip(arguments, [*arguments[1:], None], strict=True):
        if word == flag:
            value = following
        elif word.startswith(f"{flag}="):
            value = word.partition("=")[2]
    return value


def check_flags(arguments: Sequence[str], keys: Iterable[str]) -> None:
    """Raises ValueError, with the closest flag, for one that sets none of `keys`."""
    known = {f"--{key.replace('_', '-')}" for key in keys} | {"--help"}
    for word in arguments:
        flag = word.partition("=")[0].replace("_", "-")
        positive = re.sub(r"(--|\.)no-", r"\1", flag)
        if flag.startswith("--") and flag not in known and positive not in known:
            raise ValueError(
                f"flag {flag} is unknown{suggest(flag, known)}: --help lists all."
            )


def _one_line(box: str, program: str) -> str:
    """The message of tyro's error box, without its frame, help and hints."""
    message: list[str] = []
    for line in box.splitlines()[1:]:
        if RULE.match(line):
            break
        message.append(line.strip("│ "))
    text = WHERE.sub("", " ".join(message))
    return text if "--help" in text else f"{text.rstrip('.')}. See {program} --help."
