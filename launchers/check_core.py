"""Checks a memory core that a user has written."""

from __future__ import annotations

from typing import Any

from tolman.launchers.catalog.names import CORE, find, import_attribute, make_core
from tolman.networks.conformance import check_core, steps_in_reach

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
    compared = None if reference is None else import_attribute(reference, "reference")
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
