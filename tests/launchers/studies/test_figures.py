"""What is drawn of curves with gaps."""

import warnings

import numpy as np

from tolman.launchers.studies.figures import learning_curves


class _Receives:
    def figure(self, figure, name, caption):
        self.drawn = figure


def test_rows_of_no_member_are_left_out():
    """Before an episode ends there is no return; NumPy warns of medians of nothing."""
    gap, study = np.nan, _Receives()
    values = np.array([[gap, gap], [1.0, gap], [3.0, 5.0]])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        learning_curves(study, {"a": (np.array([10, 20, 30]), values)}, "return", {})
    (line,) = study.drawn.axes[0].get_lines()
    assert line.get_xdata().tolist() == [20, 30]
    assert line.get_ydata().tolist() == [1.0, 4.0]
