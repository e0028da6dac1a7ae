"""Command-line flags from dataclasses by `tyro`, with every mistake told in one line."""

from __future__ import annotations

import contextlib
import io
import os
import re
from collections.abc import Iterable, Sequence, Set
from dataclasses import MISSING as MISSING_DEFAULT
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar, get_origin, get_type_hints

from tolman.envs.spelling import MANY, suggest
from tolman.launchers.settings.bounds import TYPES, one_of

Parsed = TypeVar("Parsed")

RULE = re.compile(r"^[╭│├╰─\s]*(─{3,}|-{3,})")  # Of dashes where the output is ASCII.
FLAG = r"--((?:[\w-]+\.)*([\w-]+))"  # The whole, and its last part.
CHOICE = re.compile(
    rf"invalid choice '(.*)' for argument '{FLAG}'\. Expected one of \((.*)\)"
)
NUMBER = re.compile(
    rf"Error parsing {FLAG}: "
    r"(?:invalid literal for int.*?|could not convert string to float): ('.*')"
)
LONG_NUMBER = re.compile(rf"Error parsing {FLAG}: Exceeds the limit")
ONE_OF_TYPES = re.compile(
    rf"Error parsing {FLAG}: "
    r"no type matching (.*?) could be instantiated from\s+\[(.*?)\]\.\s+Got errors"
)
NO_PARSE = re.compile(
    rf"Error parsing {FLAG}: Could not find valid parse for arguments: \[(.*)\]"
)
NO_VALUE = re.compile(r"Missing value for argument '(.*)'\. Expected (\d+) values")
UNKNOWN = re.compile(r"Unrecognized options: (\S+)")
REQUIRED_FLAG = re.compile(r"(?:: |\(required\)\s+)(--[\w.-]+)")
KINDS = {"INT": "whole numbers", "FLOAT": "numbers", "STR": "texts", "PATH": "paths"}
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
        raise ValueError(_one_line(shown.getvalue(), program, target)) from None
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


def spread(arguments: Sequence[str], flag: str) -> list[str]:
    """The words with the values of one flag, `A,B` or `A B`, as a word each.

    Raises:
      ValueError: if it has none, or one of them is empty.
    """
    words, rest = list[str](), list(arguments)
    while rest:
        word = rest.pop(0)
        name, _, value = word.partition("=")
        if name != flag:
            words.append(word)
            continue
        values = [value]
        while rest and not rest[0].startswith("-"):
            values.append(rest.pop(0))
        words += [flag, *_names(flag, " ".join(values).strip())]
    return words


def _names(flag: str, said: str) -> list[str]:
    """The names in `A,B` or `A B`."""
    names = re.split(r"\s*,\s*|\s+", said)
    if not any(names):
        raise ValueError(f"flag {flag}: must be followed by a value.")
    if not all(names):
        raise ValueError(
            f"{flag[2:]}={said}: must be names with one comma or space between two, and "
            f"one of them is empty. Set {flag}."
        )
    return names


def check_flags(arguments: Sequence[str], keys: Iterable[str], to_whom: str = "") -> None:
    """Raises ValueError, with the closest flag, for one that sets none of `keys`, and for
    one that is followed by an empty word.

    Args:
      arguments: words after the verb.
      keys: that may be set.
      to_whom: ends "flag ... is unknown", such as " to study 'a/b'".
    """
    plain = {f"--{key.replace('_', '-')}" for key in keys} | {"--help"}
    known = plain | {re.sub(r"(--|\.)(?=[^.]*$)", r"\1no-", flag) for flag in plain}
    for word in arguments:
        flag = word.partition("=")[0].replace("_", "-")
        if flag.startswith("--") and flag not in known:
            negated = re.sub(r"^--no-(.*)\.", r"--\1.no-", flag)
            meant = negated if negated in known else flag
            is_negated = re.search(r"(--|\.)no-", flag) is not None
            among = known if is_negated else plain
            raise ValueError(
                f"flag {flag} is unknown{to_whom}{_instead(meant, among, plain)}."
            )
    check_not_empty(arguments)


def _instead(meant: str, among: Set[str], plain: Set[str]) -> str:
    """The closest flag, if there is one, and which there are; see `check_flags`.

    Args:
      meant: a flag that is unknown.
      among: those that it may stand for.
      plain: those that may be set.
    """
    part, _, key = meant.rpartition(".")
    of_its_part = [one for one in among if part and one.rpartition(".")[0] == part]
    of_others = [one for one in among if one.endswith(f".{key.removeprefix('--')}")]
    close = (
        suggest(key, [one.rpartition(".")[2] for one in of_its_part], f"{part}.")
        or suggest(meant, of_others)
        or ("" if of_its_part else suggest(meant, among))
    )
    own = sorted(plain & {*of_its_part})
    if close or not 0 < len(own) < MANY:
        return f"{close}: --help lists all"
    return f": must be one of {', '.join(own)}"


def check_not_empty(arguments: Sequence[str]) -> None:
    """Raises ValueError for a flag with an empty word for its value: a path of no folder
    would be the one that the command runs in.
    """
    flag = ""
    for word in arguments:
        flag, joined, value = (
            word.partition("=") if word.startswith("--") else (flag, "=", word)
        )
        if flag and joined and not value:
            raise ValueError(f"flag {flag}: must be followed by a value.")


def _one_line(box: str, program: str, target: type) -> str:
    """The message of tyro's error box, without its frame, help and hints."""
    message: list[str] = []
    for line in box.splitlines()[1:]:
        if RULE.match(line):
            if message:
                break
            continue
        message.append(line.strip("│ "))
    text, helps = " ".join(message), f"See {program} --help."
    if text.startswith("Missing from "):
        return _missing(text, program, target)
    if unknown := UNKNOWN.match(text):
        word = unknown[1]
        if word.startswith("-"):
            return f"flag {word} is unknown. {helps}"
        return f"word {word!r} is one too many: nothing takes it. {helps}"
    if no_value := NO_VALUE.match(text):
        return f"flag {no_value[1]}: must be followed by {_number(no_value[2])}. {helps}"
    return (
        _of_a_value(text) or f"{text.removeprefix('Error parsing ').rstrip('.')}. {helps}"
    )


def _missing(text: str, program: str, target: type) -> str:
    """What must be given and is not."""
    if flags := REQUIRED_FLAG.findall(text):
        return f"{flags[0]} is missing. See {program} --help."
    names = [name.upper() for name in _required(target)]
    return f"{names[0]} is missing: {program} {' '.join(names)} (see {program} --help)."


def _required(target: type) -> list[str]:
    """The fields of one word that have no default, those of nested dataclasses too."""
    hints, names = get_type_hints(target), []
    for item in fields(target):
        if is_dataclass(hints[item.name]):
            names += _required(hints[item.name])
        elif item.default is MISSING_DEFAULT and get_origin(hints[item.name]) is not tuple:
            names.append(item.name)
    return names


def _of_a_value(text: str) -> str | None:
    """What a setting must be that was given something else; None for another message."""
    if choice := CHOICE.match(text):
        got, flag, name, listed = choice.groups()
        allowed = sorted(set(re.findall("'([^']*)'", listed)) - {"None"})
        return _must_be(flag, name, repr(got), one_of(got, allowed))
    if types := ONE_OF_TYPES.match(text):
        flag, name, kinds, got = types.groups()
        return _must_be(flag, name, _cut(got) or "nothing", _kinds(kinds))
    if no_parse := NO_PARSE.match(text):
        flag, name, got = no_parse.groups()
        return _must_be(flag, name, _cut(got), "values of its kind (--help tells it)")
    if number := NUMBER.match(text):
        flag, name, got = number.groups()
        return _must_be(flag, name, got, TYPES[int if "int()" in text else float])
    if number := LONG_NUMBER.match(text):
        flag, name = number.groups()
        return _must_be(flag, name, "...", "a number of fewer digits")
    return OWN.sub("", text) if OWN.match(text) else None


def _must_be(flag: str, name: str, got: str, wanted: str) -> str:
    return f"{name.replace('-', '_')}={got}: must be {wanted}. Set --{flag}."


def _cut(text: str) -> str:
    return text if len(text) <= 100 else f"{text[:100]}..."


def _kinds(spelled: str) -> str:
    """What tyro spells {None}|INT, or {None}|{FLOAT FLOAT}, in words."""
    told = []
    for kind in spelled.split("|"):
        words = kind.strip("{}").split()
        if words == ["None"]:
            continue
        many = KINDS.get(words[0], f"of {words[0]}")
        one = f"a {many.removesuffix('s')}"
        told.append(one if len(words) == 1 else f"{len(words)} {many}")
    return " or ".join(told)


def _number(count: str) -> str:
    return "a value" if count == "1" else f"{count} values"
