"""What follows: against what logicians have counted."""

from itertools import product

from tolman.agents.llm_probe.content_effects.logic import (
    Comparison,
    Statement,
    cards_to_turn,
    comparison_follows,
    follows,
    worlds,
)

S, P, M = range(3)
QUANTIFIERS = ("all", "no", "some", "some_not")


def test_worlds_by_hand():
    assert len(set(worlds(3, has_existential_import=False))) == 256
    # 256 less those without one term, by inclusion and exclusion.
    assert len(set(worlds(3, has_existential_import=True))) == 256 - 3 * 16 + 3 * 4 - 2


def test_there_are_15_valid_syllogisms_and_24_with_existential_import():
    figures = (((M, P), (S, M)), ((P, M), (S, M)), ((M, P), (M, S)), ((P, M), (M, S)))
    forms = [
        (Statement(major, *one), Statement(minor, *two), Statement(said, S, P))
        for (one, two), major, minor, said in product(
            figures, QUANTIFIERS, QUANTIFIERS, QUANTIFIERS
        )
    ]
    for has_import, count in ((False, 15), (True, 24)):
        assert sum(follows(form[:2], form[2], has_import) for form in forms) == count


def test_named_forms():
    barbara = [Statement("all", M, P), Statement("all", S, M)]
    assert follows(barbara, Statement("all", S, P), has_existential_import=False)
    assert not follows(barbara, Statement("some", S, P), has_existential_import=False)
    assert follows(barbara, Statement("some", S, P), has_existential_import=True)
    undistributed = [Statement("all", P, M), Statement("all", S, M)]
    assert not follows(undistributed, Statement("all", S, P), has_existential_import=True)


def test_comparisons_and_cards():
    greater = Comparison(0, True, 1)
    assert comparison_follows(greater, Comparison(1, False, 0))
    assert not comparison_follows(greater, Comparison(1, True, 0))
    assert cards_to_turn() == (0, 3)  # p and not q, Wason 1968.
