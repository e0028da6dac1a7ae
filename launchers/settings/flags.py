"""Command-line flags from dataclasses by `tyro`, with every mistake told in one line."""

from __future__ import annotations

import contextlib
import io
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar, get_type_hints

from tolman.launchers.catalog.names import suggest
from tolman.launchers.settings.bounds import TYPES, one_of

Parsed = TypeVar("Parsed")

RULE = re.compile(r"^[╭│├╰─\s]*(─{3,}|-{3,})")  # Of dashes where the output is ASCII.
CHOICE = re.compile(
    r"invalid choice '(.*)' for argument '--((?:.*\.)?(.*))'\. Expected one of \((.*)\)"
)
NUMBER = re.compile(
    r"Error parsing --((?:.*\.)?(.*)): "
    r"(?:invalid literal for int.*?|could not convert string to float): ('.*')"
)
OWN = re.compile(r"^Error parsing (?!-)[\w.-]+: ")  # A dataclass refused its values.


def parse(
    target: type[Parsed],
    arguments: Sequence[str],
    program: str,
    markers: Sequence[Any] = (),
    default: Parsed | None = None,
) -> Parsed:
    """Reads `arguments` into the dataclass `target`; `--help` prints and exits.

    Args:
      target: what to make. Its docstrings are the help texts.
      arguments: words after the verb.
      program: how usage calls the command, `tolman train`.
      markers: of `tyro.conf`, for all of `target`.
      default: what holds where no word says otherwise; None for the fields' own.

    Raises:
      ValueError: for a flag or value that does not fit, in one line.
    """
    import tyro

    shown = io.StringIO()
    width = os.environ.get("COLUMNS")
    helps = any(word in ("-h", "--help") for word in arguments)
    if not helps:
        os.environ["COLUMNS"] = "10000"  # One line of the box is one line of the message.
    try:
        with contextlib.redirect_stderr(shown):
            return tyro.cli(
                target,
                args=list(arguments),
                prog=program,
                config=markers,
                default=tyro.MISSING_NONPROP if default is None else default,
            )
    except SystemExit as stop:
        if stop.code in (0, None):
            raise
        raise ValueError(_one_line(shown.getvalue(), program)) from None
    finally:
        if not helps:
            os.environ.pop("COLUMNS")
            if width is not None:
                os.environ["COLUMNS"] = width


def parse_verb(
    verb: str, target: type[Parsed], words: Sequence[str], to_whom: str = ""
) -> Parsed:
    """Reads the words after a verb, those without a flag into the required fields.

    Args:
      verb: the word itself.
      target: what to make. The fields of a dataclass in it are flags without a prefix,
        where it is annotated so: `Annotated[Own, tyro.conf.arg(name="")]`.
      words: after the verb.
      to_whom: see `check_flags`.

    Raises:
      ValueError: for a flag or value that does not fit, in one line.
    """
    import tyro

    keys = []
    for name, kind in get_type_hints(target).items():
        keys += [item.name for item in fields(kind)] if is_dataclass(kind) else [name]
    check_flags(words, keys, to_whom)
    return parse(target, words, f"tolman {verb}", [tyro.conf.PositionalRequiredArgs])


def flag_value(arguments: Sequence[str], flag: str) -> str | None:
    """The last value that `arguments` give `flag`, without reading anything else."""
    value = None
    for index, word in enumerate(arguments):
        if word == flag:
            value = next(iter(arguments[index + 1 :]), None)
        elif word.startswith(f"{flag}="):
            value = word.partition("=")[2]
    return value


def check_flags(arguments: Sequence[str], keys: Iterable[str], to_whom: str = "") -> None:
    """Raises ValueError, with the closest flag, for one that sets none of `keys`.

    Args:
      arguments: words after the verb.
      keys: that may be set.
      to_whom: ends "flag ... is unknown", such as " to study 'a/b'".
    """
    known = {f"--{key.replace('_', '-')}" for key in keys} | {"--help"}
    for word in arguments:
        flag = word.partition("=")[0].replace("_", "-")
        positive = re.sub(r"(--|\.)no-", r"\1", flag)
        if flag.startswith("--") and flag not in known and positive not in known:
            raise ValueError(
                f"flag {flag} is unknown{to_whom}{suggest(flag, known)}: --help lists all."
            )


def _one_line(box: str, program: str) -> str:
    """The message of tyro's error box, without its frame, help and hints."""
    message: list[str] = []
    for line in box.splitlines()[1:]:
        if RULE.match(line):
            if message:
                break
            continue
        message.append(line.strip("│ "))
    text = " ".join(message)
    if choice := CHOICE.match(text):
        got, flag, name, listed = choice.groups()
        allowed = sorted(set(re.findall("'([^']*)'", listed)) - {"None"})
        name = name.replace("-", "_")
        return f"{name}={got!r}: must be {one_of(got, allowed)}. Set --{flag}."
    if number := NUMBER.match(text):
        flag, name, got = number.groups()
        kind = TYPES[int if "int()" in text else float]
        return f"{name.replace('-', '_')}={got}: must be {kind}. Set --{flag}."
    if OWN.match(text):
        return OWN.sub("", text)
    return f"{text.removeprefix('Error parsing ').rstrip('.')}. See {program} --help."
