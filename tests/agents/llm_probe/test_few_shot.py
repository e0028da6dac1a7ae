"""Solved examples before questions."""

import pytest

from tolman.agents.llm_probe.content_effects.few_shot import with_examples
from tolman.agents.llm_probe.content_effects.nli import nli_items
from tolman.agents.llm_probe.content_effects.syllogisms import syllogism_items
from tolman.agents.llm_probe.content_effects.wason import wason_items


@pytest.mark.parametrize("make", [nli_items, syllogism_items, wason_items])
@pytest.mark.parametrize("count", [2, 5])
def test_examples_are_solved_ones_of_other_groups_in_the_same_condition(make, count):
    items = make()
    prefixes = set()
    for plain, item in zip(items, with_examples(items, count), strict=True):
        assert item.prompt.endswith(plain.prompt)
        prefix = item.prompt.removesuffix(plain.prompt)
        solved = [
            other
            for other in items
            if other.prompt + other.options[other.right] + "\n\n" in prefix
        ]
        assert len(solved) == count
        assert {other.condition for other in solved} == {plain.condition}
        assert plain.group not in {other.group for other in solved}
        assert item.baseline == prefix + plain.baseline.lstrip("\n")
        assert (item.right, item.options) == (plain.right, plain.options)
        prefixes.add((item.condition, prefix))
        rights = [other.right for other in solved]
        if len(plain.options) == 2:
            assert abs(rights.count(0) - rights.count(1)) <= 1
    assert len(prefixes) == 6


def test_without_examples_items_are_as_they_were():
    assert with_examples(wason_items(), 0) == wason_items()


def test_more_examples_than_there_are_are_refused():
    with pytest.raises(ValueError, match="num_examples=7: must be at most 6"):
        with_examples(wason_items(), 7)
