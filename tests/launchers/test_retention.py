"""What a run of tasks in turn keeps, from its folder to the page, by hand."""

import json

import numpy as np
import pytest
import yaml

from tolman.launchers.report import write_report
from tolman.launchers.report.folders import read_run
from tolman.launchers.report.retention import read_retention


def row(env_steps, index, a, b, **more):
    return {
        "env_steps": env_steps,
        "task/index": float(index),
        "eval/a/episode_return": a,
        "eval/b/episode_return": b,
        "eval/a/episode_length": 7.0,
        **more,
    }


ROWS = [
    row(
        10,
        0,
        0.5,
        0.1,
        **{"untrained/a/episode_return": 0.0, "untrained/b/episode_return": 0.3},
    ),
    row(20, 0, 0.9, 0.2),
    row(30, 1, 0.8, 0.6),
    row(40, 1, 0.4, 0.8),
    row(50, 2, 0.7, 0.5),
]


@pytest.fixture
def make(tmp_path):
    def make(rows=ROWS, tasks=("a", "b", "a"), name="run"):
        folder = tmp_path / name
        folder.mkdir()
        config = {"agent": "ewc", "env": "a", **({"tasks": list(tasks)} if tasks else {})}
        (folder / "config.yaml").write_text(yaml.safe_dump(config))
        lines = [json.dumps(each) + "\n" for each in rows]
        (folder / "metrics.jsonl").write_text("".join(lines))
        return folder

    return make


def test_a_task_that_returns_by_hand(make):
    kept = read_retention(read_run(make()))
    assert (kept.visits, kept.ends, kept.tasks) == (
        ["a", "b", "a"],
        [20, 40, 50],
        ["a", "b"],
    )
    np.testing.assert_allclose(kept.scores, [[0.9, 0.2], [0.4, 0.8], [0.7, 0.5]])
    np.testing.assert_allclose(kept.shades, [[1, 0], [0, 1], [0.6, 0.5]])
    np.testing.assert_allclose(kept.average, [0.9, 0.6, 0.6])
    assert kept.forgetting == pytest.approx({"b": 0.3})
    assert kept.forward_transfer == pytest.approx({"b": -0.1})
    assert kept.metric == "episode return"


def test_a_run_that_is_under_way_tells_what_there_is(make):
    kept = read_retention(read_run(make(ROWS[:3])))
    assert kept.visits == ["a", "b"] and kept.ends == [20, 30]
    assert kept.forgetting == pytest.approx({"a": 0.1})
    assert kept.forward_transfer == pytest.approx({"b": -0.1})
    kept = read_retention(read_run(make(ROWS[1:2], name="first")))
    assert kept.visits == ["a"] and kept.forgetting == kept.forward_transfer == {}
    np.testing.assert_array_equal(kept.shades, [[0.0]])


def test_without_an_evaluation_before_training_nothing_is_ahead(make):
    assert read_retention(read_run(make(ROWS[1:]))).forward_transfer == {}


def test_other_runs_have_none(make):
    assert read_retention(read_run(make(tasks=None))) is None
    for number, tasks in enumerate(("a,b", 7, {"a": 1}, [])):  # No list of names.
        folder = make(tasks=None, name=f"odd_{number}")
        config = {"env": "a", "tasks": tasks}
        (folder / "config.yaml").write_text(yaml.safe_dump(config))
        assert read_retention(read_run(folder)) is None
    bare = [{k: v for k, v in each.items() if "eval" not in k} for each in ROWS]
    assert read_retention(read_run(make(bare, name="bare"))) is None
    alone = [{k: v for k, v in each.items() if "task/" not in k} for each in ROWS]
    assert read_retention(read_run(make(alone, name="alone"))) is None


def test_the_page_shows_the_matrix_and_no_curve_of_one_point(make):
    page = write_report([make()]).read_text()
    assert page.count("<h2>Tasks in turn</h2>") == 1
    assert page.count('class="number heat own"') == 3  # One a visit.
    assert 'style="--share: 0.60"' in page and "2. b" in page
    assert "untrained/" not in page.replace("untrained/ ", "")
    assert "Tasks in turn" not in write_report([make(tasks=None, name="one")]).read_text()
