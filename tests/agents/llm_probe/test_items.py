"""The questions: their numbers, their balance, and that they are what they say."""

from collections import Counter

import pytest

from tolman.agents.llm_probe.content_effects import nli
from tolman.agents.llm_probe.content_effects.items import nonsense_words
from tolman.agents.llm_probe.content_effects.logic import follows
from tolman.agents.llm_probe.content_effects.nli import COMPARISONS, nli_items
from tolman.agents.llm_probe.content_effects.syllogisms import (
    SCHEMATA,
    argument,
    syllogism_items,
)
from tolman.agents.llm_probe.content_effects.wason import wason_items


def test_nonsense_words_are_many_and_different():
    assert len(set(nonsense_words())) == len(nonsense_words()) == 156


@pytest.mark.parametrize("make, count", ((nli_items, 78), (syllogism_items, 48)))
def test_every_set_is_as_large_and_balanced_as_it_says(make, count):
    items = make()
    sizes = Counter(item.condition for item in items)
    assert sizes == dict.fromkeys(("consistent", "violate", "nonsense"), count)
    assert len({item.prompt for item in items}) == len(items)
    # Neither answer is right more often than the other, in any condition.
    rights = Counter((item.condition, item.right) for item in items)
    assert set(rights.values()) == {count // 2}
    for item in items:
        assert item.prompt.endswith(item.baseline) and item.prompt != item.baseline
        assert all(option[0] == " " and option[1] != " " for option in item.options)


def test_violations_turn_consistent_statements_around():
    items = {(item.group, item.condition): item for item in nli_items()}
    for (group, condition), item in items.items():
        if condition == "consistent":
            twin = items[group, "violate"]
            words, other = item.prompt.split(), twin.prompt.split()
            assert (words[1], words[5]) == (other[5].rstrip(","), other[1] + ",")
            assert (words[3], item.right) == (other[3], twin.right)
    great = {pair.split()[0] for text in COMPARISONS.values() for pair in text.split(", ")}
    for item in items.values():
        words = item.prompt.split()
        opposite = {
            word: pair[1 - i] for pair in COMPARISONS for i, word in enumerate(pair)
        }
        if words[3] != "shorter":  # That of "taller" and of "longer".
            assert item.options[item.right] == f" {opposite[words[3]]} than {words[1]}"
        if item.condition == "consistent" and words[3] == "bigger":
            assert words[1] in great


def test_a_consistent_premise_is_true_of_the_world_and_a_violation_is_not():
    true = set()
    for (more, less), things in nli.COMPARISONS.items():
        for great, small in (pair.split() for pair in things.split(", ")):
            true |= {f"If {great} are {more} than {small}"}
            true |= {f"If {small} are {less} than {great}"}
    for item in nli.nli_items():
        is_true = item.prompt.split(", then")[0] in true
        assert is_true == (item.condition == "consistent"), item.prompt


def test_validity_and_belief_are_crossed_in_every_group():
    cells = Counter(
        (item.group, item.is_valid, item.is_believable) for item in syllogism_items()
    )
    assert set(cells.values()) == {1} and len(cells) == 24 * 6
    for item in syllogism_items():
        assert item.right == (0 if item.is_valid else 1)
        if item.condition != "nonsense":
            assert (item.condition == "consistent") == (item.is_valid == item.is_believable)


def test_belief_is_about_the_conclusion_alone():
    """The same conclusion stands in a valid and in an invalid argument."""
    found = {}
    for item in syllogism_items():
        conclusion = item.prompt.split("Conclusion: ")[1]
        found.setdefault((conclusion, item.is_believable), []).append(item.is_valid)
    assert all(sorted(valid) == [False, True] for valid in found.values())
    assert found["Some flowers are not roses.\nAnswer:", True]
    assert found["All toys are kites.\nAnswer:", False]


def test_what_a_schema_calls_valid_is_so_whatever_exists():
    for schema in SCHEMATA:
        for is_valid in (True, False):
            for has_import in (True, False):
                assert follows(*argument(schema, is_valid), has_import) == is_valid


def test_each_answer_is_named_first_in_half_of_the_questions():
    first = Counter(
        (item.is_valid, item.is_believable, "is valid or invalid" in item.prompt)
        for item in syllogism_items()
    )
    assert set(first.values()) == {12}


def test_cards_come_in_every_order_and_the_right_pair_in_every_place():
    items = wason_items()
    sizes = Counter(item.condition for item in items)
    assert sizes == dict.fromkeys(("realistic", "arbitrary", "nonsense"), 72)
    # Of 24 orders, each pair of cards stands at each pair of places in four.
    rights = Counter((item.condition, item.right) for item in items)
    assert len(rights) == 18 and set(rights.values()) == {12}
    assert len({item.prompt for item in items}) == len(items)
    orders = Counter()
    rule = {"wine": "p", "juice": "not p", "adult": "q", "child": "not q"}
    for item in items:
        assert item.prompt.endswith(item.baseline) and len(set(item.options)) == 6
        if item.group == "wason/realistic/0":
            cards = item.prompt.split("Cards: ")[1].split(".")[0].split(", ")
            orders[tuple(rule[card.strip('"')] for card in cards)] += 1
            assert set(item.options[item.right].split('"')[1::2]) == {"wine", "child"}
    assert set(orders.values()) == {1} and len(orders) == 6
    assert len({order[0] for order in orders}) > 2


def test_every_rule_has_four_cards_of_its_own():
    for item in wason_items():
        cards = item.prompt.split("Cards: ")[1].split(".")[0].split(", ")
        assert len(set(cards)) == 4
