"""What an accelerator does, within eight minutes: rates by batch, core and precision.

`jax` alone is needed; on a CPU it runs too, as a rehearsal. Each section gives its most
telling row first, and sections take turns, so that a table cut short by the clock has a row
of every kind.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from tolman.launchers.benches import on_device, peers, self_play
from tolman.launchers.device.on_device import OnDeviceRunner
from tolman.launchers.device.supervised import make_learning_runner
from tolman.launchers.measuring.parts import training
from tolman.launchers.measuring.peers import jax_a2c
from tolman.launchers.measuring.turns import take_turns
from tolman.launchers.runs.folder import RunFolder
from tolman.launchers.runs.job import resolve
from tolman.launchers.settings.commands import parse_train

SECONDS = 420.0  # No row is begun after these; the last may take a minute more.
BANDIT = on_device.Case("bandit/independent", "lstm", 1_024, 101)
LOOPS = tuple(
    replace(BANDIT, core=core, batch_size=batch_size)
    for core, batch_size in (
        ("lstm", 1_024), ("lstm", 16_384), ("lstm", 65_536), ("lstm", 64),
        ("gru", 16_384), ("gtrxl", 1_024), ("memo", 1_024), ("feedforward", 16_384),
    )
)  # fmt: skip
PRECISIONS = ("default", "tensorfloat32", "float32")
PEER_BATCHES = (16_384, 1_024)
MAZES = tuple(
    on_device.Case("maze/static_1", "lstm", batch_size, 20, is_navigating=True)
    for batch_size in (1_024, 256)
)
REPLAYS = tuple(
    on_device.ReplayCase("prioritized", 100_000, num_envs) for num_envs in (16, 1_024)
)
GAMES = (
    self_play.Case("connect_four", 1_024, 32),
    self_play.Case("chess", 1_024, 32, 64, 6),
    self_play.Case("connect_four", 4_096, 32),
    self_play.Case("connect_four", 128, 32),
    self_play.Case("chess", 128, 32, 64, 6),
)
QUESTIONS = (1_024, 64, 8_192)  # MEMO's batches.


class Task(NamedTuple):
    """Attributes:
    section: which table the row belongs to.
    measure: makes the row.
    """

    section: str
    measure: Callable[[], dict[str, Any]]


def run() -> Iterator[dict[str, Any]]:
    """One row a workload, as soon as it is measured; what time or memory forbids is said.

    `cost of a call, ms` is what an update costs more when each is a program call of its
    own: the host waits for the device once a call, whatever the number of updates in it.
    `peak GiB so far` is of the whole process.
    """
    began = time.perf_counter()
    yield _machine()
    for section, measure in _tasks():
        if time.perf_counter() - began > SECONDS:
            yield {"section": section, "left out": f"{SECONDS:.0f} s are over"}
            continue
        try:
            row = measure()
        except jax.errors.JaxRuntimeError as error:
            if "RESOURCE_EXHAUSTED" not in str(error):
                raise
            row = {"left out": "out of memory"}
        yield {"section": section, **row, "peak GiB so far": _peak_gibibytes()}


def _tasks() -> Iterator[Task]:
    sections = {
        "training loop": [partial(_loop, case) for case in LOOPS],
        "precision": [partial(_precision, name) for name in PRECISIONS],
        "beside PureJaxRL's shape": [partial(_peer, batch) for batch in PEER_BATCHES],
        "replay": [partial(on_device.measure_replay, case) for case in REPLAYS],
        "self-play": [partial(_game, case) for case in GAMES],
        "MEMO": [partial(_questions, batch_size) for batch_size in QUESTIONS],
        "maze": [partial(on_device.measure_case, case) for case in MAZES],
    }
    columns = [[Task(name, take) for take in takes] for name, takes in sections.items()]
    turns = chain.from_iterable(zip_longest(*columns))
    return (task for task in turns if task is not None)


def _machine() -> dict[str, Any]:
    """What this ran on, and whether one seed gives one run there."""
    runner, first = _runner(replace(BANDIT, environment="two_step", batch_size=16))
    ends = []
    for _ in range(2):
        state, _ = runner.train(runner.prepare(runner.init(first), 10**6), 200)
        ends.append([np.asarray(leaf) for leaf in jax.tree.leaves(state.learner)])
    same = all(map(np.array_equal, *ends))
    return {
        "section": "machine",
        "device": jax.devices()[0].device_kind,
        "jax": jax.__version__,
        "matmul precision": jax.config.values["jax_default_matmul_precision"] or "default",
        "one seed twice": "same bits" if same else "other bits",
    }


def _runner(case: on_device.Case) -> tuple[OnDeviceRunner, Any]:
    agent, environment = on_device.agent_of(case)
    runner = OnDeviceRunner(agent, environment, devices=jax.devices()[:1])
    return runner, jax.random.PRNGKey(0)[None]


def _loop(case: on_device.Case) -> dict[str, Any]:
    row = on_device.measure_case(case)
    runner, keys = _runner(case)
    together = training(runner, runner.prepare(runner.init(keys), 10**6))
    apart = training(runner, runner.prepare(runner.init(keys), 10**6))

    def one_by_one(count: int) -> None:
        for _ in range(count):
            apart(1)

    seconds = take_turns({"together": together, "apart": one_by_one}, least=3)
    cost = seconds["apart"] - seconds["together"]
    return {**row, "cost of a call, ms": round(1e3 * cost, 2)}


def _precision(name: str) -> dict[str, Any]:
    """The loop at a batch where products count, with one precision of theirs."""
    case = LOOPS[1]
    with jax.default_matmul_precision(name):
        runner, keys = _runner(case)
        take = training(runner, runner.prepare(runner.init(keys), 10**6))
        seconds = take_turns({name: take}, least=3)[name]
    rate = runner.units_per_update / seconds
    shape = {"core": case.core, "batch": case.batch_size}
    return {"matmul precision": name, **shape, "env steps/s": round(rate)}


def _peer(batch_size: int) -> dict[str, Any]:
    name = BANDIT.environment
    settings = jax_a2c.Settings(batch_size, BANDIT.unroll_length)
    with ExitStack() as stack:
        ours = peers.our_a2c(name, settings, stack)
        theirs = peers.their_a2c(name, settings, stack)
        seconds = take_turns({"ours": ours.take, "theirs": theirs.take}, least=3)
    num_steps = batch_size * settings.unroll_length
    return {
        "environment": name,
        "batch": batch_size,
        "env steps/s": round(num_steps / seconds["ours"]),
        "theirs, env steps/s": round(num_steps / seconds["theirs"]),
        "ratio": round(seconds["theirs"] / seconds["ours"], 2),
    }


def _game(case: self_play.Case) -> dict[str, Any]:
    row = self_play.measure_case(case)
    return {**row, "simulations/s": round(row["positions/s"] * case.num_simulations)}


def _questions(batch_size: int) -> dict[str, Any]:
    words = f"memo --env associative_inference --agent.training.batch-size {batch_size}"
    job = resolve(parse_train(words.split()))
    runner = make_learning_runner(job, RunFolder(Path("unused")))
    state = runner.prepare(runner.init(jax.random.PRNGKey(0)[None]), 10**6)
    seconds = take_turns({"loop": training(runner, state)}, least=3)["loop"]
    return {
        "batch": batch_size,
        "updates/s": round(1.0 / seconds, 1),
        "questions/s": round(batch_size / seconds),
    }


def _peak_gibibytes() -> float | str:
    statistics = jax.devices()[0].memory_stats() or {}
    if "peak_bytes_in_use" not in statistics:
        return "not told"
    return round(statistics["peak_bytes_in_use"] / 2**30, 2)
