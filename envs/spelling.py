"""Messages about names that are not known and packages that are not there."""

from __future__ import annotations

import difflib
import importlib.util
from collections import Counter
from collections.abc import Iterable

MANY = 16  # Words that begin alike, up to a slash.


def suggest(got: str, allowed: Iterable[str], prefix: str = "") -> str:
    """Returns ` (did you mean ...?)` with the closest allowed word, or nothing.

    Args:
      got: the word.
      allowed: words that would do.
      prefix: what the user writes before each of them.

    Capitals and signs do not count: `RepeatFirstEasy` is close to `repeat_first/easy`.
    """
    words = {letters(word): word for word in allowed}
    close = difflib.get_close_matches(letters(got), words, n=1)
    return f" (did you mean {prefix + words[close[0]]!r}?)" if close else ""


def list_words(words: Iterable[str]) -> str:
    """The words, with commas; of `MANY` or more that begin alike only how they begin."""
    words = list(words)
    starts = Counter(word.partition("/")[0] for word in words)
    shown = {}
    for word in words:
        start, slash, _ = word.partition("/")
        many = slash and starts[start] >= MANY
        shown[f"{start}/... ({starts[start]})" if many else word] = True
    return ", ".join(shown)


def letters(word: str) -> str:
    """Its letters and digits, in lower case."""
    return "".join(letter for letter in word.lower() if letter.isalnum())


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
