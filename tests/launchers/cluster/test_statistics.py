"""What the driver counts, with numbers worked out by hand."""

import math
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tolman.agents.agent import DataSpec
from tolman.launchers.cluster import statistics
from tolman.launchers.cluster.statistics import StepCounter, Throughput
from tolman.launchers.host.state import HostState, env_steps_per_update, total_updates


def state(env_steps):
    key = np.zeros(2, np.uint32)
    return HostState(None, key, np.int64(0), np.int64(env_steps))


def test_steps_of_a_queue_are_those_learned_from():
    count = StepCounter(DataSpec(unroll_length=5, batch_size=4), 2, state(7_000))
    count.take(0, 0, 99)
    assert count.total(updates=30) == 30 * 5 * 4


def test_steps_of_a_replay_are_those_in_it():
    data = DataSpec(5, 4, replay="uniform", period=2)
    count = StepCounter(data, num_envs=2, state=state(1_000))
    count.take(0, 0, 10)
    count.take(1, 0, 4)
    assert count.total(0) == 1_000 + 14 * 2
    count.take(0, 0, 12)
    count.take(0, 0, 12)
    assert count.total(0) == 1_000 + 16 * 2
    # A new incarnation counts from 0; what the one before inserted stays counted.
    count.take(0, 1, 0)
    assert count.total(0) == 1_000 + 16 * 2
    count.take(0, 1, 3)
    count.take(0, 1, 1)  # A report that came late.
    assert count.total(0) == 1_000 + 19 * 2


@given(st.lists(st.lists(st.integers(0, 50), min_size=1), min_size=1, max_size=4))
def test_each_insert_counts_once_whatever_the_reports(incarnations):
    data = DataSpec(1, 1, replay="uniform")
    count, before, expected = StepCounter(data, 1, state(0)), 0, 0
    for incarnation, inserts in enumerate(incarnations):
        total = 0
        for more in inserts:
            total += more
            count.take(0, incarnation, total)
            assert count.total(0) >= before
            before = count.total(0)
        expected += total
    assert count.total(0) == expected


def test_updates_of_a_run():
    queue = DataSpec(unroll_length=10, batch_size=8)
    assert env_steps_per_update(queue) == 80
    assert [total_updates(queue, n) for n in (1, 80, 81)] == [1, 1, 2]
    replay = DataSpec(
        10, 8, replay="uniform", period=5, min_size=100, samples_per_insert=4.0
    )
    assert env_steps_per_update(replay) == 8 * 5 / 4
    # 600 steps are 120 sequences: 20 after the first 100, drawn 4 times each, 8 a batch.
    assert total_updates(replay, 600) == 10


class Report(NamedTuple):
    num_steps: int


def test_rates_add_up_over_running_processes(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(statistics.time, "monotonic", lambda: now[0])
    throughput = Throughput()
    processes = [
        SimpleNamespace(kind="actor", index=index, incarnation=0) for index in range(2)
    ]
    for process in processes:
        throughput.take(process, Report(100))
    now[0] = 4.0
    throughput.take(processes[0], Report(500))
    throughput.take(processes[1], Report(140))
    assert throughput.note("actor") == "110 steps/s"
    processes[0].incarnation = 1
    throughput.take(processes[0], Report(0))
    assert throughput.note("actor") == "10 steps/s"
    assert math.isnan(throughput.lag)


@pytest.mark.parametrize("given_number, asked", [(None, 10), (3, 3)])
def test_number_of_episodes(given_number, asked):
    calls = []
    evaluator = SimpleNamespace(
        evaluate=SimpleNamespace(remote=lambda *args: calls.append(args))
    )
    scheduler = statistics.EvaluationScheduler(given_number)
    scheduler.poll(evaluator, now=1e6, labels=[1, 0])
    scheduler.request(evaluator, "params", [0, 0])
    assert calls == [(asked, 0, [1, 0]), (asked, 1, [0, 0], "params")]
