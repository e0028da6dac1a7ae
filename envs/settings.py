"""Checks of what the functions of environments are called with."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any


def check_choice(name: str, value: str, allowed: Collection[str]) -> None:
    """Raises ValueError unless `value` is one of `allowed`."""
    if value not in allowed:
        raise ValueError(
            f"{name}={value!r}: must be one of {', '.join(sorted(allowed))}. Set "
            f"--env.{name.replace('_', '-')}."
        )


def parse_object(name: str, text: str) -> dict[str, Any]:
    """A setting that is a JSON object, as a dictionary.

    Raises:
      ValueError: if it is not one.
    """
    try:
        parsed = json.loads(text)
    except json.JSONDecodeError:
        parsed = None
    if not isinstance(parsed, dict):
        raise ValueError(
            f'{name}={text!r}: must be a JSON object, such as {{"size": 3}}. '
            f"Set --env.{name.replace('_', '-')}."
        )
    return parsed
