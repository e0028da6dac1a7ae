"""Captions as rows of numbers, and captions that cannot be."""

import numpy as np
import pytest

from tolman.agents.synth2.words import Words

WORDS = Words(("a", "cat", "dog", "on", "mat"), 4)


def test_rows_by_hand():
    rows = WORDS.encode(["A cat.", "a Dog on mat"])
    np.testing.assert_array_equal(rows, [[1, 3, 4, 2, 0, 0], [1, 3, 5, 6, 7, 2]])
    assert WORDS.size == 8 and WORDS.length == 6
    assert WORDS.decode(rows) == ["a cat", "a dog on mat"]


def test_what_follows_an_end_is_not_read():
    assert WORDS.decode([[1, 4, 2, 5, 5, 0], [1, 4, 99, 5, 5, 5]]) == [
        "cat",
        "cat dog dog dog",
    ]


@pytest.mark.parametrize(
    ("captions", "message"),
    [
        (["a cat", "", "?!"], r"2 of 3 are empty, the first is ''"),
        (["a cat on a mat"], r"1 of 1 have more than 4 words"),
        (["a cat", "a cow", "cow"], r"2 of 3 have words .* the first is 'a cow'"),
    ],
)
def test_captions_that_cannot_be(captions, message):
    with pytest.raises(ValueError, match=message):
        WORDS.encode(captions)
