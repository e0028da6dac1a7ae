"""Cores of equal size: finds the width at which a network has a given number of parameters.

A width is a core's `hidden_size`; what else makes it wider grows in its default
proportion to that. Lengths, slots, heads and layers stay as they are.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any, NamedTuple

from tolman.networks.others.memorax import NUM_HEADS

TOLERANCE = 0.1  # Of the number wanted: heads divide a width, so not every size exists.
MAX_WIDTH = 2**16

WIDENED = {
    "attention": ("head_size",),
    "delta_net": ("head_size",),
    "ffm": ("num_traces",),
    "gtrxl": ("mlp_size",),
    "linear_attention": ("head_size",),
    "lru": ("state_size",),
    "mamba": ("head_size", "state_size"),
    "memo": ("item_size", "head_size"),
    "s5": ("state_size",),
    "shm": ("memory_size",),
    "stacked_lstm": ("first_hidden_size",),
}


class Matched(NamedTuple):
    """Attributes:
    config: of the core, widened or narrowed.
    num_parameters: of the whole network with that core.
    """

    config: Any
    num_parameters: int


def at_width(core: str, config: Any, width: int) -> Any:
    """The config with `hidden_size` near `width` and its other widths in proportion.

    Args:
      core: its name, or module:attribute.
      config: all other settings; its class's default sizes give the proportions.
      width: at least 1. Where heads must divide the size it is rounded down, but not to
        less than one unit a head.

    Raises:
      ValueError: if the config has no `hidden_size`.
    """
    if "hidden_size" not in {item.name for item in fields(config)}:
        raise ValueError(
            f"core {core!r}: {type(config).__name__} has no hidden_size, which is what is "
            "changed to match its number of parameters to the others'. Add that field."
        )
    default = type(config)()
    sizes = {
        name: max(1, round(width * getattr(default, name) / default.hidden_size))
        for name in WIDENED.get(core, ())
    }
    if core == "attention":  # Rotated positions turn pairs.
        sizes["head_size"] += sizes["head_size"] % 2
    unit = config.num_heads if core in ("gtrxl", "slstm") else 1
    unit *= 1 + unit % 2 if core == "gtrxl" else 1
    unit = NUM_HEADS if core.startswith("memorax:") else unit
    return replace(config, hidden_size=max(unit, width - width % unit), **sizes)


def match_parameters(
    core: str, config: Any, count_parameters: Callable[[Any], int], target: int
) -> Matched:
    """Finds the width whose number of parameters is nearest to `target`.

    Args:
      core: its name, or module:attribute.
      config: all settings but the widths.
      count_parameters: of the whole network with that config; grows with the width.
      target: parameters wanted.

    Raises:
      ValueError: if the nearest is further off than `TOLERANCE` allows, or the config has
        no `hidden_size`.
    """

    @functools.cache
    def at(width: int) -> Matched:
        widened = at_width(core, config, width)
        return Matched(widened, count_parameters(widened))

    low, high = 1, 8
    while high < MAX_WIDTH and at(high).num_parameters < target:
        low, high = high, 4 * high
    while high - low > 1:
        # Counts grow with the square of the width, so their roots grow evenly.
        below, wanted, above = (
            math.sqrt(number)
            for number in (at(low).num_parameters, target, at(high).num_parameters)
        )
        share = (wanted - below) / max(above - below, 1.0)
        middle = min(max(low + round(share * (high - low)), low + 1), high - 1)
        if at(middle).num_parameters < target:
            low = middle
        else:
            high = middle
    nearest = min((at(low), at(high)), key=lambda one: abs(one.num_parameters - target))
    if abs(nearest.num_parameters - target) > TOLERANCE * target:
        raise ValueError(
            f"core {core!r}: no hidden_size gives the network {target:,} parameters within "
            f"{TOLERANCE:.0%}; the nearest is {nearest.num_parameters:,} at "
            f"hidden_size={nearest.config.hidden_size}. Lower its other sizes."
        )
    return nearest
