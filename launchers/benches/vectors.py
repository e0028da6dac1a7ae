"""Many environments of the host at once: in processes, and by vectors of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from typing import Any

import jax
import numpy as np

from tolman.envs.host import HostVector
from tolman.envs.process_vector import ProcessVector
from tolman.envs.serial_vector import SerialVector
from tolman.launchers.benches.sleeping import Sleeping
from tolman.launchers.catalog.environments import find_environments
from tolman.launchers.measuring.turns import processor_seconds, take_turns

SLEEP, COMPUTING = 0.01, 0.001  # Seconds a step.
NUM_STEPS = 20  # In one repetition, of every copy.


@dataclass(frozen=True)
class Processes:
    """Copies that sleep or compute in every step, in as many processes or fewer.

    Attributes:
      what: "sleeping" or "computing".
      num_envs: copies.
      num_processes: that step them.
    """

    what: str
    num_envs: int
    num_processes: int


PROCESSES = (
    Processes("sleeping", 4, 4),
    Processes("sleeping", 8, 8),
    Processes("computing", 8, 2),
)

# Names of one game by several packages, and the package that each needs beside ours.
NATIVE = (
    (16, {"CartPole-v1": "", "vectorized": "", "envpool/CartPole-v1": "envpool"}),
    (16, {"ALE/Pong-v5": "", "envpool/Pong-v5": "envpool"}),
)


def run() -> Iterator[dict[str, Any]]:
    """One row a workload.

    Copies in N processes stand beside the same copies in one thread, which take turns, by
    the clock: `gain` is their rate over that of the thread, and `of linear` that over N. A
    machine with other work on it shows less of both. Native vectors are measured in
    processor time, of all threads, with the same actions.
    """
    for case in PROCESSES:
        yield _bench_processes(case)
    for num_envs, names in NATIVE:
        yield from _bench_native(num_envs, names)


def _bench_processes(case: Processes) -> dict[str, Any]:
    slept, computed = (SLEEP, 0.0) if case.what == "sleeping" else (0.0, COMPUTING)
    factory = partial(Sleeping, slept, 50, computing=computed)

    def make(seed: int) -> Sleeping:
        return factory(seed=seed)

    with ExitStack() as stack:
        vectors: dict[str, HostVector] = {
            "thread": SerialVector(make, case.num_envs),
            "processes": ProcessVector(make, case.num_envs, case.num_processes),
        }
        for vector in vectors.values():
            stack.callback(vector.close)
        parts = {name: stepping(vector) for name, vector in vectors.items()}
        seconds = take_turns(parts, least=1)
    gain = seconds["thread"] / seconds["processes"]
    return {
        "environment": case.what,
        "copies": case.num_envs,
        "processes": case.num_processes,
        "env steps/s": round(NUM_STEPS * case.num_envs / seconds["processes"]),
        "gain": round(gain, 2),
        "of linear": round(gain / case.num_processes, 2),
    }


def _bench_native(num_envs: int, names: dict[str, str]) -> Iterator[dict[str, Any]]:
    own = next(iter(names))
    with ExitStack() as stack:
        parts = {}
        for name, package in names.items():
            if package and not find_spec(package):
                continue
            vector = _native(name, own, num_envs)
            stack.callback(vector.close)
            parts[name] = stepping(vector)
        seconds = take_turns(parts, least=1, clock=processor_seconds)
    for name in parts:
        yield {
            "environment": own if name == "vectorized" else name,
            "vector": "Gymnasium's make_vec" if name == "vectorized" else "as named",
            "copies": num_envs,
            "env steps per core-second": round(NUM_STEPS * num_envs / seconds[name]),
            "of the first": round(seconds[own] / seconds[name], 2),
        }


def _native(name: str, own: str, num_envs: int) -> HostVector:
    if name != "vectorized":
        return find_environments(name).make_vector(0, num_envs)
    from tolman.envs.gymnasium_settings import GymnasiumSettings

    return find_environments(own, GymnasiumSettings(vectorized=True)).make_vector(
        0, num_envs
    )


def stepping(vector: HostVector) -> Callable[[int], None]:
    """Repeats `NUM_STEPS` steps of all copies; actions are drawn beforehand."""
    rng = np.random.default_rng(0)
    number = vector.action_spec().num_values
    actions = rng.integers(0, number, (1000, vector.num_envs)).astype(np.int32)
    taken = [0]
    jax.block_until_ready(vector.reset().observation)

    def repeat(count: int) -> None:
        for _ in range(count * NUM_STEPS):
            vector.step(actions[taken[0] % len(actions)])
            taken[0] += 1

    return repeat
