"""The navigation study's own parts: fields of each variant, the shuffled control, areas."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from tolman.agents.agent import Unroll
from tolman.envs.environment import TimeStep
from tolman.launchers.studies.navigation import auxiliary as study
from tolman.launchers.studies.study import Study, Training, run_study


def test_each_variant_gets_the_fields_that_it_needs():
    fields = {
        label: study.make_maze("maze/tiny", variant, {}).fields
        for label, variant in study.FULL_VARIANTS.items()
    }
    assert fields["FF"] == fields["LSTM"] == ("rgb",)
    assert fields["Nav"] == ("rgb", "velocity")
    assert fields["Nav, depth as input"] == ("rgbd", "velocity")
    assert fields["Nav + D1 D2 L"] == ("rgb", "velocity", "depth_classes", "loop_closure")
    for label, variant in study.FULL_VARIANTS.items():
        maze = study.make_maze("maze/tiny", variant, {"image_size": 16})
        agent = study.make_agent(study.FULL, variant, maze)
        heads = {task.name for task in agent._auxiliary_tasks}
        assert ("depth_2" in heads) == ("D2" in label), label


def test_the_shuffled_control_learns_the_depth_of_another_copy():
    maze = study.make_maze("maze/tiny", study.QUICK_VARIANTS[study.D2], {"image_size": 16})
    shuffled, plain = (
        study.make_agent(study.QUICK, study.QUICK_VARIANTS[name], maze)._auxiliary_tasks[0]
        for name in (study.SHUFFLED, study.D2)
    )
    classes = jnp.asarray(np.random.default_rng(0).integers(0, 8, (3, 4, 4, 16)))
    rows = jnp.zeros((3, 4))
    unroll = Unroll(
        TimeStep(rows, rows, rows, {"depth_classes": classes}, rows), None, None, None
    )
    right = 50.0 * np.eye(8, dtype=np.float32)[np.asarray(classes)]
    assert float(plain.loss(right, unroll).max()) < 1e-6
    of_next = np.roll(right, 1, axis=1)
    assert float(shuffled.loss(of_next, unroll).max()) < 1e-6
    assert float(shuffled.loss(right, unroll).min()) > 1.0
    accuracy = shuffled.metrics(of_next, unroll, jnp.ones((2, 4)))["accuracy"]
    assert float(accuracy) == 1.0


def test_area_by_hand():
    curve = np.array([[np.nan, 0.0], [0.2, 0.4], [0.4, 0.8]])  # No episode ended at first.
    np.testing.assert_allclose(study.area(curve), [0.3, 0.4])


def test_decisions_to_a_score_by_hand():
    curve = np.array([[np.nan, 9.0], [3.0, 0.0], [6.0, 0.0], [3.0, 0.0], [9.0, 0.0]])
    training = Training(None, np.array([10, 20, 30, 40, 50]), curve)
    # Means of three: 3, 4, 6 and 3, 0, 0; who is never there has all decisions.
    assert study.decisions_to(4.0, 30, training).tolist() == [40, 50]
    assert study.decisions_to(3.0, 30, training).tolist() == [30, 30]
    # Of single points, of all five, and of more than there are.
    assert study.decisions_to(3.0, 1, training).tolist() == [20, 10]
    assert study.decisions_to(4.2, 50, training).tolist() == [50, 50]
    assert study.decisions_to(0.0, 900, training).tolist() == [50, 50]


def test_the_ratio_of_decisions_has_an_interval(tmp_path):
    steps = np.arange(1, 101)

    def rising(*starts):
        return Training(None, steps, np.where(steps[:, None] >= starts, 9.0, 0.0))

    curves = {study.NONE: rising(48, 48, 48), study.D2: rising(10, 23, 48)}
    setting = dataclasses.replace(study.QUICK, score=7.0, window=3)
    done = Study("navigation/auxiliary", "", "", True, 0, tmp_path)
    study._check_decisions(done, setting, "maze/tiny", curves)
    check = done.checks[0]
    # A mean of three of 9 is at least 7 with the third: 50 and 12, 25, 50 decisions.
    assert check.measured == pytest.approx((0.24 * 0.5 * 1.0) ** (1 / 3))
    logs = np.log([0.24, 0.5, 1.0])
    half = 4.3027 * logs.std(ddof=1) / 3**0.5
    low, high = np.exp(logs.mean() - half), np.exp(logs.mean() + half)
    assert f"({low:.2f} to {high:.2f})" in check.claim and check.passed


@pytest.mark.slow
def test_the_quick_study_runs_end_to_end(tmp_path, monkeypatch):
    short = dataclasses.replace(study.QUICK, num_decisions=4_000)
    monkeypatch.setattr(study, "QUICK", short)
    assert run_study("navigation/auxiliary", True, 0, tmp_path / "s") in (0, 1)
    assert (tmp_path / "s" / "figures" / "curves_tiny.png").exists()
