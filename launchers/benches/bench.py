"""Speed, always as a ratio to a floor that is measured in the same process."""

from __future__ import annotations

import importlib
import json
from typing import Any

from tolman.launchers.catalog.names import suggest

BENCHES = {
    "on_device": "tolman.launchers.benches.on_device",
    "cores": "tolman.launchers.benches.cores",
    "host": "tolman.launchers.benches.host",
    "cluster": "tolman.launchers.benches.cluster",
    "self_play": "tolman.launchers.benches.self_play",
}


def run_bench(name: str, as_json: bool) -> int:
    """Runs one benchmark and prints its rows.

    Raises:
      ValueError: for an unknown name.
    """
    if name not in BENCHES:
        raise ValueError(
            f"bench {name!r} is unknown{suggest(name, BENCHES)}: "
            f"use one of {', '.join(BENCHES)}."
        )
    rows = importlib.import_module(BENCHES[name]).run()
    if as_json:
        print(json.dumps(rows, indent=2))
        return 0
    for row in rows:
        print("  ".join(f"{key}: {_show(value)}" for key, value in row.items()))
    return 0


def _show(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)
