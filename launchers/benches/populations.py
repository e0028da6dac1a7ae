"""Members of a population trained in one program, beside as many programs in turn."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from tolman.launchers.benches.on_device import Case, agent_of
from tolman.launchers.device.on_device import OnDeviceRunner
from tolman.launchers.measuring.parts import training
from tolman.launchers.measuring.turns import take_turns

CASES = (
    Case("two_step", "lstm", 16, 21),
    Case("bandit/independent", "lstm", 16, 101),
)
SIZES = (1, 4, 16)


def run() -> list[dict[str, Any]]:
    """One row a workload and size, in processor time of one device.

    `gain` is the rate of all members over that of one alone; where each member is a run of
    its own, in turn, it is 1.
    """
    return [row for case in CASES for row in _bench_case(case)]


def _bench_case(case: Case) -> list[dict[str, Any]]:
    parts = {str(size): _training(case, size) for size in SIZES}
    seconds = take_turns(parts, least=3, clock=time.process_time)
    steps = case.batch_size * case.unroll_length
    rates = {size: size * steps / seconds[str(size)] for size in SIZES}
    return [
        {
            "environment": case.environment,
            "core": case.core,
            "members": size,
            "env steps per core-second": round(rate),
            "gain": round(rate / rates[1], 2),
        }
        for size, rate in rates.items()
    ]


def _training(case: Case, size: int) -> Callable[[int], None]:
    agent, environment = agent_of(case)
    runner = OnDeviceRunner(agent, environment, size, devices=jax.devices()[:1])
    keys = jnp.stack([jax.random.PRNGKey(seed) for seed in range(size)])
    return training(runner, runner.prepare(runner.init(keys), 10**6))
