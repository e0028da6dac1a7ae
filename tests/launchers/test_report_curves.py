"""The numbers and axes of the report's curves, worked out by hand."""

import numpy as np
import pytest

from tolman.launchers.report import charts, curves


def test_down_sampling_keeps_ends_and_extremes() -> None:
    steps = np.arange(20_000.0)
    values = np.sin(steps / 50)
    values[[777, 15_003]] = 9.0, -9.0
    x, y = curves.down_sample((steps, values))
    assert len(x) <= 1000 and (np.diff(x) > 0).all()
    assert (x[0], x[-1], y.max(), y.min()) == (0, 19_999, 9, -9)
    np.testing.assert_array_equal(y, values[x.astype(int)])


def test_smoothing_by_hand() -> None:
    values = np.array([0.0, 3.0, 6.0, 0.0])
    np.testing.assert_allclose(curves.smooth(values, 0.5), [1.5, 3, 3, 3])
    assert curves.smooth(values, 0.0) is values


def test_bins_of_evenly_logged_runs_are_their_points() -> None:
    steps = np.arange(1, 8) * 0.1
    binned = curves.bin_curves([(steps, steps * 2), (steps[:5], steps[:5] * 4)])
    assert binned is not None
    np.testing.assert_allclose(binned[0], steps[:5])
    np.testing.assert_allclose(binned[1], [steps[:5] * 2, steps[:5] * 4])
    assert curves.bin_curves([(steps[:2], steps[:2]), (steps[4:], steps[4:])]) is None


def test_interval_of_two_seeds_is_their_range() -> None:
    mean, low, high = curves.seed_interval(np.array([[1.0, 2.0], [3.0, 2.0]]))
    np.testing.assert_array_equal([mean, low, high], [[2, 2], [1, 2], [3, 2]])


def test_rare_spikes_leave_the_axis() -> None:
    values = np.ones(1000) + np.tile([0.0, 1.0], 500)
    values[500] = 80.0
    trace = charts.Trace(0, "run", np.arange(1000.0), curves.smooth(values, 0.05))
    low, high = charts._y_range((1.0, 80.0), [(trace.steps, values)], [trace])
    assert low < 1 and trace.values.max() < high < 4


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 10, [0, 2, 4, 6, 8, 10]),
        (-0.1, 0.11, [-0.1, -0.05, 0, 0.05, 0.1]),
        (3, 4.1, [3, 3.5, 4]),
    ],
)
def test_ticks(low: float, high: float, expected: list[float]) -> None:
    np.testing.assert_allclose(curves.ticks(low, high), expected, atol=1e-12)


def test_formats() -> None:
    numbers = (0.0, 999.0, 1500.0, 2e6, -3.25e9, 0.000123456)
    assert [curves.short_number(n) for n in numbers] == [
        *("0", "999", "1.5k", "2M", "-3.25G", "0.0001235")
    ]
    assert [curves.duration(s) for s in (0.5, 59, 61, 7260)] == [
        *("0.5 s", "59 s", "1 min 1 s", "2 h 1 min")
    ]
    assert [curves.format_number(v) for v in (None, 3, 3.0, 0.12345, "a", True)] == [
        *("\u2013", "3", "3", "0.1235", "a", "True")
    ]
