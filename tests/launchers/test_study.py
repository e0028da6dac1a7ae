"""The study harness: checks that can fail, folders, and stages that resume."""

import json
import sys
import types
from dataclasses import dataclass

import jax
import numpy as np
import pytest
from toys import make_agent

from tolman.envs.meta_rl import TwoStep
from tolman.launchers import cli
from tolman.launchers.device.on_device import OnDeviceRunner
from tolman.launchers.runs.failures import DivergenceError
from tolman.launchers.runs.loop import Plan
from tolman.launchers.studies.checks import standard_error
from tolman.launchers.studies.study import Study, run_study


def _study(folder, **settings):
    return Study("toy_study:one", "A toy", "Nobody", True, 0, folder, **settings)


def _train(study, num_members=2):
    environment = TwoStep(num_trials=2)
    agent = make_agent("meta_rl", environment, "feedforward", unroll_length=5)
    return study.train("stage", agent, environment, 60 * 10, num_members)


@pytest.fixture
def toy(monkeypatch):
    """Registers a study whose body the test supplies."""
    module = types.ModuleType("toy_study")
    module.TITLE, module.PAPER = "A toy", "Nobody"
    monkeypatch.setitem(sys.modules, "toy_study", module)
    module.one = module
    return module


@pytest.mark.parametrize(
    ("measured", "bounds", "passes"),
    [
        (0.5, {"above": 0.3}, True),
        (0.3, {"above": 0.3}, False),
        (0.5, {"below": 0.3}, False),
        (0.5, {"above": 0.4, "below": 0.6}, True),
        (0.7, {"above": 0.4, "below": 0.6}, False),
        (float("nan"), {"above": 0.0}, False),
        (float("nan"), {"below": 1.0}, False),
    ],
)
def test_check(tmp_path, measured, bounds, passes):
    study = _study(tmp_path)
    assert study.check("a claim", measured, "1", **bounds) is passes
    assert study.checks[0].passed is passes


def test_check_without_a_bar_is_refused(tmp_path):
    with pytest.raises(ValueError, match="give above=, below= or both"):
        _study(tmp_path).check("a claim", 1.0, "1")


def test_a_known_value_may_be_four_standard_errors_away(tmp_path):
    study = Study("a/b", "title", "paper", True, 0, tmp_path)
    error = standard_error(np.array([0.0, 1.0, 0.0, 1.0]))
    assert error == pytest.approx(np.sqrt(1 / 3) / 2)  # Deviation by n - 1, over sqrt(n).
    for measured, passes in ((0.539, True), (0.541, False), (0.461, True), (0.459, False)):
        given = study.check_chance("c", measured, "chance", expected=0.5, error=0.01)
        assert given is passes
    assert study.checks[0].bar == "> 0.46 and < 0.54"
    with pytest.raises(ValueError, match="1 values: a standard error needs at least 2"):
        standard_error(np.array([1.0]))


@pytest.mark.parametrize(("measured", "code"), [(2.0, 0), (0.5, 1)])
def test_exit_code_tells_the_verdict(toy, tmp_path, capsys, measured, code):
    def run(study):
        study.check("more than one", np.float32(measured), "2", above=1.0)
        study.table("Numbers", ["a"], [[np.float32(1.5)], [float("nan")]])

    toy.run = run
    assert run_study("toy_study:one", True, 3, tmp_path / "out") == code
    result = json.loads((tmp_path / "out" / "result.json").read_text())
    assert result["checks"][0]["passed"] is (code == 0)
    assert result["tables"][0]["rows"] == [[1.5], [None]]
    assert (result["seed"], result["quick"]) == (3, True)
    assert (tmp_path / "out" / "report.html").exists()
    assert ("FAIL" in capsys.readouterr().out) is (code == 1)


def test_mistakes_in_one_line(toy, tmp_path):
    toy.run = lambda study: study.check("true", 1.0, "1", above=0.0)
    with pytest.raises(
        ValueError, match=r"'memo/bab' is unknown \(did you mean 'memo/babi'\?\)"
    ):
        run_study("memo/bab", True, 0, tmp_path / "a")
    with pytest.raises(ValueError, match="seed=-1: must lie in"):
        run_study("toy_study:one", True, -1, tmp_path / "a")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("precious")
    with pytest.raises(ValueError, match="exists and holds no study"):
        run_study("toy_study:one", True, 0, tmp_path / "full")
    with pytest.raises(ValueError, match=r"--out .*thesis.tex: is a file. Give a folder"):
        run_study("toy_study:one", True, 0, tmp_path / "full" / "thesis.tex")
    run_study("toy_study:one", True, 0, tmp_path / "a")
    with pytest.raises(ValueError, match="Choose another folder"):
        run_study("toy_study:one", True, 1, tmp_path / "a")


def test_a_study_begins_in_a_folder_that_holds_its_half_written_marker(toy, tmp_path):
    toy.run = lambda study: study.check("true", 1.0, "1", above=0.0)
    (tmp_path / "study.json.unfinished").write_text('{"stu')
    assert run_study("toy_study:one", True, 3, tmp_path) == 0
    assert {path.name for path in tmp_path.glob("*.unfinished")} == set()


@pytest.mark.parametrize("total", [1, 7, 50, 60, 99, 1000, 2801])
def test_points_of_the_curve_are_even(total):
    done, points, plan = 0, [], Plan(total, total)
    while done < total:
        points.append(plan.next_row(done) - done)
        done += points[-1]
    assert done == total and len(points) == min(total, 50)
    assert max(points) - min(points) <= 1


def test_training_is_kept_and_not_repeated(tmp_path, monkeypatch):
    first = _train(_study(tmp_path))
    assert first.episode_return.shape[1] == 2 and first.env_steps[-1] == 600
    monkeypatch.setattr(OnDeviceRunner, "train", None)  # Would fail if it were called.
    again = _train(_study(tmp_path))
    jax.tree.map(np.testing.assert_array_equal, first, again)


def test_an_interrupted_stage_ends_as_an_unbroken_one(tmp_path, monkeypatch):
    monkeypatch.setattr("tolman.launchers.runs.loop.SECONDS_BETWEEN_CHECKPOINTS", 0.0)
    whole = _train(_study(tmp_path / "whole"))
    train, calls = OnDeviceRunner.train, []

    def interrupted(self, *arguments):
        calls.append(arguments)
        if len(calls) == 20:
            raise KeyboardInterrupt
        return train(self, *arguments)

    monkeypatch.setattr(OnDeviceRunner, "train", interrupted)
    with pytest.raises(KeyboardInterrupt):
        _train(_study(tmp_path / "cut"))
    monkeypatch.setattr(OnDeviceRunner, "train", train)
    resumed = _train(_study(tmp_path / "cut"))
    jax.tree.map(np.testing.assert_array_equal, whole.params, resumed.params)
    np.testing.assert_array_equal(whole.env_steps, resumed.env_steps)


def test_interrupt_says_how_to_go_on(toy, tmp_path, capsys):
    def run(study):
        raise KeyboardInterrupt

    toy.run = run
    assert run_study("toy_study:one", True, 5, tmp_path / "out") == 130
    hint = f"tolman study toy_study:one --quick --seed 5 --out {tmp_path / 'out'}"
    assert hint in capsys.readouterr().out


def test_figures_have_captions(tmp_path):
    from matplotlib.figure import Figure

    study = _study(tmp_path)
    study.figure(Figure(), "one", "First.")
    study.figure(Figure(), "two", "Second.")
    captions = json.loads((tmp_path / "figures" / "captions.json").read_text())
    assert captions == {"one.png": "First.", "two.png": "Second."}
    assert (tmp_path / "figures" / "two.png").stat().st_size > 0


def test_a_sample_that_diverges_as_a_whole_is_named(tmp_path):
    environment = TwoStep(num_trials=2)
    agent = make_agent(
        "meta_rl", environment, "feedforward", unroll_length=5, learning_rate=1e30
    )
    with pytest.raises(
        DivergenceError, match=r"loss/\w+ is finite for no member any more.*'stage'"
    ):
        _study(tmp_path).train("stage", agent, environment, 6000, 2)
    status = json.loads((tmp_path / "training" / "stage" / "status.json").read_text())
    assert status["state"] == "failed" and "for no member" in status["reason"]


@dataclass(frozen=True)
class ToyOptions:
    """Attributes:
    colour: several.
    """

    colour: tuple[str, ...] = ()


def test_a_study_with_options_of_its_own(toy, tmp_path, capsys):
    got = []

    def run(study, options):
        got.append(options)
        raise KeyboardInterrupt

    toy.run, toy.Options = run, ToyOptions
    words = ["study", "toy_study:one", "--out", str(tmp_path / "a"), "--colour", "red"]
    assert cli.main([*words, "blue"]) == 130
    assert got == [ToyOptions(("red", "blue"))]
    assert "toy_study:one --colour red blue --seed 0" in capsys.readouterr().out
    # The folder belongs to these options.
    assert cli.main(words) == 2
    assert "Choose another folder" in capsys.readouterr().err
    assert run_study("toy_study:one", True, 0, tmp_path / "b") == 130
    assert got[-1] == ToyOptions()


def test_a_study_without_options_refuses_them_in_one_line(toy, capsys):
    toy.run = lambda study: None
    assert cli.main(["study", "toy_study:one", "--colour", "red"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "flag --colour is unknown to study 'toy_study:one'" in error
