"""Parts that are compared take turns, so that noise on the machine hits all alike."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path

NUM_ROUNDS = 9
SECONDS_PER_SAMPLE = 0.3


def take_turns(
    parts: dict[str, Callable[[int], None]],
    least: int = 20,
    clock: Callable[[], float] = time.perf_counter,
    num_rounds: int = 0,
) -> dict[str, float]:
    """Median seconds of one repetition of each part; takes what `sample_turns` takes."""
    samples = sample_turns(parts, least, clock, num_rounds)
    return {name: statistics.median(values) for name, values in samples.items()}


def sample_turns(
    parts: dict[str, Callable[[int], None]],
    least: int = 20,
    clock: Callable[[], float] = time.perf_counter,
    num_rounds: int = 0,
    seconds_per_sample: float = 0.0,
) -> dict[str, list[float]]:
    """Seconds of one repetition of each part, round by round.

    Args:
      parts: each takes the number of repetitions.
      least: repetitions in a sample, however long they take.
      clock: tells seconds.
      num_rounds: samples of each part; 0 for `NUM_ROUNDS`.
      seconds_per_sample: of the clock, at least; 0 for `SECONDS_PER_SAMPLE`.
    """
    counts = {}
    for name, part in parts.items():
        part(1)  # Compiles.
        start = clock()
        part(least)
        seconds = (clock() - start) / least
        counts[name] = max(least, int((seconds_per_sample or SECONDS_PER_SAMPLE) / seconds))
    samples: dict[str, list[float]] = {name: [] for name in parts}
    for _ in range(num_rounds or NUM_ROUNDS):
        for name, part in parts.items():
            start = clock()
            part(counts[name])
            samples[name].append((clock() - start) / counts[name])
    return samples


def processor_seconds() -> float:
    """Of this process, and of those that it has started and that run now (on Linux)."""
    seconds, parent = time.process_time(), str(os.getpid())
    for file in Path("/proc").glob("[0-9]*/stat"):
        try:
            values = file.read_text().rsplit(")", 1)[1].split()
        except OSError:  # Ended meanwhile.
            continue
        if values[1] == parent:
            seconds += (int(values[11]) + int(values[12])) / os.sysconf("SC_CLK_TCK")
    return seconds
