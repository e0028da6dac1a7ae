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


def test_agents_are_what_they_are_called():
    for label, variant in {**study.FULL_VARIANTS, **study.QUICK_VARIANTS}.items():
        assert (variant.core == "feedforward") == (label == "FF")
        assert variant.is_shuffled == ("shuffled" in label)
        assert (variant.settings.get("wiring") != "plain") == ("Nav" in label)
        is_regression = variant.settings.get("depth_target") == "regression"
        assert is_regression == ("regression" in label)
        for cost, mark in (("depth_1", "D1"), ("depth_2", "D2"), ("loop", " L")):
            assert bool(variant.settings.get(f"{cost}_cost")) == (mark in label), label


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
    for start, is_sooner in ((32, True), (34, False)):  # 34 and 36 decisions of 50.
        other = Study("navigation/auxiliary", "", "", True, 0, tmp_path)
        some = {**curves, study.D2: rising(start, start, start)}
        study._check_decisions(other, setting, "maze/tiny", some)
        assert other.checks[0].passed == is_sooner
    never = {label: rising(200, 200, 200) for label in curves}
    for some in (never, {study.D2: rising(1, 1, 1)}):  # Nobody is there; one was left out.
        study._check_decisions(done, setting, "maze/tiny", some)
    assert len(done.checks) == 1 and "no seed at a return of 7" in done.notes[0]
    assert len(done.notes) == 1 and len(done.tables) == 3


def test_parts_of_a_setting_are_chosen():
    options = study.Options(("maze/i_maze",), ("Nav + D2", "Nav"), 1_000, 2)
    chosen = study.choose(study.FULL, options)
    assert list(chosen.mazes) == ["maze/i_maze"] and chosen.num_seeds == 2
    assert list(chosen.variants) == ["Nav + D2", "Nav"] and chosen.num_decisions == 1_000
    assert study.choose(study.FULL, study.Options()) == study.FULL
    with pytest.raises(ValueError, match=r"--agents 'Nav': must be of 'LSTM', .* in this"):
        study.choose(study.QUICK, study.Options(agents=("Nav",)))
    (problem,) = study.Options(mazes=("maze/tini",)).setting_problems()
    assert problem[0] == "mazes" and "did you mean 'maze/tiny'" in problem[1]


def test_what_was_left_out_is_compared_with_nothing(tmp_path):
    high, low = np.full((4, 3), 6.0), np.full((4, 3), 2.0)

    def claims(quick, setting, returns):
        done = Study("navigation/auxiliary", "", "", quick, 0, tmp_path)
        study._check(done, setting, "maze/static_1", returns)
        return {one.claim.split(": ")[1]: (one.measured, one.passed) for one in done.checks}

    found = claims(False, study.FULL, {"Nav": low, "Nav + D2": high})
    assert found == {
        "area under the curve, Nav + D2 over Nav": (3.0, True),
        "the worst seed with D2 less the best without": (4.0, True),
    }
    assert claims(False, study.FULL, {"Nav + D2": high, "LSTM": low}) == {}
    all_of_them = dict.fromkeys(study.FULL_VARIANTS, low)
    assert len(claims(False, study.FULL, all_of_them)) == 5
    shuffled = {study.NONE: low, study.SHUFFLED: high}
    assert claims(True, study.QUICK, shuffled) == {
        "the same ratio with shuffled depth": (3.0, False)
    }


def curve(*areas):
    """Of seeds, one each."""
    return np.tile(np.float64(areas), (4, 1))


@pytest.mark.parametrize(
    ("quick", "changes", "number"),
    [
        (True, {}, None),
        (True, {"LSTM + D2": curve(1.3, 1.3, 1.28)}, 0),
        (True, {"LSTM": curve(0.75, 0.75, 1.5)}, 1),
        (True, {"LSTM + D2, shuffled": curve(1.2, 1.15, 1.15)}, 2),
        (False, {}, None),
        (False, {"Nav + D2": curve(1.2, 1.2, 1.19)}, 0),
        (False, {"Nav": curve(0.75, 0.75, 1.5)}, 1),
        (False, {"Nav + D2, shuffled": curve(1.1, 1.1, 1.12)}, 2),
        (False, {"Nav, depth as input": curve(1.4, 1.4, 1.45)}, 3),
        (False, {"Nav + D2, regression": curve(1.4, 1.4, 1.45)}, 4),
    ],
)
def test_bars_by_hand(tmp_path, quick, changes, number):
    """Areas of 1 without, 1.4 with D2; whose check fails, of all."""
    if quick:
        setting, base = study.QUICK, {"LSTM": curve(1, 1, 1)}
        base |= {"LSTM + D2": curve(1.4, 1.4, 1.4), study.SHUFFLED: curve(1.1, 1.1, 1.2)}
    else:
        setting, base = study.FULL, {"Nav": curve(1, 1, 1)}
        base |= {"Nav + D2": curve(1.4, 1.4, 1.4), study.NAV_RGBD: curve(1.1, 1.0, 1.1)}
        base |= {study.REGRESSION: curve(1.1, 1.0, 1.1)}
        base |= {"Nav + D2, shuffled": curve(1.0, 1.1, 1.1)}
    done = Study("navigation/auxiliary", "", "", quick, 0, tmp_path)
    study._check(done, setting, "maze/tiny", {**base, **changes})
    passed = [check.passed for check in done.checks]
    assert passed == [one != number for one in range(3 if quick else 5)]


@pytest.mark.slow
def test_the_quick_study_runs_end_to_end(tmp_path, monkeypatch):
    short = dataclasses.replace(study.QUICK, num_decisions=4_000)
    monkeypatch.setattr(study, "QUICK", short)
    assert run_study("navigation/auxiliary", True, 0, tmp_path / "s") in (0, 1)
    assert (tmp_path / "s" / "figures" / "curves_tiny.png").exists()
