"""The benchmark: every part is measured, and a floor is a floor."""

import json

import pytest

from tolman.launchers import bench
from tolman.launchers.benches import on_device, turns


@pytest.fixture
def short(monkeypatch):
    monkeypatch.setattr(turns, "NUM_ROUNDS", 7)
    monkeypatch.setattr(turns, "SECONDS_PER_SAMPLE", 0.01)
    cases = (on_device.Case("two_step", "gru", 4, 11),)
    monkeypatch.setattr(on_device, "ON_DEVICE_CASES", cases)


def test_one_row_a_case(short, capsys):
    assert bench.run_bench("on_device", as_json=True) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["environment"], row["core"], row["batch"]) == ("two_step", "gru", 4)
    assert row["env steps/s"] > 0 and row["compilations"] == 1
    # The loop does all that the floor does and more; generous, for a noisy machine.
    assert 0.0 < row["ratio to floor"] < 2.0
    assert 0.0 < row["environment share"] < row["ratio to floor"] + row["acting share"]
    assert row["bound"] in ("network", "acting", "environment")


def test_turns_are_taken(short):
    calls = []
    parts = {name: lambda count, name=name: calls.append((name, count)) for name in "ab"}
    seconds = turns.take_turns(parts)
    assert set(seconds) == {"a", "b"} and [name for name, _ in calls[-2:]] == ["a", "b"]


def test_unknown_name():
    with pytest.raises(ValueError, match=r"unknown \(did you mean 'on_device'\?\)"):
        bench.run_bench("on_devise", as_json=False)
