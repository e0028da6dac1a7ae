"""Checks of an environment's settings, with one wording for every mistake."""

from __future__ import annotations

import math
from collections.abc import Collection


def check_at_least(name: str, value: float, minimum: float) -> None:
    """Raises ValueError unless `value` is a number of at least `minimum`."""
    if not value >= minimum or math.isinf(value):
        raise ValueError(f"{name}={value!r}: must be at least {minimum}. {_fix(name)}")


def check_positive(name: str, value: float) -> None:
    """Raises ValueError unless `value` is finite and above 0."""
    if not value > 0 or math.isinf(value):
        raise ValueError(f"{name}={value!r}: must be above 0. {_fix(name)}")


def check_probability(name: str, value: float) -> None:
    """Raises ValueError unless `value` lies in [0, 1]."""
    if not 0.0 <= value <= 1.0:
        raise ValueError(f"{name}={value!r}: must lie in [0, 1]. {_fix(name)}")


def check_choice(name: str, value: str, allowed: Collection[str]) -> None:
    """Raises ValueError unless `value` is one of `allowed`."""
    if value not in allowed:
        raise ValueError(
            f"{name}={value!r}: must be one of {', '.join(sorted(allowed))}. {_fix(name)}"
        )


def _fix(name: str) -> str:
    return f"Set --env.{name.replace('_', '-')}."
