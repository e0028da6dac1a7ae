"""The engines of the mazes beside one another: steps per second of processor time."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from tolman.launchers.catalog.environments import find_environments
from tolman.launchers.catalog.names import ENV, find
from tolman.launchers.measuring.rollouts import rollout
from tolman.launchers.measuring.turns import processor_seconds, take_turns

UNROLL_LENGTH = 20


@dataclass(frozen=True)
class Case:
    """One engine with the fields that it delivers, all of an unroll kept."""

    environment: str
    num_envs: int
    fields: tuple[str, ...]


FIELDS = (
    ("rgb", "velocity"),
    ("rgb", "velocity", "depth_classes"),
    ("rgb", "velocity", "depth"),
)
CASES = tuple(Case("maze/static_1", 32, fields) for fields in FIELDS)
DOOM_CASES = tuple(Case("doom/static_1", 8, fields) for fields in FIELDS)


def run() -> list[dict[str, Any]]:
    """One row an engine and its fields, in turns; ViZDoom where it is installed.

    Everything counts that a step of four frames does: motion, items, starts, resets and
    the image; random actions. Processor time is of all threads, and of ViZDoom's processes.
    """
    cases = CASES
    if importlib.util.find_spec("vizdoom") is not None:
        cases += DOOM_CASES
    parts, vectors = {}, []
    for case in cases:
        settings = find(ENV, case.environment).settings_type
        if case.environment.startswith("doom/"):
            source = find_environments(case.environment, settings(fields=case.fields))
            vectors.append(source.make_vector(0, case.num_envs))
            parts[case] = _on_host(vectors[-1])
        else:
            parts[case] = rollout(
                find(ENV, case.environment).thing(fields=case.fields),
                case.num_envs,
                UNROLL_LENGTH,
            )
    try:
        named = {str(index): parts[case] for index, case in enumerate(cases)}
        seconds = take_turns(named, least=3, clock=processor_seconds)
    finally:
        for each in vectors:
            each.close()
    return [
        {
            "environment": case.environment,
            "envs": case.num_envs,
            "fields": " ".join(case.fields),
            "env steps per core-second": round(
                UNROLL_LENGTH * case.num_envs / seconds[str(index)]
            ),
        }
        for index, case in enumerate(cases)
    ]


def _on_host(copies: Any) -> Callable[[int], None]:
    rng = np.random.default_rng(0)
    actions = rng.integers(0, copies.action_spec().num_values, (1000, copies.num_envs))
    copies.reset()

    def repeat(count: int) -> None:
        for number in range(count):
            kept = []
            for step in range(UNROLL_LENGTH):
                row = (UNROLL_LENGTH * number + step) % len(actions)
                kept.append(copies.step(actions[row]).observation)

    return repeat
