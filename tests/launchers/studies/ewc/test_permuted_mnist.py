"""Permuted MNIST: checks that can fail, twins by hand, and all of it end to end, small."""

import json
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tolman.agents.classifier import Classifier, ClassifierConfig
from tolman.agents.ewc import Elastic, ElasticConfig
from tolman.agents.ewc.fisher import of_logits
from tolman.envs.classification import PermutedImages, mnist
from tolman.launchers.runs.failures import DivergenceError
from tolman.launchers.runs.folder import RunFolder
from tolman.launchers.studies.ewc import methods
from tolman.launchers.studies.ewc import permuted_mnist as study
from tolman.launchers.studies.ewc.methods import (
    Learned,
    Method,
    Setting,
    learn,
    make_on_end,
    make_score,
    shuffled,
)
from tolman.launchers.studies.study import Study, run_study

KEY = jax.random.PRNGKey(0)
BARS = study.QUICK_BARS


@pytest.fixture
def digits(monkeypatch):
    """Made-up digits of 6 x 6: a class is a bright row or column."""

    def read(name, split):
        rng = np.random.default_rng(0)
        label = np.arange(60, dtype=np.int32) % 10
        image = rng.integers(0, 120, (60, 6, 6)).astype(np.uint8)
        for number, row in enumerate(label):
            image[number, row % 6, : 3 + row // 6] = 255
        return mnist.Digits(image, label)

    monkeypatch.setattr(mnist, "read", read)
    monkeypatch.setattr(mnist, "which", lambda name: "mnist")


def _learned(kind, after, last=0.95, num_tasks=10):
    """A method whose mean falls in even steps from 0.97, and its last task when learned."""
    scores = np.zeros((1, num_tasks, num_tasks))
    for task in range(num_tasks):
        share = task / (num_tasks - 1)
        scores[0, task, : task + 1] = 0.97 + share * (after - 0.97)
    scores[0, -1, :-1] += (scores[0, -1, -1] - last) / (num_tasks - 1)
    scores[0, -1, -1] = last
    curves = np.moveaxis(scores, 0, -1)
    method = Method(kind, 20.0, 0.5)
    untrained, updates = np.full((1, num_tasks), 0.1), np.arange(1, num_tasks + 1)
    return Learned(method, scores, untrained, updates, curves, None, 1.0)


GOOD = {
    "ewc": _learned("ewc", 0.945),
    "sgd": _learned("sgd", 0.4),
    "l2": _learned("l2", 0.6),
    "shuffled": _learned("shuffled", 0.7, num_tasks=5),
    "strong": _learned("ewc", 0.9, last=0.5, num_tasks=5),
}


def _failed(folder, results):
    one = Study("ewc/x", "A toy", "Nobody", True, 0, folder)
    study.check(one, results, BARS)
    return [check.claim for check in one.checks if not check.passed]


def test_a_good_result_passes_every_check(tmp_path):
    assert _failed(tmp_path, GOOD) == []


@pytest.mark.parametrize(
    ("name", "result", "claim"),
    [
        ("ewc", _learned("ewc", 0.925), "EWC, mean of 10"),
        ("ewc", _learned("ewc", 0.925), "EWC, lost from one"),
        ("ewc", _learned("ewc", 0.945, last=0.92), "EWC, the last task"),
        ("ewc", _learned("ewc", 0.2), "EWC over L2"),
        ("ewc", _learned("ewc", 0.2), "EWC over shuffled"),
        ("sgd", _learned("sgd", 0.81), "SGD, mean"),
        ("l2", _learned("l2", 0.91), "EWC over L2"),
        ("shuffled", _learned("shuffled", 0.95, num_tasks=5), "EWC over shuffled"),
        ("strong", _learned("ewc", 0.9, last=0.94, num_tasks=5), "task 5 when learned"),
    ],
)
def test_one_broken_member_fails_its_check(tmp_path, name, result, claim):
    """The worst member counts, of what must fail the best."""
    scores = np.concatenate([GOOD[name].scores, result.scores])
    failed = _failed(tmp_path, {**GOOD, name: result._replace(scores=scores)})
    assert any(one.startswith(claim) for one in failed)


def test_near_tasks_must_share_the_first_layer_and_far_ones_the_last(tmp_path):
    def verdicts(near, far):
        one = Study("ewc/x", "A toy", "Nobody", True, 0, tmp_path)
        overlaps = {8: dict(enumerate(near)), 26: dict(enumerate(far))}
        study.check_overlap(one, overlaps)
        return [check.passed for check in one.checks]

    assert verdicts((0.9, 0.9), (0.4, 0.9)) == [True, True]
    assert verdicts((0.5, 0.9), (0.4, 0.9)) == [False, True]
    assert verdicts((0.9, 0.9), (0.4, 0.5)) == [True, False]


def test_scores_are_of_images_all_over_the_split(digits):
    task = PermutedImages(0)
    agent = Classifier(ClassifierConfig((4,)), task)
    data = task.load("test")
    params = agent.init(KEY, task.sample(data, KEY, 5)).params
    logits = agent.answer(params, type(task.sample(data, KEY, 1))(
        data.image.astype(jnp.float32) / 255, data.label), KEY).logits  # fmt: skip
    right = np.asarray(logits.argmax(-1) == data.label)
    assert float(make_score(agent, 60)(params, data)) == pytest.approx(right.mean())
    assert float(make_score(agent, 20)(params, data)) == pytest.approx(right[::3].mean())


def _ends(kind, index=1):
    """State, arrays and what a method holds after the end of a task."""
    tasks = [PermutedImages(task) for task in range(3)]
    agent = Classifier(ClassifierConfig((4,)), tasks[0])
    elastic = Elastic(agent, ElasticConfig(20.0))
    data = tasks[index].load("train")
    state = elastic.init(KEY, tasks[0].sample(data, KEY, 5))
    on_end = make_on_end(kind, elastic, tasks, 40)
    return tasks, elastic, data, state, on_end(state, data, KEY, jnp.int32(index))


def _trace(tree):
    return {k: [float(x.sum()) for x in layer.values()] for k, layer in tree.items()}


def test_l2_holds_all_weights_alike_and_sgd_none(digits):
    assert make_on_end("sgd", None, [], 1) is None
    *_, state = _ends("l2")
    assert all((leaf == 1).all() for leaf in jax.tree.leaves(state.quadratic.fisher))


def test_a_shuffled_fisher_keeps_its_values_and_not_their_places(digits):
    *_, plain = _ends("ewc")
    *_, mixed = _ends("shuffled")
    for a, b in zip(
        *(jax.tree.leaves(s.quadratic.fisher) for s in (plain, mixed)), strict=True
    ):
        np.testing.assert_allclose(np.sort(a.ravel()), np.sort(b.ravel()), rtol=1e-5)
    a, b = (s.quadratic.fisher["mlp/~/linear_0"]["w"] for s in (plain, mixed))
    assert not np.allclose(a, b)
    tree = shuffled({"w": jnp.arange(50.0)}, KEY)
    assert sorted(tree["w"].tolist()) == list(range(50)) and tree["w"][0] != 0


def test_a_late_anchor_has_the_fisher_of_the_task_before(digits):
    tasks, elastic, data, state, late = _ends("late", index=2)
    before = data._replace(order=jnp.asarray(tasks[1].order(6)))
    examples = tasks[0].sample(before, jax.random.split(KEY, 3)[0], 40)
    expected = elastic.fisher(state, examples, KEY)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-9),
        late.quadratic.fisher, expected,
    )  # fmt: skip
    *_, first = _ends("late", index=0)
    assert all((leaf == 0).all() for leaf in jax.tree.leaves(first.quadratic.fisher))


def test_uniform_answers_weigh_all_classes_alike(digits):
    tasks, elastic, data, state, held = _ends("uniform")
    examples = tasks[0].sample(data, jax.random.split(KEY, 3)[0], 40)
    expected = jax.tree.map(jnp.zeros_like, state.params)
    for label in range(10):
        fisher = of_logits(
            lambda w, e: elastic.inner.answer(w, e, KEY).logits,
            state.params, examples, jnp.full(40, label), KEY, "empirical",
        )  # fmt: skip
        expected = jax.tree.map(lambda total, one: total + one / 10, expected, fisher)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-9),
        held.quadratic.fisher, expected,
    )  # fmt: skip


@pytest.fixture
def tiny(monkeypatch, digits):
    """A quick setting of seconds."""
    setting = Setting((6, 5), 4, 20, 30, num_members=2, rows=2)
    budget = replace(
        study.QUICK, setting=setting, num_tasks=3, rates=(0.1, 0.3), control_tasks=3,
        l2_strengths=(1e-3,), search_tasks=2, overlap_updates=3,
        controls=("shuffled", "late"),
    )  # fmt: skip
    monkeypatch.setattr(study, "QUICK", budget)
    monkeypatch.setattr(study, "sides", lambda data: (2, 6))


def _run(folder, options):
    assert run_study("ewc/permuted_mnist", True, 0, folder, options) == 1
    result = json.loads((folder / "result.json").read_text())
    table = next(t for t in result["tables"] if t["title"].startswith("Accuracy"))
    figures = {path.name for path in (folder / "figures").glob("*.png")}
    return result, [row[:3] for row in table["rows"]], figures


def test_small_study_end_to_end(tmp_path, tiny):
    result, rows, figures = _run(tmp_path / "study", study.Options())
    assert result["notes"] == ["Data: MNIST, 28 x 28."]
    claims = [check["claim"] for check in result["checks"]]
    assert (
        "EWC, mean of 3 tasks" in claims
        and "EWC over anchor one task late, 3 tasks" in claims
    )
    assert [row[0] for row in rows][:3] == ["EWC", "SGD", "L2"]
    assert ["lambda too large", 1e9] in [row[:2] for row in rows]
    assert figures == {"three_tasks.png", "averages.png", "matrices.png", "overlap.png"}


def test_what_diverges_answers_by_chance_from_there_on(tmp_path, digits):
    one = Study("ewc/x", "A toy", "Nobody", True, 0, tmp_path)
    tasks = [PermutedImages(task) for task in range(2)]
    setting = Setting((6, 5), 4, 20, 30, num_members=2, rows=2)
    learned = learn(one, "all", Method("sgd", 0.0, 1e30), tasks, setting)
    np.testing.assert_array_equal(learned.scores, np.full((2, 2, 2), 0.1))
    assert learned.updates.tolist() == [2, 4, 6, 8] and learned.params is None
    (note,) = one.notes
    assert note.startswith("all_sgd_0_1e+30 diverged after 0 updates: from there on")


def test_one_diverged_member_leaves_the_others(tmp_path, digits, monkeypatch):
    """The rows that there are count; of the rest, as of what is not finite, chance."""

    def interrupted(folder, runner, keys, num_units, num_rows):
        folder.mkdir(parents=True)
        rows = [
            {"updates": 2, "eval/0/accuracy": [0.5, None], "eval/1/accuracy": [0.3, 0.2]},
            {"updates": 4, "eval/0/accuracy": [0.6, None], "eval/1/accuracy": [0.4, 0.2]},
        ]
        RunFolder(folder).metrics.write_text("".join(json.dumps(r) + "\n" for r in rows))
        raise DivergenceError("all")

    monkeypatch.setattr(methods, "run_stage", interrupted)
    one = Study("ewc/x", "A toy", "Nobody", True, 0, tmp_path)
    tasks = [PermutedImages(task) for task in range(2)]
    setting = Setting((6, 5), 4, 20, 30, num_members=2, rows=2)
    learned = learn(one, "all", Method("sgd", 0.0, 0.1), tasks, setting)
    np.testing.assert_allclose(learned.scores[0], [[0.6, 0.4], [0.1, 0.1]])
    np.testing.assert_allclose(learned.scores[1], [[0.1, 0.2], [0.1, 0.1]])
    assert "diverged after 4 updates" in one.notes[0]


def test_a_chosen_part_is_not_searched_and_has_no_controls(tmp_path, tiny):
    options = study.Options(
        rates=(0.2,), strengths=(5.0,), l2_strengths=(0.01,), num_members=1, controls=False
    )
    result, rows, figures = _run(tmp_path / "study", options)
    assert rows == [["EWC", 5.0, 0.2], ["SGD", 0.0, 0.2], ["L2", 0.01, 0.2]]
    assert [t["title"][:8] for t in result["tables"]] == ["Accuracy"]
    assert len(result["checks"]) == 5
    assert result["settings"]["setting"]["num_members"] == 1
    assert figures == {"three_tasks.png", "averages.png", "matrices.png"}
    assert len(list((tmp_path / "study" / "training").iterdir())) == 3


def test_a_search_takes_the_best_mean_of_the_validation_split(tmp_path, monkeypatch):
    asked = []

    def learn(study, label, method, sources, setting, split):
        asked.append((label, len(sources), setting.num_members, split))
        mean = {(3.0, 0.1): 0.8, (9.0, 0.1): 0.7, (3.0, 0.3): 0.75, (9.0, 0.3): 0.9}
        found = mean[method.strength, method.learning_rate]
        return _learned(method.kind, found, num_tasks=len(sources))

    monkeypatch.setattr(study, "learn", learn)
    one = Study("ewc/x", "A toy", "Nobody", True, 0, tmp_path)
    budget = replace(study.FULL, rates=(0.1, 0.3), search_tasks=4)
    tasks = [PermutedImages(task) for task in range(10)]
    best = study.search(one, "l2", budget, (3.0, 9.0), tasks)
    assert best == Method("l2", 9.0, 0.3)
    assert asked == [("search", 4, 1, "validation")] * 4
    assert [row[:2] for row in one.tables[0]["rows"]][:2] == [[0.1, 3.0], [0.1, 9.0]]


def test_overlaps_are_of_the_fishers_of_two_tasks(tmp_path, tiny, monkeypatch):
    def learn(study, label, method, sources, setting):
        assert label == "overlap_6" and [source.task for source in sources] == [0, 1]
        agent = Classifier(ClassifierConfig(setting.hidden_sizes), sources[0])
        examples = sources[0].sample(sources[0].load("test"), KEY, 2)
        params = jax.jit(agent.init)(KEY, examples).params
        params = jax.tree.map(lambda leaf: leaf[None], params)
        return _learned("ewc", 0.9)._replace(params=params)

    monkeypatch.setattr(study, "learn", learn)
    one = Study("ewc/x", "A toy", "Nobody", True, 0, tmp_path)
    found = study.measure_overlap(one, 6, study.QUICK, "mnist")
    assert len(found) == 7 and all(0.0 < value < 0.999 for value in found.values())


@pytest.mark.slow
def test_quick_study_passes(tmp_path):
    assert run_study("ewc/permuted_mnist", True, 0, tmp_path / "study") == 0
