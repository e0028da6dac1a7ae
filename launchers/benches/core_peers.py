"""An unroll of every core beside the LSTM's and beside the same core of other packages."""

from __future__ import annotations

import functools
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, NamedTuple

from tolman.launchers.catalog.names import CORE, find, make_core
from tolman.launchers.measuring.core_tasks import REFERENCE, REFERENCE_CONFIG
from tolman.launchers.measuring.matching import match_parameters
from tolman.launchers.measuring.parts import core_pass
from tolman.launchers.measuring.turns import sample_turns
from tolman.networks.core import MemoryCore
from tolman.networks.cost import CoreSize, core_size
from tolman.networks.others import NEEDS, lacking

NUM_FEATURES = 64
SIZES = ((20, 16), (128, 64), (128, 16), (20, 64), (1024, 16))  # T and B.
SECONDS_PER_SAMPLE = 0.1


class Side(NamedTuple):
    """Attributes:
    core: its name.
    kept: settings that stay as they are while its widths are matched.
    """

    core: str
    kept: tuple[tuple[str, Any], ...] = ()


def _side(core: str, **kept: Any) -> Side:
    return Side(core, tuple(kept.items()))


LSTM = Side(REFERENCE)


def _small(layer: str, **kept: Any) -> Side:
    """A core as memax has it at this number of parameters.

    Its matrix is as wide as the root of its width, 8; all else is the residual layer.
    """
    settings = {"num_heads": 1, "head_size": 8, **kept}
    spelled = "&".join(f"{key}={value}" for key, value in settings.items())
    return _side("stack", layers=(f"{layer}?{spelled}",), mlp_size=128)


# What stands beside each core. Where both have a setting for it, what they keep is of one
# size: traces of FFM, matrices of Mamba and SHM, heads and windows of attention.
GROUPS: tuple[tuple[Side, tuple[Side, ...]], ...] = (
    (LSTM, (_side("memorax:OptimizedLSTMCell"), _side("memax:LSTM"))),
    (_side("gru"), (LSTM, _side("memorax:GRUCell"), _side("memax:GRU"))),
    (_side("mingru"), (LSTM, _side("memorax:MinGRUCell"))),
    (_side("lru"), (LSTM, _side("memorax:LRUCell"), _side("memax:LRU"))),
    (_side("s5"), (LSTM, _side("memorax:S5Cell"))),
    (
        _side("ffm", num_traces=32),
        (LSTM, _side("memorax:FFMCell", keywords='{"memory_size": 32, "context_size": 4}')),
    ),
    (_side("ffm", num_traces=13), (_side("memax:FFM"),)),
    (_side("slstm"), (LSTM, _side("memorax:sLSTMCell"))),
    (
        _side("linear_attention"),
        (LSTM, _side("memorax:LinearAttentionCell"), _side("memorax:mLSTMCell")),
    ),
    (
        _small("linear_attention", gated=False, normaliser="sum"),
        (_side("memax:FART"),),
    ),
    (_side("delta_net"), (LSTM,)),
    (_small("delta_net"), (_side("memax:GDN"),)),
    (_small("delta_net", gated=False), (_side("memax:DeltaNet"),)),
    (
        _side("mamba", head_size=16, state_size=16),
        (LSTM, _side("memorax:MambaCell", keywords='{"num_heads": 4}')),
    ),
    (
        _side("shm", memory_size=32),
        (LSTM, _side("memorax:SHMCell", keywords='{"features": 32}')),
    ),
    (
        # Without positions, as Memorax's, which takes no unroll longer than its window.
        _side("attention", window=128, head_size=16, positions="none"),
        (
            LSTM,
            _side("memorax:SelfAttention", keywords='{"context_length": 128}'),
            _side("memax:Attention", keywords='{"window_size": 128}'),
        ),
    ),
)


def run() -> Iterator[dict[str, Any]]:
    """One row a length and batch size, a core, and what stands beside it.

    A ratio is the processor time of the other's forward and backward pass over that of
    ours, above 1 where ours is faster: the median of rounds in which all that stand beside
    each other take turns, and the lowest and the highest. All have the parameters of the
    LSTM. A model of another package stands behind a linear map, one of memax's also within
    a residual layer.
    """
    for package in NEEDS:
        if lacking(package):
            print(f"Left out: {package}'s cores: {lacking(package)}", file=sys.stderr)
    for length, batch_size in SIZES:
        for ours, beside in GROUPS:
            there = [side for side in beside if not _is_lacking(side)]
            if there:
                yield from measure(ours, there, length, batch_size)


def _is_lacking(side: Side) -> bool:
    package = side.core.partition(":")[0]
    return package in NEEDS and bool(lacking(package))


def measure(
    ours: Side, beside: list[Side], length: int, batch_size: int
) -> Iterator[dict[str, Any]]:
    """One row for each that stands beside ours.

    Args:
      ours: the core.
      beside: the others; the core of each once.
      length: T of the unrolls.
      batch_size: B.
    """
    parts: dict[str, Callable[[int], None]] = {}
    refusals: dict[str, str] = {}
    for side in (ours, *beside):
        part = core_pass(_matched(side).make, NUM_FEATURES, length, batch_size)
        try:
            part(1)
        except AssertionError as error:  # Of a model that takes no such unroll.
            refusals[side.core] = str(error)
        else:
            parts[side.core] = part
    samples = sample_turns(
        parts, least=1, clock=time.process_time, seconds_per_sample=SECONDS_PER_SAMPLE
    )
    for side in beside:
        row = {"T": length, "B": batch_size, "core": _told(ours), "beside": side.core}
        if side.core in refusals:
            yield {**row, "refused": refusals[side.core]}
            continue
        pairs = zip(samples[side.core], samples[ours.core], strict=True)
        ratios = [theirs / mine for theirs, mine in pairs]
        sizes = _matched(ours).size, _matched(side).size
        yield {
            **row,
            "ratio": round(statistics.median(ratios), 2),
            "lowest": round(min(ratios), 2),
            "highest": round(max(ratios), 2),
            "ours, CPU ms": round(1e3 * statistics.median(samples[ours.core]), 2),
            "parameters": " and ".join(f"{size.num_parameters:,}" for size in sizes),
            "state bytes": " and ".join(f"{size.state_bytes:,}" for size in sizes),
            "load": round(os.getloadavg()[0], 1),
        }


def _told(side: Side) -> str:
    layers = dict(side.kept).get("layers", ())
    return " ".join([side.core, *layers])


class Matched(NamedTuple):
    """Attributes:
    make: builds the core; called inside a Haiku transform.
    size: of it.
    """

    make: Callable[[], MemoryCore]
    size: CoreSize


@functools.cache
def _matched(side: Side) -> Matched:
    """The core with the parameters of the LSTM."""
    kept = dict(side.kept)

    def make(config: Any) -> Callable[[], MemoryCore]:
        return make_core(side.core, replace(config, **kept))

    matched = match_parameters(
        side.core,
        replace(find(CORE, side.core).default_settings(), **kept),
        lambda config: core_size(make(config), NUM_FEATURES).num_parameters,
        core_size(make_core(REFERENCE, REFERENCE_CONFIG), NUM_FEATURES).num_parameters,
    )
    return Matched(make(matched.config), core_size(make(matched.config), NUM_FEATURES))
