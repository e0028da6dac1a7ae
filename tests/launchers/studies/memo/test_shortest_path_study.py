"""The shortest-path study: what it says of facts, by hand, and all of it end to end."""

import json

import jax.numpy as jnp
import numpy as np

from tolman.agents.memo import TrainingConfig
from tolman.envs.reasoning import ShortestPath
from tolman.envs.reasoning.task import Examples
from tolman.launchers.studies.memo import shortest_path
from tolman.launchers.studies.memo.shortest_path import Stage, fact_classes, run_stages
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
    sizes = {
        "memo": {"item_size": 4, "head_size": 4, "max_hops": 2, "halting": "learned"},
        "emn": {"num_hops": 1},
    }
    monkeypatch.setattr(shortest_path, "SIZES", sizes)
    task = ShortestPath(8, 2, 3)
    study = Study("test", "Test", "-", True, seed=0, folder=tmp_path / "study")
    training = TrainingConfig(batch_size=8)
    run_stages(study, (Stage(task, ("memo", "emn"), 3),), training, num_members=2)
    study.write()
    result = json.loads((tmp_path / "study" / "result.json").read_text())
    (check,) = result["checks"]
    assert check["bar"] == "> 0" and abs(check["measured"]) < 0.5
    (table,) = result["tables"]
    assert [row[1] for row in table["rows"]] == ["MEMO", "memory network"]
    # Untrained models guess one node of eight.
    assert all(0.0 < float(row[4]) < 45.0 for row in table["rows"])
    assert table["rows"][1][-1] == "1.00"
    figures = {path.name for path in (tmp_path / "study" / "figures").glob("*.png")}
    assert figures == {"learning_curves.png", "attention_1.png"}
