"""Unrolls of cores side by side: of one size, in turns, with what is installed."""

import json
import re

import pytest

from tolman.launchers.benches import bench, core_peers
from tolman.launchers.benches.core_peers import GROUPS, LSTM, Side, measure
from tolman.launchers.measuring import turns
from tolman.networks.core import CORES
from tolman.networks.others import NEEDS


@pytest.fixture
def short(monkeypatch):
    monkeypatch.setattr(turns, "NUM_ROUNDS", 3)
    monkeypatch.setattr(core_peers, "SECONDS_PER_SAMPLE", 0.001)
    monkeypatch.setattr(core_peers, "SIZES", ((4, 2),))


def test_ours_are_registered_and_the_others_named_as_their_packages_name_them():
    for ours, beside in GROUPS:
        assert ours.core in CORES and ours not in beside
        assert len({side.core for side in (ours, *beside)}) == 1 + len(beside)
        for side in set(beside) - {LSTM}:
            assert side.core.partition(":")[0] in NEEDS
            assert isinstance(json.loads(dict(side.kept).get("keywords", "{}")), dict)


def test_a_row_is_of_two_cores_of_one_size(short):
    beside = [Side("lstm"), Side("ffm", (("num_traces", 8),))]
    lstm, ffm = measure(Side("gru"), beside, 5, 3)
    assert (lstm["T"], lstm["B"], lstm["core"], lstm["beside"]) == (5, 3, "gru", "lstm")
    ours, theirs = (int(number) for number in re.findall(r"\d+", _bare(lstm)))
    # By hand: 48 units of 64 inputs, and 59 of the GRU.
    assert theirs == 4 * 48 * (64 + 48 + 1) and ours == 3 * 59 * (64 + 59 + 1)
    # A float32 a unit, and two; 8 traces at 4 frequencies, complex.
    assert lstm["state bytes"] == f"{4 * 59} and {2 * 4 * 48}"
    assert ffm["state bytes"] == f"{4 * 59} and {8 * 4 * 8}"
    assert 0 < lstm["lowest"] <= lstm["ratio"] <= lstm["highest"]


def _bare(row):
    return row["parameters"].replace(",", "")


def test_a_ratio_is_of_one_round_and_above_one_where_ours_is_faster(short, monkeypatch):
    samples = {"gru": [1.0, 2.0, 4.0], "lstm": [3.0, 2.0, 6.0]}
    monkeypatch.setattr(core_peers, "core_pass", lambda *sizes: lambda count: None)
    monkeypatch.setattr(core_peers, "sample_turns", lambda parts, **settings: samples)
    (row,) = measure(Side("gru"), [LSTM], 5, 3)
    assert (row["lowest"], row["ratio"], row["highest"]) == (1.0, 1.5, 3.0)
    assert row["ours, CPU ms"] == 2000.0


def test_what_a_model_does_not_take_is_told_in_its_row(short, monkeypatch):
    def refuses(make, num_features, length, batch_size):
        def part(count):
            if make == "LSTM":
                raise AssertionError("T must be 4")

        return part

    monkeypatch.setattr(core_peers, "core_pass", refuses)
    monkeypatch.setattr(core_peers, "_matched", _Named)
    (row,) = measure(Side("gru"), [LSTM], 5, 3)
    assert row == {
        "T": 5,
        "B": 3,
        "core": "gru",
        "beside": "lstm",
        "refused": "T must be 4",
    }


class _Named:
    def __init__(self, side):
        self.make = side.core.upper()


def test_a_package_that_is_not_installed_is_left_out_with_a_line(
    short, monkeypatch, capsys
):
    monkeypatch.setattr(core_peers, "lacking", lambda package: f"no {package}.")
    monkeypatch.setattr(core_peers, "GROUPS", (GROUPS[0], GROUPS[1]))
    assert bench.run_bench("core_peers", as_json=True) == 0
    told = capsys.readouterr()
    (row,) = json.loads(told.out)
    assert (row["core"], row["beside"]) == ("gru", "lstm")
    first, second, _ = told.err.splitlines()
    assert first == "Left out: memax's cores: no memax."
    assert second == "Left out: memorax's cores: no memorax."
