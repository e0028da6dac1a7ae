"""Speed, always as a ratio to a floor that is measured in the same process."""

from __future__ import annotations

import json
import os
import resource
import sys
from typing import Any

from tolman.launchers.catalog.names import BENCH, lookup


def run_bench(name: str, as_json: bool) -> int:
    """Runs one benchmark and prints its rows, and on stderr what all of it took.

    Args:
      name: one of `tolman list benches`, or module:attribute of what has a `run()` that
        returns rows.
      as_json: whether to print JSON in place of a table.

    Raises:
      ValueError: for an unknown name.
    """
    bench = lookup(BENCH, name)
    if not callable(getattr(bench, "run", None)):
        raise ValueError(f"bench {name!r}: has no run() that returns rows.")
    rows = bench.run()
    if as_json:
        print(json.dumps(list(rows), indent=2))
    else:
        for row in rows:  # A long bench gives each as soon as it is measured.
            line = "  ".join(f"{key}: {_show(value)}" for key, value in row.items())
            print(line, flush=True)
    print(_taken(), file=sys.stderr)
    return 0


def _taken() -> str:
    """Memory and processor time of this process, and of those that it started."""
    own, others = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    unit = 1 if sys.platform == "darwin" else 1_024  # Bytes of `ru_maxrss`.
    seconds = sum(one.ru_utime + one.ru_stime for one in (own, others))
    line = f"tolman: at most {own.ru_maxrss * unit / 1e6:,.0f} MB of memory"
    if others.ru_maxrss:
        line += f" (of a process that it started, {others.ru_maxrss * unit / 1e6:,.0f} MB)"
    return f"{line}, {seconds:,.0f} CPU seconds, load {os.getloadavg()[0]:.1f}"


def _show(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)
