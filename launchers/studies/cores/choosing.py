"""Which cores and tasks a comparison takes, by names with commas."""

from __future__ import annotations

from collections.abc import Sequence

from tolman.envs.spelling import suggest
from tolman.launchers.catalog.names import CORE, find, registered

CONTROL = "feedforward"  # Without memory; beside every other core.


def choose_cores(names: str, own: Sequence[str] = ()) -> list[str]:
    """The control first, then those that are named.

    Args:
      names: of registered cores, or module:attribute, with commas; "all"; "" for `own`.
      own: where none is named; every registered one where this is empty.

    Raises:
      ValueError: for a name that stands for no core.
    """
    known = sorted(registered(CORE))
    chosen = _split(names, own or known, known)
    for name in chosen:
        find(CORE, name)
    return list(dict.fromkeys((CONTROL, *chosen)))


def choose_tasks(names: str, known: Sequence[str], own: Sequence[str] = ()) -> list[str]:
    """Those that are named, in their order.

    Args:
      names: with commas; "all"; "" for `own`.
      known: all that there are.
      own: where none is named; all where this is empty.

    Raises:
      ValueError: for a name that is not known.
    """
    chosen = _split(names, own or known, known)
    for name in chosen:
        if name not in known:
            raise ValueError(
                f"--tasks {name!r}: is no task of this study{suggest(name, known)}; use "
                f"some of {', '.join(known)}, with commas."
            )
    return chosen


def _split(names: str, own: Sequence[str], known: Sequence[str]) -> list[str]:
    words = dict.fromkeys(word.strip() for word in names.split(",") if word.strip())
    if list(words) == ["all"]:
        return list(known)
    return list(words or own)
