"""The training loop on the device as it grows: environments, unroll, units of the core."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from tolman.launchers.benches.on_device import Case, agent_of
from tolman.launchers.device.on_device import OnDeviceRunner
from tolman.launchers.measuring.parts import network_pass, training
from tolman.launchers.measuring.turns import take_turns


@dataclass(frozen=True)
class Growth:
    """What grows, one at a time; the others stay at those of `base`."""

    base: Case
    batches: tuple[int, ...]
    unrolls: tuple[int, ...]
    sizes: tuple[int, ...]

    def cases(self) -> Iterator[Case]:
        """Each once, `base` too."""
        grown = [replace(self.base, batch_size=n) for n in self.batches]
        grown += [replace(self.base, unroll_length=n) for n in self.unrolls]
        grown += [replace(self.base, core_size=n) for n in self.sizes]
        yield from dict.fromkeys(grown)


GROWTH = Growth(
    Case("bandit/independent", "lstm", 64, 100, core_size=48),
    batches=(1, 4, 16, 64, 256, 1_024, 4_096),
    unrolls=(20, 50, 100, 200),
    sizes=(48, 128, 256, 512),
)
NUM_ROUNDS = 5
MATRIX_SIZE = 512


def run() -> Iterator[dict[str, Any]]:
    """One row a size, in processor time: medians of rounds in which the parts take turns.

    `ratio to floor` as in `on_device`. `of matrix speed` is the loop's multiply-adds in a
    second as a share of those of two square matrices: every weight of a matrix counts once
    to act, once to learn and twice for the gradient.
    """
    for case in GROWTH.cases():
        yield measure_case(case)


def measure_case(case: Case) -> dict[str, Any]:
    """The loop, its floor and a product of two square matrices, in turns."""
    agent, environment = agent_of(case)
    runner = OnDeviceRunner(agent, environment, devices=jax.devices()[:1])
    state = runner.prepare(runner.init(jax.random.PRNGKey(0)[None]), 10**6)
    parts = {
        "loop": training(runner, state),
        "floor": network_pass(agent, environment),
        "matrix": matrix_product(MATRIX_SIZE),
    }
    seconds = take_turns(parts, 1, time.process_time, NUM_ROUNDS)
    weights = jax.eval_shape(agent.init, jax.random.PRNGKey(0)).params
    products = 4 * sum(leaf.size for leaf in jax.tree.leaves(weights) if leaf.ndim > 1)
    rate = runner.units_per_update / seconds["loop"]
    return {
        "environment": case.environment,
        "core": case.core,
        "batch": case.batch_size,
        "unroll": case.unroll_length,
        "units": case.core_size,
        "env steps per CPU-second": round(rate),
        "updates per CPU-second": round(1 / seconds["loop"], 2),
        "ratio to floor": round(seconds["floor"] / seconds["loop"], 3),
        "multiply-adds per CPU-second": f"{products * rate:.2e}",
        "of matrix speed": round(products * rate * seconds["matrix"] / MATRIX_SIZE**3, 3),
        "load": round(os.getloadavg()[0], 1),
    }


def matrix_product(size: int) -> Callable[[int], None]:
    """Two square matrices of float32, multiplied so many times."""

    @jax.jit
    def products(a: Any, b: Any, count: Any) -> Any:
        return lax.fori_loop(0, count, lambda _, b: a @ b, b)

    a = jnp.eye(size) * 0.5
    return lambda count: jax.block_until_ready(products(a, a, count))
