"""Stimuli, oracles and questions of rules versus exemplars."""

from collections import Counter

import jax
import numpy as np
import pytest

from tolman.agents.llm_probe.rule_exemplar import InContext, InWeights
from tolman.agents.llm_probe.rule_exemplar.oracles import (
    exemplar_learner,
    p_target,
    rule_learner,
    similarity_learner,
)
from tolman.agents.llm_probe.rule_exemplar.stimuli import Examples
from tolman.agents.llm_probe.rule_exemplar.words import bootstrap, questions


def draw(source, split, number=2_000):
    key = jax.random.PRNGKey(0)
    return jax.device_get(source.sample(source.load(split), key, number))


def test_oracles_are_told_apart():
    examples = draw(InContext(noise=0.0), "test")
    held_out = examples.is_held_out
    assert 0.45 < held_out.mean() < 0.55
    assert p_target(rule_learner(examples), examples).min() > 0.999
    nearest = p_target(exemplar_learner(examples), examples)
    assert nearest[~held_out].min() > 0.999
    assert nearest[held_out].mean() == pytest.approx(0.5, abs=0.06)  # 4 standard errors.


def test_a_learner_that_sums_likeness_counts_stimuli():
    """Corners of a square: BX is 1 away from 3 AX and 4 BW, and sqrt 2 from one AW."""
    a, b = np.array([0.0]), np.array([1.0])
    corners = {"AX": (a, a), "AW": (a, b), "BW": (b, b), "BX": (b, a)}
    shown = ["AX", "AX", "AX", "AW", "BW", "BW", "BW", "BW", "BX"]
    stimuli = np.array([np.concatenate(corners[one]) for one in shown])[None]
    labels = np.array([[0, 0, 0, 0, 1, 1, 1, 1]])
    one, none = np.array([1]), np.array([0])
    examples = Examples(stimuli, labels, one, none, np.array([True]))
    near, far = np.exp(-10 / np.sqrt(2)), np.exp(-10.0)
    expected = 4 * near / (4 * near + 3 * near + far)
    assert p_target(similarity_learner(examples), examples) == pytest.approx([expected])
    assert expected == pytest.approx(0.567, abs=0.001)


def test_contexts_are_balanced_and_either_place_decides():
    examples = draw(InContext(noise=0.0), "train", 200)
    assert not examples.is_held_out.any()
    assert (examples.labels.sum(1) == 4).all()
    first = 0
    for stimuli, labels in zip(examples.stimuli, examples.labels, strict=True):
        shown = Counter(map(bytes, stimuli[:-1]))
        assert sorted(shown.values()) == [1, 3, 4]
        first += all(len(np.unique(stimuli[:-1][labels == one, :64], axis=0)) == 1
                     for one in (0, 1))  # fmt: skip
    assert 70 < first < 130
    assert 70 < examples.target.sum() < 130


def test_pretraining_asks_the_held_out_combination():
    share = draw(InContext(held_out_share=0.25), "train").is_held_out.mean()
    assert share == pytest.approx(0.25, abs=0.04)


def test_a_context_in_weights_says_nothing_of_the_task_asked():
    examples = draw(InWeights(num_tasks=3), "test", 500)
    asked = examples.target // 2
    assert (examples.labels // 2 != asked[:, None]).all()
    assert (examples.target // 2 == examples.other // 2).all()
    assert (examples.target != examples.other).all()
    # The held-out combination has the label of B, whose share of the seen ones is a half.
    assert (examples.target[examples.is_held_out] % 2 == 1).all()
    assert set(examples.target.tolist()) == set(range(6))


def test_p_target_is_among_the_two_labels_of_the_task():
    none = np.zeros((1, 1))
    examples = Examples(none, none, np.array([2]), np.array([0]), none)
    logits = np.array([[0.0, 9.0, np.log(3)]])
    assert p_target(logits, examples) == pytest.approx([0.75])


def test_questions_in_words():
    asked = questions()
    assert asked == questions()
    assert Counter(one.is_held_out for one in asked) == {False: 288, True: 96}
    assert len({(one.place, one.is_swapped) for one in asked}) == 4
    for one in asked:
        *shown, last = one.prompt.split(". ")
        pairs = [line.rstrip(".").split(" is ") for line in shown]
        query = last.removesuffix(" is")
        counts = Counter(label for _, label in pairs)
        assert counts == {one.target.strip(): 4, one.other.strip(): 4}
        by_word = {pair.split()[one.place]: label for pair, label in pairs}
        assert by_word[query.split()[one.place]] == one.target.strip()
        assert (query not in [pair for pair, _ in pairs]) == one.is_held_out


def test_bootstrap_draws_groups():
    assert bootstrap(np.array([1.0, 0, 1, 0]), np.array([0, 0, 1, 1])) == (0.5, 0.5)
    low, high = bootstrap(np.array([1.0, 1, 0, 0]), np.array([0, 0, 1, 1]))
    assert (low, high) == (0.0, 1.0)
