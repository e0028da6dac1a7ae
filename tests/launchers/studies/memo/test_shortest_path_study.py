"""The shortest-path study: what it says of facts, by hand, and all of it end to end."""

import json

import jax.numpy as jnp
import numpy as np
import pytest

from tolman.agents.memo import TrainingConfig
from tolman.envs.reasoning.task import Examples
from tolman.launchers.studies.memo import shortest_path
from tolman.launchers.studies.memo.common import Asked
from tolman.launchers.studies.memo.questions import Trained
from tolman.launchers.studies.memo.shortest_path import (
    SMALL,
    SPARSE,
    Budget,
    Stage,
    fact_classes,
    run_budget,
)
from tolman.launchers.studies.study import Study


def test_facts_by_hand():
    # Nodes 0 -> 1 -> 2 are the path; words are one more.
    edges = [(0, 1), (1, 2), (0, 3), (3, 2), (1, 0), (2, 1)]
    examples = Examples(
        facts=jnp.array([edges]) + 1,
        fact_mask=jnp.ones((1, 6), bool),
        query=jnp.array([[1, 3]]),
        target=jnp.array([[1]]),
        kind=jnp.array([0]),
    )
    names, belongs = fact_classes(examples)
    assert names == [
        "path, edge 1", "path, edge 2", "other out of start", "other into goal", "elsewhere"
    ]  # fmt: skip
    np.testing.assert_array_equal(belongs[0].argmax(-1), [0, 1, 2, 3, 4, 4])
    assert (belongs.sum(-1) == 1).all()


def test_small_study_end_to_end(tmp_path, monkeypatch):
    sizes = {"item_size": 4, "head_size": 4, "max_hops": 1, "halting": "learned"}
    monkeypatch.setattr(shortest_path, "SIZES", {"memo": sizes})
    study = Study("test", "Test", "-", True, seed=0, folder=tmp_path / "study")
    stages = (Stage(SMALL, ("memo",), 2),)
    run_budget(study, Budget(stages, 2, TrainingConfig(batch_size=8)))
    study.write()
    result = json.loads((tmp_path / "study" / "result.json").read_text())
    (check,) = result["checks"]
    assert check["bar"] == "> 0.99" and not check["passed"]
    (table,) = result["tables"]
    (row,) = table["rows"]
    assert row[1] == "MEMO" and row[-1] == "1.00"
    # Untrained models guess one node of ten.
    assert 2.0 < float(row[4]) < 25.0 and row[5] == ""
    figures = {path.name for path in (tmp_path / "study" / "figures").glob("*.png")}
    assert figures == {"learning_curves.png", "attention_1.png"}


def trained(first, second):
    """A population of three whose shares of right first and second nodes are given."""
    right = np.zeros((3, 100, 2), bool)
    for member, shares in enumerate(zip(first, second, strict=True)):
        for node, share in enumerate(shares):
            right[member, : round(100 * share), node] = True
    asked = Asked(np.zeros(100), right.all(-1), np.ones((3, 100)), right)
    return Trained(None, None, 7, asked)


def test_checks_and_table_by_hand(tmp_path):
    study = Study("test", "Test", "-", True, seed=0, folder=tmp_path)
    stage = Stage(SPARSE, ("memo", "emn"), 5)
    models = {
        "memo": trained((0.9, 0.6, 0.7), (0.5, 0.5, 0.5)),
        "emn": trained((0.2, 0.4, 0.3), (0.9, 0.8, 0.1)),
    }
    shortest_path._check(study, stage, models)
    (check,) = study.checks
    assert check.measured == pytest.approx(0.7 - 0.3) and check.passed
    models["emn"] = trained((0.8, 0.8, 0.1), (0.0, 0.0, 0.0))
    assert not shortest_path._check(study, stage, models)
    assert not study.checks[-1].passed
    shortest_path._report(study, {stage: models})
    name = "20 nodes, 3 edges, path 3"
    assert study.tables[0]["rows"] == [
        [name, "MEMO", 7, 5, "70.0", "50.0", "50.0", "1.00"],
        [name, "memory network", 7, 5, "80.0", "0.0", "0.0", "1.00"],
    ]
