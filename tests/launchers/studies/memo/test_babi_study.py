"""The bAbI study on generated stories and on files in bAbI's format, in miniature."""

import json
import random
from dataclasses import replace

import numpy as np
import pytest

from tolman.agents.memo import TrainingConfig
from tolman.envs.reasoning import Babi, BabiStyle, StoryTask
from tolman.envs.reasoning.babi_style import story_text
from tolman.launchers.studies.memo import babi
from tolman.launchers.studies.memo.babi import Budget, _all_questions
from tolman.launchers.studies.study import Study

BUDGET = Budget(("memo",), 2, 1, 12, TrainingConfig(batch_size=8))


@pytest.fixture
def small(monkeypatch):
    sizes = {"item_size": 4, "head_size": 4, "max_hops": 1, "use_fact_order": True}
    monkeypatch.setattr(babi, "SIZES", {"memo": sizes})


def test_every_test_question_is_asked():
    task = StoryTask(BabiStyle((1,), 300, 300), max_facts=10)
    draw, num_questions = _all_questions(task, "test")
    assert num_questions == 300
    data = task.load("test")
    asked = [np.asarray(draw(data, number).query) for number in range(2)]
    every = np.asarray(data.sentences)[np.asarray(data.query)]
    np.testing.assert_array_equal(asked[0], every[:250])
    np.testing.assert_array_equal(asked[1][:50], every[250:])
    assert (asked[1][50:] == every[-1]).all()


def test_study_on_generated_stories(tmp_path, monkeypatch, small):
    few = BabiStyle((1, 2), 400, 300)
    monkeypatch.setattr(babi, "BabiStyle", lambda tasks: replace(few, tasks=tasks))
    study = Study("test", "Test", "-", True, seed=0, folder=tmp_path)
    babi.run_style(study, BUDGET, (1, 2))
    study.write()
    result = json.loads((tmp_path / "result.json").read_text())
    assert [check["bar"] for check in result["checks"]] == ["> 0.95"] * 2
    assert not any(check["passed"] for check in result["checks"])
    assert all("bAbI-style" in check["claim"] for check in result["checks"])
    errors, steps = result["tables"]
    assert [row[0] for row in errors["rows"]][-2:] == ["mean", "solved (error below 5)"]
    assert len(steps["rows"]) == 1
    figures = {path.name for path in (tmp_path / "figures").glob("*.png")}
    assert figures == {"learning_curves.png", "attention.png"}


def test_study_on_files(tmp_path, small):
    folder = tmp_path / "babi" / "en-10k"
    folder.mkdir(parents=True)
    chance = random.Random(0)
    for part in ("train", "test"):
        text = "\n".join(story_text(1, chance) for _ in range(60))
        (folder / f"qa1_single-supporting-fact_{part}.txt").write_text(text)
    study = Study("test", "Test", "-", False, seed=0, folder=tmp_path / "study")
    budget = replace(BUDGET, max_facts=8)
    babi.run_babi(study, budget, Babi(str(folder.parent), tasks=(1,)))
    mean, solved = study.checks
    assert mean.bar == "< 1" and 30.0 < mean.measured <= 100.0
    assert solved.measured == 0 and not solved.passed
    rows = study.tables[0]["rows"]
    assert rows[-2:] == [["paper: mean", 0.21], ["paper: solved", 20]]
    assert any("only 270 training questions" in note for note in study.notes)
    assert any("more than 8 sentences" in note for note in study.notes)
