"""Texts of many lengths in few shapes."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tolman.launchers.probe.batches import Batch, in_batches, stack


def test_batches_by_hand():
    lengths = [5, 20, 17, 16, 40]
    batches = list(in_batches(lengths, max_tokens=64, max_length=40))
    assert batches == [Batch([4], 1, 40), Batch([1, 2], 2, 32), Batch([3, 0], 2, 16)]


def test_stack_by_hand():
    rows = stack([[7, 8], [9]], Batch([1, 0], 4, 3))
    np.testing.assert_array_equal(rows, [[9, 0, 0], [7, 8, 0], [0, 0, 0], [0, 0, 0]])


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(1, 200), max_size=60), st.integers(1, 1000))
def test_every_text_is_in_one_batch_that_holds_it(lengths, max_tokens):
    batches = list(in_batches(lengths, max_tokens, max_length=200))
    assert sorted(i for batch in batches for i in batch.indices) == list(
        range(len(lengths))
    )
    for batch in batches:
        assert len(batch.indices) <= batch.num_rows < 2 * len(batch.indices)
        assert batch.num_rows & (batch.num_rows - 1) == 0
        assert batch.length in (16, 32, 64, 128, 200)
        assert max(lengths[i] for i in batch.indices) <= batch.length
        assert batch.num_rows == 1 or batch.num_rows * batch.length <= max_tokens
