"""The benches of many environments and of populations: what is counted, and how often."""

import time

import pytest

from tolman.envs.serial_vector import SerialVector
from tolman.launchers.benches import populations, vectors
from tolman.launchers.benches.on_device import Case
from tolman.launchers.benches.sleeping import Sleeping


def test_copies_in_processes_are_set_beside_a_thread_s(monkeypatch):
    """8 copies: 6.4 times as fast in 8 processes is 0.8 of linear; 160 steps in 1.25 s."""
    monkeypatch.setattr(vectors, "ProcessVector", lambda make, *_: SerialVector(make, 1))
    seconds = {"thread": 8.0, "processes": 1.25}
    monkeypatch.setattr(vectors, "take_turns", lambda parts, least: seconds)
    row = vectors._bench_processes(vectors.Processes("sleeping", 8, 8))
    assert (row["gain"], row["of linear"], row["env steps/s"]) == (6.4, 0.8, 128)


def test_native_vectors_are_set_beside_the_first(monkeypatch):
    """One of a package that is not there is left out."""
    names = {"CartPole-v1": "", "vectorized": "", "envpool/CartPole-v1": "no_such_package"}

    def take_turns(parts, least, clock):
        for part in parts.values():
            part(1)
        return {"CartPole-v1": 0.5, "vectorized": 0.125}

    monkeypatch.setattr(vectors, "take_turns", take_turns)
    rows = list(vectors._bench_native(4, names))
    assert [row["env steps per core-second"] for row in rows] == [160, 640]
    assert [row["of the first"] for row in rows] == [1.0, 4.0]
    assert [row["vector"] for row in rows] == ["as named", "Gymnasium's make_vec"]


def test_every_repetition_takes_as_many_steps():
    class Counting:
        num_envs, steps = 3, 0
        action_spec = Sleeping().action_spec

        def reset(self):
            return self

        observation = ()

        def step(self, action):
            assert action.shape == (3,)
            self.steps += 1

    vector = Counting()
    vectors.stepping(vector)(2)
    assert vector.steps == 2 * vectors.NUM_STEPS


@pytest.mark.parametrize("name", ["thread_time", "perf_counter"])
def test_a_step_computes_or_sleeps_as_long_as_it_says(name):
    clock = getattr(time, name)
    settings = (0.0, 0.01) if name == "thread_time" else (0.01, 0.0)
    environment = Sleeping(settings[0], 50, computing=settings[1])
    environment.reset()
    start, computed = clock(), time.thread_time()
    for _ in range(3):
        environment.step(0)
    assert clock() - start >= 0.03
    assert (time.thread_time() - computed >= 0.03) == (name == "thread_time")


def test_a_population_s_rate_is_that_of_all_its_members(monkeypatch):
    """Of 16 environments and 21 decisions: 4 members in twice the time, twice the rate."""
    monkeypatch.setattr(populations, "SIZES", (1, 4))
    monkeypatch.setattr(populations, "_training", lambda case, size: size)

    def take_turns(parts, least, clock):
        assert parts == {"1": 1, "4": 4}
        return {"1": 0.5, "4": 1.0}

    monkeypatch.setattr(populations, "take_turns", take_turns)
    one, four = populations._bench_case(Case("two_step", "lstm", 16, 21))
    assert (one["env steps per core-second"], one["gain"]) == (672, 1.0)
    assert (four["env steps per core-second"], four["gain"]) == (1344, 2.0)
