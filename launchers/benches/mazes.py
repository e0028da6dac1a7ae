"""The engines of the mazes beside one another: steps per second of processor time."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jax import lax

from tolman.envs import vector
from tolman.envs.environment import Environment
from tolman.launchers.catalog.environments import find_environments
from tolman.launchers.catalog.names import ENV, find
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
            parts[case] = _on_device(
                find(ENV, case.environment).thing(fields=case.fields), case.num_envs
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


def _on_device(environment: Environment, num_envs: int) -> Callable[[int], None]:
    number = environment.action_spec().num_values

    def unroll(state: vector.VectorState, key: Any) -> Any:
        def step(state: vector.VectorState, action: Any) -> Any:
            state, timestep = vector.step(environment, state, action)
            return state, timestep.observation

        actions = jax.random.randint(key, (UNROLL_LENGTH, num_envs), 0, number)
        return lax.scan(step, state, actions)

    compiled = jax.jit(unroll)
    keys = jax.random.split(jax.random.PRNGKey(0), num_envs)
    states = [jax.jit(lambda keys: vector.reset(environment, keys))(keys)[0]]

    def repeat(count: int) -> None:
        for index in range(count):
            states[0], kept = compiled(states[0], jax.random.PRNGKey(index))
            jax.block_until_ready(kept)

    return repeat
