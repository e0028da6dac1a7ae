"""POPGym's tasks: steps per second of processor time, with random actions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tolman.launchers.catalog.names import ENV, find, registered
from tolman.launchers.measuring.rollouts import rollout
from tolman.launchers.measuring.turns import processor_seconds, take_turns

NUM_ENVS = 64
UNROLL_LENGTH = 128


def run() -> Iterator[dict[str, Any]]:
    """One row a task and size, as soon as it is measured."""
    for name in sorted(registered(ENV)):
        if name.startswith("popgym/"):
            yield _measure(name)


def _measure(name: str) -> dict[str, Any]:
    environment = find(ENV, name).thing()
    part = rollout(environment, NUM_ENVS, UNROLL_LENGTH)
    seconds = take_turns({name: part}, least=8, clock=processor_seconds, num_rounds=3)
    steps = NUM_ENVS * UNROLL_LENGTH / seconds[name]
    return {
        "environment": name,
        "envs": NUM_ENVS,
        "env steps per core-second": round(steps),
    }
