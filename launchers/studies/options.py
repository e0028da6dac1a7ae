"""What single studies take beside what every study takes.

A study module that wants more than the common flags has a frozen dataclass `Options`, all
of whose fields have defaults; they become flags of that study, and its function is
`run(study, options)`. Bounds stand at the fields; see `tolman.launchers.settings.bounds`.
Fields that may be given several times are tuples, annotated
`Annotated[tuple[str, ...], tyro.conf.UseAppendAction]`.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import field, fields, make_dataclass
from typing import Annotated, Any, TypeVar

from tolman.launchers.settings import flags
from tolman.launchers.studies import STUDIES

Common = TypeVar("Common")


def options_type(name: str) -> type | None:
    """The dataclass of a study's own options, or None; imports the study."""
    return getattr(importlib.import_module(STUDIES[name]), "Options", None)


def parse_study(common: type[Common], words: Sequence[str]) -> tuple[Common, Any]:
    """Reads the words after `tolman study`.

    Args:
      common: dataclass of what every study takes; its required fields are positional.
      words: the words.

    Returns:
      What every study takes, and the study's `Options`, None where it has none.

    Raises:
      ValueError: for a flag that this study does not take, or a value that does not fit.
    """
    import tyro

    name = next((word for word in words if word in STUDIES), None)
    own = options_type(name) if name else None
    keys = [item.name for kind in (common, own) if kind for item in fields(kind)]  # type: ignore[arg-type]
    flags.check_flags(words, keys, f" to study {name!r}" if name else "")
    target: Any = common
    if own is not None:
        # Its flags have no prefix.
        unnamed = Annotated[own, tyro.conf.arg(name="")]  # type: ignore[valid-type]
        section = ("options", unnamed, field(default_factory=own))
        target = make_dataclass("Study", [section], bases=(common,), frozen=True)
    given = flags.parse(target, words, "tolman study", [tyro.conf.PositionalRequiredArgs])
    return given, getattr(given, "options", None)


def option_words(options: Any) -> list[str]:
    """The flags that set these options, but for defaults; none for None."""
    words: list[str] = []
    for item in fields(options) if options is not None else ():
        value = getattr(options, item.name)
        if value == item.default:
            continue
        for one in value if isinstance(value, tuple) else (value,):
            words += [f"--{item.name.replace('_', '-')}", str(one)]
    return words
