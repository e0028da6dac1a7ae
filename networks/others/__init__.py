"""Memory cores of other packages by their names: memax:LRU, memorax:S5Cell."""

from __future__ import annotations

import functools
import importlib.util
from typing import Any

NEEDS = {"memax": ("memax", "equinox"), "memorax": ("memorax", "flax")}


@functools.cache
def find_other(name: str) -> Any:
    """The core that `package:NAME` stands for; None for what is of no such package.

    Raises:
      ValueError: if the package is not installed, or has no model of that name.
    """
    package, colon, model = name.partition(":")
    if not colon or package not in NEEDS:
        return None
    for needed in NEEDS[package]:
        if importlib.util.find_spec(needed) is not None:
            continue
        raise ValueError(
            f"core {name!r}: {needed} is not installed. Run: pip install "
            f"{' '.join(NEEDS[package])}, on Python 3.12 or later."
        )
    if package == "memax":
        from tolman.networks.others.memax import make_memax as make
    else:
        from tolman.networks.others.memorax import make_memorax as make
    make(model, 4, "{}")  # That there is such a model.
    from tolman.networks.others.core import OtherCore

    return type(model, (OtherCore,), {"make": staticmethod(make), "model": model})
