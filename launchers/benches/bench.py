"""Speed, always as a ratio to a floor that is measured in the same process."""

from __future__ import annotations

import json
from typing import Any

from tolman.launchers.catalog.names import BENCH, lookup


def run_bench(name: str, as_json: bool) -> int:
    """Runs one benchmark and prints its rows.

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
        return 0
    for row in rows:  # A long bench gives each as soon as it is measured.
        line = "  ".join(f"{key}: {_show(value)}" for key, value in row.items())
        print(line, flush=True)
    return 0


def _show(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)
