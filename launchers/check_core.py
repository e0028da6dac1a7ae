"""Checks a memory core that a user has written."""

from __future__ import annotations

from typing import Any

import numpy as np

from tolman.launchers.catalog.names import CORE, find, import_attribute, make_core
from tolman.networks.conformance import Reference, check_core, steps_in_reach

STEPS = 200  # After an input, at which its influence is looked for.


def check_named_core(
    name: str,
    settings: Any = None,
    long_run: int = 1000,
    reference: str | None = None,
) -> list[str]:
    """Checks the named core; what was found in order, a line each.

    Args:
      name: registered, installed, or module:attribute.
      settings: of its config's type; None for its defaults.
      long_run: see `check_core`.
      reference: module:function of a second implementation; see `check_reference`.

    Raises:
      ConformanceError: at the first violation, in one line.
      ValueError: if there is nothing of that name, or building or calling it fails.
    """
    named = find(CORE, name)
    make = make_core(named, named.default_settings() if settings is None else settings)
    compared = None if reference is None else _named_reference(reference)
    try:
        found = check_core(make, long_run=long_run, reference=compared)
        reach = steps_in_reach(make, STEPS)
    except ValueError:
        raise
    except Exception as error:
        raise ValueError(
            f"core {name!r}: it raised {type(error).__name__}: {str(error).rstrip('.')}; "
            "must be free of errors on [T, B, D] and [B, D]."
        ) from error
    lines = [f"{text}: {difference:.1e}" for text, difference in found.items()]
    told = f"{reach} steps" if reach < STEPS else f"{STEPS} steps and perhaps more"
    if reach == 0:
        told = "no later step: it remembers nothing"
    return [*lines, f"an input reaches {told}"]


def _named_reference(path: str) -> Reference:
    """The second implementation at module:function, whose errors bear its name."""
    function = import_attribute(path, "reference")
    takes = "a function of the core's parameters, x [T, B, D] and reset [T, B]"
    if not callable(function):
        kind = type(function).__name__
        raise ValueError(f"reference {path!r}: is of type {kind}; must be {takes}.")

    def compute(params: Any, x: np.ndarray, reset: np.ndarray) -> np.ndarray:
        try:
            return np.asarray(function(params, x, reset), np.float64)
        except Exception as error:
            raise ValueError(
                f"reference {path!r}: it raised {type(error).__name__}: "
                f"{str(error).rstrip('.')}; must be {takes}, and return [T, B, H]."
            ) from error

    return compute
