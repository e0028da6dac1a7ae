"""Captions that are asked for: prompts, cleaning, filters and balance."""

import numpy as np
import pytest

from tolman.agents.synth2.captions import (
    CaptionPlan,
    are_named,
    ask_for,
    balance,
    clean,
    keep,
    names_concept,
)

CONCEPTS = ["dog", "red ring", "goldfish, Carassius auratus"]


def rng(seed=0):
    return np.random.default_rng(seed)


def test_a_class_prompt_names_its_concept_and_all_concepts_come_alike():
    asked = ask_for(CaptionPlan(num_captions=3000, num_words=7), CONCEPTS, rng())
    shares = np.bincount(asked.concepts, minlength=3) / 3000
    assert shares == pytest.approx(np.full(3, 1 / 3), abs=0.03)
    for prompt, concept in zip(asked.prompts[:20], asked.concepts, strict=False):
        assert f"The image shows: {CONCEPTS[concept]}." in prompt
        assert "about 7 plain" in prompt
        assert sum(one in prompt for one in CONCEPTS) == 1
    again = ask_for(CaptionPlan(num_captions=3000, num_words=7), CONCEPTS, rng())
    assert again.prompts == asked.prompts


def test_an_unprompted_plan_names_none():
    asked = ask_for(CaptionPlan("unprompted", 4), [], rng())
    assert len(asked.prompts) == 4 and len(set(asked.prompts)) == 1
    assert "The image shows" not in asked.prompts[0]
    assert asked.concepts.tolist() == [-1] * 4


def test_a_narrow_plan_has_few_concepts():
    concepts = [f"c{i}" for i in range(50)]
    asked = ask_for(CaptionPlan("narrow", 500, num_narrow=6), concepts, rng())
    other = ask_for(CaptionPlan("narrow", 500, num_narrow=6), concepts, rng(1))
    assert len(set(asked.concepts)) == len(set(other.concepts)) == 6
    assert set(asked.concepts) != set(other.concepts)


def test_concepts_are_needed():
    with pytest.raises(ValueError, match="style='narrow': needs concepts, and none are"):
        ask_for(CaptionPlan("narrow"), [], rng())


@pytest.mark.parametrize(
    ("answer", "caption"),
    [
        (" A dog runs.", "A dog runs."),
        ('"A dog runs on grass."\n\nI hope', "A dog runs on grass."),
        ("\n\nCaption: a dog\nCaption: a cat", "a dog"),
        ("1. The caption: \u201ca dog\u201d", "a dog"),
        ("- a dog", "a dog"),
        ('""\na dog', "a dog"),
        ("  \n ", ""),
        ("", ""),
    ],
)
def test_the_caption_in_an_answer(answer, caption):
    assert clean(answer) == caption


def test_filters_by_hand():
    captions = [
        "a dog runs here",
        "A dog  runs here.",
        "a dog",
        "",
        "a dog runs " + "far " * 9,
        "a cat sleeps here",
        "two dogs run here",
    ]
    is_named = are_named(captions, np.array([0, 0, 0, 0, 0, 0, 0]), ["dog"])
    kept = keep(captions, is_named, min_words=3, max_words=10)
    assert kept.rows.tolist() == [0, 6]
    assert kept.removed == {
        "repeated": 1, "short": 1, "empty": 1, "long": 1, "concept missing": 1
    }  # fmt: skip


def test_bounds_are_allowed_and_the_first_filter_that_is_met_is_counted():
    captions = ["a dog runs", "a dog", "a dog runs far", "a dog runs so far", "a dog runs"]
    kept = keep(captions, np.array([1, 1, 1, 1, 0], bool), min_words=3, max_words=4)
    assert kept.rows.tolist() == [0, 2]
    # The last is a repetition, too.
    assert kept.removed == {"short": 1, "long": 1, "concept missing": 1}


def test_no_concept_is_missed_where_none_was_asked_for():
    assert are_named(["a cat", "a cat"], np.array([-1, 0]), ["dog"]).tolist() == [
        True,
        False,
    ]


def test_a_model_that_answers_nothing_is_told():
    with pytest.raises(
        ValueError, match="2 of 2 captions are empty: the model answers nothing"
    ):
        keep(["", " ."], np.ones(2, bool))
    assert keep([], np.ones(0, bool)).rows.tolist() == []


@pytest.mark.parametrize(
    ("caption", "concept", "is_named"),
    [
        ("Two dogs run.", "dog", True),
        ("a dogma", "dog", False),
        ("boxes in a row", "box", True),
        ("two ponies", "pony", True),
        ("a ring that is red", "red ring", False),
        ("small red rings", "red ring", True),
        ("reds ring", "red ring", False),
        ("a Carassius auratus swims", "goldfish, Carassius auratus", True),
        ("three goldfish", "goldfish, Carassius auratus", True),
        ("", "dog", False),
        ("a red", "red ring", False),
        ("a dog", " , ", False),
    ],
)
def test_what_names_a_concept(caption, concept, is_named):
    assert names_concept(caption, concept) == is_named


def test_balance_by_hand():
    concepts = np.array([5, 5, 1, 5, 5, 1, 7, -1])
    chosen = set()
    for seed in range(60):
        rows = balance(concepts, 2, rng(seed))
        assert sorted(rows) == rows.tolist()
        assert sorted(concepts[rows].tolist()) == [-1, 1, 1, 5, 5, 7]
        chosen.add(tuple(rows[concepts[rows] == 5].tolist()))
    assert len(chosen) == 6  # All pairs of four.
    assert balance(concepts, 9, rng()).tolist() == list(range(8))
    with pytest.raises(ValueError, match="at_most=0: must be at least 1"):
        balance(concepts, 0, rng())
