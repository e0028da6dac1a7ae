"""Checks of a core's settings, with one wording for every mistake."""

from __future__ import annotations


def check_at_least(name: str, value: float, minimum: float) -> None:
    """Raises ValueError unless `value` is a number of at least `minimum`."""
    if not value >= minimum:
        flag = f"--core.{name.replace('_', '-')}"
        raise ValueError(f"{name}={value!r}: must be at least {minimum}. Set {flag}.")


def check_divides(name: str, value: int, divisor: int) -> None:
    """Raises ValueError unless `divisor` divides `value`."""
    if value % divisor:
        flag = f"--core.{name.replace('_', '-')}"
        raise ValueError(f"{name}={value!r}: must be a multiple of {divisor}. Set {flag}.")


def check_one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
    """Raises ValueError unless `value` is among those allowed."""
    if value not in allowed:
        flag = f"--core.{name.replace('_', '-')}"
        raise ValueError(f"{name}={value!r}: must be {' or '.join(allowed)}. Set {flag}.")
