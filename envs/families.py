"""Families of ids under which other packages know their environments.

A family is a pattern of ids and what makes the environment of one, so that `--env` takes
ids that nobody has to register one by one, such as `ALE/Pong-v5`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tolman.envs.registry import Registry
from tolman.envs.spelling import letters, suggest


@dataclass(frozen=True)
class Family:
    """One family of ids.

    Attributes:
      pattern: regular expression that an id of the family matches as a whole.
      summary: one line for `tolman list envs`.
      settings: the dataclass that `make` takes.
      check: raises ValueError for an id that the package does not know.
      make: takes the id, settings and a seed; returns a dm_env or Gymnasium environment.
      make_vector: takes the id, settings, a number of copies and a seed; None where
        copies are to be stepped in turn.
      specs: takes the id and settings; returns the specs of observations and actions
        of what `make_vector` makes. Needed where there is a `make_vector`.
      releases_gil: `make_vector` makes what steps outside Python.
      is_on_device: `make` makes environments in pure JAX; the seed is then of no use.
      package: that must be installed; None where one of Tolman's own has it.
      is_vector: takes settings; whether copies with these are made by `make_vector`.
      mends_copies: `make_vector` takes `on_error` too; see `SerialVector`.
      takes_the_rest: an id that another family's pattern matches too is that one's.
    """

    pattern: str
    summary: str
    settings: type
    check: Callable[[str], Any]
    make: Callable[[str, Any, int], Any]
    make_vector: Callable[..., Any] | None = None
    specs: Callable[[str, Any], tuple[Any, Any]] | None = None
    releases_gil: bool = False
    is_on_device: bool = False
    package: str | None = None
    is_vector: Callable[[Any], bool] = lambda settings: True
    mends_copies: bool = False
    takes_the_rest: bool = False


@dataclass(frozen=True)
class Member:
    """One id of a family, as a factory of its environment."""

    name: str
    family: Family

    def __call__(self, settings: Any, seed: int = 0) -> Any:
        return self.family.make(self.name, settings, seed)


FAMILIES = Registry("family")
register_family = FAMILIES.register


def find_member(name: str) -> Member | None:
    """The id of a registered family; None if no family's ids look like `name`.

    Raises:
      ValueError: if one's do, and its package does not know the id.
    """
    for family in sorted(FAMILIES.values(), key=lambda family: family.takes_the_rest):
        if re.fullmatch(family.pattern, name):
            family.check(name)
            return Member(name, family)
    return None


def suggest_family(name: str, close: bool = True) -> str:
    """Returns ` (did you mean 'brax/...'?)` where an id begins as a family's do.

    Args:
      name: such as `Navix-Empty-5x5-v0` or `braxx/ant`.
      close: take a beginning up to a slash that is only close to a family's.
    """
    start, slash, _ = name.partition("/")
    starts = {known.partition("/")[0] for known in FAMILIES if "/" in known}
    first = letters(start if slash else start.partition("-")[0])
    same = [f"{known}/..." for known in sorted(starts) if letters(known) == first]
    if same or not (slash and close):
        return suggest(first, same)
    return suggest(start, [f"{known}/..." for known in sorted(starts)])
