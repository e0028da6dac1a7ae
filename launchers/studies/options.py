"""What single studies take beside what every study takes.

A study module that wants more than the common flags has a frozen dataclass `Options`, all
of whose fields have defaults; they become flags of that study, and its function is
`run(study, options)`. Bounds stand at the fields; see `tolman.launchers.settings.bounds`.
A tuple takes several words after its flag.

A study whose parts are made one by one, and kept, names in `Options.selects`, a class
variable, the fields that say which of them are wanted: these may change from one call to
the next in the same folder.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, make_dataclass
from pathlib import Path
from typing import Annotated, Any

from tolman.launchers.catalog.names import STUDY, lookup, registered
from tolman.launchers.settings import flags


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


@dataclass(frozen=True)
class StudyFlags:
    """Re-runs an experiment of a paper and checks its claims.

    Attributes:
      name: PAPER/STUDY, one of `tolman list studies`, or module:attribute.
      quick: minutes on two cores instead of the paper's setting.
      seed: of all chance in it.
      out: folder for its results; None for one of its own.
    """

    name: str
    quick: bool = False
    seed: int = 0
    out: Path | None = None


def parse_study(words: Sequence[str]) -> tuple[StudyFlags, Any]:
    """Reads the words after `tolman study`.

    Returns:
      What every study takes, and the study's `Options`, None where it has none.

    Raises:
      ValueError: for a flag that this study does not take, or a value that does not fit.
    """
    import tyro

    known = registered(STUDY)
    name = next((w for w in words if w in known or _is_own(w)), None)
    own = getattr(find_study(name), "Options", None) if name else None
    target: Any = StudyFlags
    if own is not None:
        unnamed = Annotated[own, tyro.conf.arg(name="")]  # type: ignore[valid-type]
        section = ("options", unnamed, field(default_factory=own))
        target = make_dataclass("Study", [section], bases=(StudyFlags,), frozen=True)
    given = flags.parse_verb("study", target, words, f" to study {name!r}" if name else "")
    return given, getattr(given, "options", None)


def _is_own(word: str) -> bool:
    return ":" in word and not word.startswith("-")


def option_words(options: Any, without: Sequence[str] = ()) -> list[str]:
    """The flags that set these options, but for defaults; none for None.

    Args:
      options: of a study.
      without: fields that are left out.
    """
    words: list[str] = []
    for item in fields(options) if options is not None else ():
        value, flag = getattr(options, item.name), item.name.replace("_", "-")
        if value == item.default or item.name in without:
            continue
        if isinstance(value, bool):
            words.append(f"--{flag}" if value else f"--no-{flag}")
        else:
            several = value if isinstance(value, tuple) else (value,)
            words += [f"--{flag}", *map(str, several)]
    return words
