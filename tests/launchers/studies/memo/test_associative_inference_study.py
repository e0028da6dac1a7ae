"""The study's own reckoning: scores, parts of a question, and checks that can fail."""

import dataclasses
from types import SimpleNamespace

import jax
import numpy as np
import pytest

from tolman.agents.memo import MemoConfig, Reasoner, TrainingConfig
from tolman.envs.reasoning.associative_inference import AssociativeInference
from tolman.launchers.studies.memo import associative_inference as study
from tolman.launchers.studies.memo.attention import part_names, parts, what_hops_read
from tolman.launchers.studies.memo.common import Asked, ask, percent
from tolman.launchers.studies.study import Study, run_study

TASK = AssociativeInference(
    chain_length=4, num_sequences=3, min_sequences=3, num_classes=12, item_size=4,
    num_exemplars=10,
)  # fmt: skip
PLACE = {letter: place for place, letter in enumerate("ABCD")}


def _agent():
    sizes = MemoConfig(item_size=4, num_heads=2, head_size=3, max_hops=2, hidden_size=5)
    return Reasoner(TrainingConfig(batch_size=4), sizes, TASK)


def _params(agent, seeds):
    examples = TASK.sample(TASK.load("train"), jax.random.PRNGKey(0), 4)
    keys = jax.vmap(jax.random.PRNGKey)(np.array(seeds))
    return jax.jit(jax.vmap(agent.init, (0, None)))(keys, examples).params


def test_scores_by_kind_by_hand():
    right = np.array([[True, False, True, False], [True, True, False, False]])
    asked = Asked(
        kind=np.array([0, 0, 1, 2]),
        is_right=right,
        answer_is_right=right[..., None],
        hops=np.array([[1.0, 2.0, 3.0, 4.0], [1.0, 1.0, 1.0, 5.0]]),
    )
    assert asked.accuracy([0]).tolist() == [0.5, 1.0]
    assert asked.accuracy([1, 2]).tolist() == [0.5, 0.0]
    assert asked.mean_hops([0, 2]).tolist() == pytest.approx([7 / 3, 7 / 3])
    assert percent(np.array([0.9, 1.0])) == "95.00 (5.00)"


def test_parts_of_a_question_are_its_sequence_and_the_lures():
    examples = TASK.sample(TASK.load("test"), jax.random.PRNGKey(3), 60)
    examples = jax.device_get(examples)
    rows = parts(examples, TASK)
    assert rows.shape == (60, 6) and part_names(TASK)[3] == "lure's A-B"
    for number in range(60):
        facts = examples.facts[number, rows[number]]  # [6, 2, O]
        for first in (0, 1, 3, 4):  # Each pair ends with what the next begins with.
            np.testing.assert_array_equal(facts[first, 1], facts[first + 1, 0])
        cue, match = (PLACE[x] for x in TASK.kinds[examples.kind[number]].split("-"))

        def item(sequence, place, facts=facts):
            pair = min(place, 2)
            return facts[3 * sequence + pair, place - pair]

        np.testing.assert_array_equal(item(0, cue), examples.query[number, 0])
        shown = {tuple(choice) for choice in examples.query[number, 1:]}
        assert shown == {tuple(item(0, match)), tuple(item(1, match))}


def test_members_are_asked_the_same_and_answer_for_themselves():
    agent = _agent()
    params = _params(agent, [0, 1])
    both = ask(agent, TASK, params, 0, 500)
    assert both.kind.shape == (500,) and both.is_right.shape == (2, 500)
    second = jax.tree.map(lambda leaf: leaf[1:], params)
    alone = ask(agent, TASK, second, 0, 500)
    np.testing.assert_array_equal(alone.kind, both.kind)
    assert (alone.is_right[0] == both.is_right[1]).mean() > 0.99
    read = what_hops_read(agent, TASK, jax.tree.map(lambda leaf: leaf[0], params), 0)
    assert set(read) == set(TASK.kinds) and read["A-D"].shape == (2, 2, 7)
    np.testing.assert_allclose(read["A-D"].sum(-1), 1.0, atol=1e-5)


def _trained(entry, right_by_distance, hops_by_distance, num_members=2):
    """What a model would be that is right so often."""
    kinds = np.repeat(np.arange(len(entry.task().distances)), 200)
    distance = np.array(entry.task().distances)[kinds]
    share = np.tile(np.arange(200) / 200, len(entry.task().distances))
    right = share < np.array([right_by_distance[d - 1] for d in distance])
    hops = np.array([float(hops_by_distance[d - 1]) for d in distance])
    rights, hops = np.stack([right] * num_members), np.stack([hops] * num_members)
    asked = Asked(kinds, rights, hops, rights[..., None])
    return study.Trained(entry, None, SimpleNamespace(), asked)


GOOD = {
    "memo_3": ((0.99, 0.985), (3, 3)),
    "one_hop_3": ((0.95, 0.5), (1, 1)),
    "halting_3": ((0.99, 0.98), (2, 2)),
    "memo_4": ((0.97, 0.96, 0.95), (4, 4, 4)),
    "halting_4": ((0.97, 0.96, 0.94), (2, 3, 3.5)),
    "memo_5": ((0.96, 0.94, 0.9, 0.88), (5, 5, 5, 5)),
    "memory_network_3": ((0.9, 0.5), (3, 3)),
    "universal_transformer_3": ((0.95, 0.85), (4, 4)),
    "dnc_3": ((0.9, 0.9), (36, 36)),
}


def _failed(folder, results):
    one = Study("memo/x", "A toy", "Nobody", False, 0, folder)
    trained = {entry.label: _trained(entry, *results[entry.label]) for entry in study.FULL}
    study._check(one, trained)
    return [check.claim for check in one.checks if not check.passed]


def test_a_good_result_passes_every_check(tmp_path):
    assert _failed(tmp_path, GOOD) == []


@pytest.mark.parametrize(
    ("label", "result", "claim"),
    [
        ("memo_3", ((0.99, 0.96), (3, 3)), "length 3, A-C"),
        ("memo_3", ((0.90, 0.985), (3, 3)), "length 3, direct"),
        ("one_hop_3", ((0.95, 0.7), (1, 1)), "one hop, A-C"),
        ("one_hop_3", ((0.85, 0.5), (1, 1)), "one hop, direct"),
        ("memo_4", ((0.97, 0.96, 0.92), (4, 4, 4)), "length 4, A-D"),
        ("memo_5", ((0.96, 0.94, 0.9, 0.8), (5, 5, 5, 5)), "length 5, A-E"),
        ("halting_3", ((0.99, 0.6), (1, 1)), "halting, length 3, A-C"),
        ("halting_3", ((0.99, 0.98), (4, 4)), "halting, length 3: hops"),
        ("halting_4", ((0.97, 0.96, 0.94), (3, 3, 3)), "halting, length 4: more hops"),
    ],
)
def test_a_broken_result_fails_its_check(tmp_path, label, result, claim):
    failed = _failed(tmp_path, {**GOOD, label: result})
    assert len(failed) == 1 and failed[0].startswith(claim)


def test_it_is_judged_by_memories_of_full_size():
    for entry in (*study.QUICK, *study.FULL):
        judged = study._judged_by(entry)
        assert judged.num_sequences == judged.min_sequences == 16
        assert dataclasses.replace(judged, min_sequences=2) == entry.task()


@pytest.mark.slow
def test_quick_study_passes(tmp_path):
    assert run_study("memo/associative_inference", True, 0, tmp_path / "study") == 0
    figures = {path.stem for path in (tmp_path / "study" / "figures").glob("*.png")}
    assert figures >= {"accuracy_by_distance", "hops_by_distance", "attention_memo_3"}
