"""Checks of a core's settings, with one wording for every mistake."""

from __future__ import annotations


def check_at_least(name: str, value: float, minimum: float) -> None:
    """Raises ValueError unless `value` is a number of at least `minimum`."""
    if not value >= minimum:
        flag = f"--core.{name.replace('_', '-')}"
        raise ValueError(f"{name}={value!r}: must be at least {minimum}. Set {flag}.")
