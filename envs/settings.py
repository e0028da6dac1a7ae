"""Checks of what the functions of environments are called with."""

from __future__ import annotations

from collections.abc import Collection


def check_choice(name: str, value: str, allowed: Collection[str]) -> None:
    """Raises ValueError unless `value` is one of `allowed`."""
    if value not in allowed:
        raise ValueError(
            f"{name}={value!r}: must be one of {', '.join(sorted(allowed))}. Set "
            f"--env.{name.replace('_', '-')}."
        )
