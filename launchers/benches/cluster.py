"""Ray with one actor beside the local runner, and 1 to 32 actors that mostly wait."""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import jax

from tolman.launchers.cluster.connection import disconnect, start
from tolman.launchers.runs.build import build_runner
from tolman.launchers.runs.folder import RunFolder
from tolman.launchers.runs.job import resolve
from tolman.launchers.settings.commands import parse_train
from tolman.launchers.settings.config import TrainConfig

NUM_ROUNDS = 7
SECONDS_A_ROUND = 2.0
UPDATES_A_ROW = 10  # As runs have it: state and metrics come to the driver once a row.
NUM_ACTORS = (1, 2, 4, 8, 16, 32)
STEP_SECONDS = 0.05
SECONDS_TO_SETTLE = 6.0  # Until what the queue holds was made by so many actors.
SECONDS_A_SCALE = 15.0
TOTAL_UPDATES = 10**6  # More than any bench takes.
VTRACE = ("--agent.off-policy-correction", "vtrace")
SLEEPING = "tolman.launchers.benches.sleeping:Sleeping"


def run() -> list[dict[str, Any]]:
    """One row for the overhead of Ray, and one for each number of actors."""
    return [*bench_overhead(), *bench_scaling()]


def bench_overhead() -> list[dict[str, Any]]:
    """CartPole with one actor: env steps/s of Ray over those of the local runner.

    Both are up all the time and take turns; the one whose turn it is not waits on a full
    queue. Medians over rounds.
    """
    launchers = {
        "local": "--launcher local",
        "ray": "--launcher ray --actors 1 --eval-episodes 0",
    }
    rates: dict[str, list[float]] = {name: [] for name in launchers}
    with tempfile.TemporaryDirectory() as folder:
        runners = {}
        for launcher, flags in launchers.items():
            words = f"actor_critic --env CartPole-v1 --core feedforward {flags}"
            config = parse_train([*words.split(), *VTRACE])
            runners[launcher] = _Timed(config, Path(folder) / launcher)
        try:
            for _ in range(NUM_ROUNDS):
                for launcher, runner in runners.items():
                    rates[launcher].append(runner.rate(SECONDS_A_ROUND, UPDATES_A_ROW))
        finally:
            for runner in runners.values():
                runner.close()
    local, over_ray = (statistics.median(rates[name]) for name in ("local", "ray"))
    return [
        {
            "bench": "one actor, CartPole-v1",
            "local env steps/s": round(local),
            "ray env steps/s": round(over_ray),
            "ratio": round(over_ray / local, 3),
        }
    ]


def bench_scaling() -> list[dict[str, Any]]:
    """Actors whose steps take a fixed time: env steps/s of N over N times those of one.

    One run, to which actors are added: every ratio is of the same processes.
    """
    words = f"""actor_critic --env {SLEEPING} --env.seconds {STEP_SECONDS}
    --core feedforward --launcher ray --actors {NUM_ACTORS[0]} --num-envs 1
    --eval-episodes 0 --agent.unroll-length 10 --agent.batch-size 2
    --agent.torso-size 32"""
    config = parse_train([*words.split(), *VTRACE])
    rows: list[dict[str, Any]] = []
    start(num_cpus=NUM_ACTORS[-1] + 2)
    with tempfile.TemporaryDirectory() as folder:
        timed = _Timed(config, Path(folder))
        try:
            for actors in NUM_ACTORS:
                timed.wait_for_actors(actors)
                timed.rate(SECONDS_TO_SETTLE)
                rate = timed.rate(SECONDS_A_SCALE)
                alone = rows[0]["env steps/s"] if rows else rate
                rows.append(
                    {
                        "bench": f"steps of {1000 * STEP_SECONDS:.0f} ms",
                        "actors": actors,
                        "env steps/s": round(rate, 1),
                        "share of linear": round(rate / (actors * alone), 3),
                        "share of the environment": round(rate * STEP_SECONDS / actors, 3),
                    }
                )
        finally:
            timed.close()
            disconnect(is_ours=True)
    return rows


class _Timed:
    """A runner that is at work, and its clock."""

    def __init__(self, config: TrainConfig, folder: Path) -> None:
        self.runner: Any = build_runner(resolve(config), RunFolder(folder))
        state = self.runner.init(jax.random.PRNGKey(0)[None])
        self._state = self.runner.prepare(state, TOTAL_UPDATES)
        self.rate(0.0)  # Compiles.

    def rate(self, seconds: float, updates_a_row: int = 1) -> float:
        """Environment steps a second, over at least so many seconds."""
        began, before = time.perf_counter(), self.runner.counts(self._state).units
        while True:
            self._state, _ = self.runner.train(self._state, updates_a_row)
            passed = time.perf_counter() - began
            if passed >= seconds:
                return (self.runner.counts(self._state).units - before) / passed

    def wait_for_actors(self, count: int) -> None:
        """Has so many actors in all, and learns until each of them acts."""
        there = {row.kind: row.wanted for row in self.runner.roles()}["actor"]
        self.runner.add_actors(count - there)
        while {row.kind: row.alive for row in self.runner.roles()}["actor"] < count:
            self.rate(0.0)

    def close(self) -> None:
        self.runner.close()
