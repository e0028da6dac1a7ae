"""What single studies take beside what every study takes.

A study module that wants more than the common flags has a frozen dataclass `Options`, all
of whose fields have defaults; they become flags of that study, and its function is
`run(study, options)`. Bounds stand at the fields; see `tolman.launchers.settings.bounds`.
Fields that may be given several times are tuples, annotated
`Annotated[tuple[str, ...], tyro.conf.UseAppendAction]`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field, fields, make_dataclass
from typing import Annotated, Any, TypeVar

from tolman.launchers.catalog.names import STUDY, lookup, registered
from tolman.launchers.settings import flags

Common = TypeVar("Common")


def find_study(name: str) -> Any:
    """The module of a study: one of a paper's, or module:attribute of a user's own.

    Raises:
      ValueError: if there is none of that name, or what it names is no study.
    """
    study = lookup(STUDY, name)
    for part in ("TITLE", "PAPER", "run"):
        if not hasattr(study, part):
            raise ValueError(
                f"study {name!r}: has no {part}; a study is a module with a docstring, "
                "TITLE, PAPER and run(study)."
            )
    return study


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

    known = registered(STUDY)
    name = next((w for w in words if w in known or _is_own(w)), None)
    own = getattr(find_study(name), "Options", None) if name else None
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


def _is_own(word: str) -> bool:
    return ":" in word and not word.startswith("-")


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
