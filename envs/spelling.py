"""Messages about names that are not known and packages that are not there."""

from __future__ import annotations

import difflib
import importlib.util
from collections.abc import Iterable


def suggest(got: str, allowed: Iterable[str], prefix: str = "") -> str:
    """Returns ` (did you mean ...?)` with the closest allowed word, or nothing.

    Args:
      got: the word.
      allowed: words that would do.
      prefix: what the user writes before each of them.
    """
    close = difflib.get_close_matches(got, list(allowed), n=1)
    return f" (did you mean {prefix + close[0]!r}?)" if close else ""


def require_package(name: str, package: str) -> None:
    """Checks that the package of an id is there, whose extra has the package's name.

    Raises:
      ValueError: if it is not installed.
    """
    if importlib.util.find_spec(package) is None:
        raise ValueError(
            f"env {name!r}: {package} is not installed. Run: uv sync --extra {package}, in "
            f"a clone, or pip install 'tolman[{package}]', where pip installed Tolman."
        )
