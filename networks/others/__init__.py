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
    lack = lacking(package)
    if lack:
        raise ValueError(f"core {name!r}: {lack}")
    if package == "memax":
        from tolman.networks.others.memax import make_memax as make
    else:
        from tolman.networks.others.memorax import make_memorax as make
    make(model, 4, "{}")  # That there is such a model.
    from tolman.networks.others.core import OtherCore

    # Haiku names a module by its class, so that must be an identifier.
    title = model.replace("-", "_")
    return type(title, (OtherCore,), {"make": staticmethod(make), "model": model})


def lacking(package: str) -> str:
    """What is not installed that the models of a package need, and how to install it.

    Args:
      package: one of `NEEDS`.

    Returns:
      A sentence; nothing where all is there.
    """
    for needed in NEEDS[package]:
        if importlib.util.find_spec(needed) is None:
            return (
                f"{needed} is not installed. Run: pip install "
                f"{' '.join(NEEDS[package])}, on Python 3.12 or later."
            )
    return ""
