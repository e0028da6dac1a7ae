"""The table of docs/cores.md holds what is measured."""

import re
from pathlib import Path

import pytest

from tolman.launchers.catalog.names import CORE, find, make_core
from tolman.networks.core import CORES
from tolman.networks.cores import LSTM, GTrXL, GTrXLConfig, LSTMConfig
from tolman.networks.cost import core_cost

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "cores.md"
ROW = re.compile(r"^\| `(\w+)` \| ([\d,]+) \| ([\d,]+) \| ([\d,]+) \|", re.MULTILINE)


def _table():
    rows = ROW.findall(DOCUMENT.read_text())
    return {name: [int(cell.replace(",", "")) for cell in cells] for name, *cells in rows}


def test_every_core_has_a_row():
    assert set(_table()) == set(CORES)


@pytest.mark.parametrize("name", sorted(CORES.keys() - {"stacked_lstm"}))
def test_table_holds_what_is_measured(name):
    parameters, state_bytes, flops = _table()[name]
    cost = core_cost(make_core(name, find(CORE, name).default_settings()), num_features=64)
    assert (parameters, state_bytes) == (cost.num_parameters, cost.state_bytes)
    assert flops == pytest.approx(cost.step_flops, rel=0.01)  # Versions count ops apart.


def test_cost_of_an_lstm_by_hand():
    cost = core_cost(lambda: LSTM(LSTMConfig(8)), num_features=3)
    assert cost.num_parameters == 4 * 8 * (3 + 8 + 1)
    assert cost.state_bytes == 2 * 8 * 4
    products = 2 * 4 * 8 * (3 + 8)
    assert products < cost.step_flops < 1.5 * products


def test_a_step_of_gtrxl_never_projects_its_window_anew():
    """Eight more rows cost their own products, not two projections each."""
    size, heads = 32, 4
    flops = [
        core_cost(
            lambda length=length: GTrXL(
                GTrXLConfig(
                    hidden_size=size, num_heads=heads, num_layers=1, memory_length=length
                )
            ),
            num_features=3,
        ).step_flops
        for length in (64, 72)
    ]
    per_row = (flops[1] - flops[0]) / 8
    # Three products of H numbers a head: content, position, value; projecting a row to
    # keys and values would take 4 H * H.
    assert 3 * 2 * size * heads < per_row < 1.3 * 3 * 2 * size * heads < 4 * size * size
