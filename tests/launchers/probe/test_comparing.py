"""Answers compared by all their tokens, or by the first."""

import numpy as np
import pytest

from tolman.launchers.probe.comparing import (
    NotComparableError,
    first_token_of,
    log_probabilities,
)
from tolman.launchers.probe.model import Scores

TOLD = {" v": -3.0, " val": -1.0, " in": -0.5, "": -0.1, " a": -4.0}


def test_the_longest_token_that_begins_an_answer_counts():
    np.testing.assert_array_equal(
        first_token_of(TOLD, (" valid", " invalid")), [-1.0, -0.5]
    )


def test_what_is_not_told_is_at_most_as_likely_as_the_least_that_is():
    np.testing.assert_array_equal(first_token_of(TOLD, (" valid", " no")), [-1.0, -4.0])


@pytest.mark.parametrize("options", [(" valid", " value"), (" x", " y")])
def test_answers_that_first_tokens_do_not_tell_apart_are_refused(options):
    with pytest.raises(NotComparableError, match="Ask a model that scores prompts"):
        first_token_of(TOLD, options)


def test_a_model_that_scores_is_asked_for_whole_answers():
    class Model:
        abilities = frozenset({"score", "first token"})

        def score(self, prompts, continuations):
            return Scores(np.arange(len(prompts), dtype=float), np.ones(len(prompts)))

    found = log_probabilities(Model(), ["p", "q"], [(" a", " b"), (" c", " d", " e")])
    assert [one.tolist() for one in found] == [[0, 1], [2, 3, 4]]


def test_one_that_does_not_is_asked_for_first_tokens():
    class Model:
        abilities = frozenset({"first token"})

        def first_token(self, prompts):
            return [TOLD for _ in prompts]

    (found,) = log_probabilities(Model(), ["p"], [(" invalid", " valid")])
    assert found.tolist() == [-0.5, -1.0]
