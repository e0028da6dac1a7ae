"""The rolling window: what each step of an unroll sees."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tolman.networks import window

rows_in_view = jax.jit(window.rows_in_view, static_argnames="capacity")
window_mask = jax.jit(window.window_mask, static_argnames="capacity")
length_after = jax.jit(window.length_after, static_argnames="capacity")


def test_rows_in_view_by_hand():
    reset = jnp.array([[0, 0, 1, 0, 0, 0], [1, 0, 0, 0, 0, 1]], bool).T
    in_view = rows_in_view(reset, jnp.array([2, 2]), capacity=3)
    # Row 0: two stored, then three of capacity, wiped at step 2. Row 1: wiped at once.
    np.testing.assert_array_equal(in_view.T, [[2, 3, 0, 1, 2, 3], [0, 1, 2, 3, 3, 0]])
    np.testing.assert_array_equal(length_after(in_view, capacity=3), [3, 1])


def test_mask_by_hand():
    in_view = jnp.array([[1], [2], [0]])
    mask = window_mask(in_view, capacity=2)[0]
    #  stored: -2 -1, new: 0 1 2
    expected = [[0, 1, 1, 0, 0], [0, 1, 1, 1, 0], [0, 0, 0, 0, 1]]
    np.testing.assert_array_equal(mask, expected)


@settings(max_examples=30, deadline=None)
@given(
    reset=st.lists(st.booleans(), min_size=10, max_size=10),
    length=st.integers(0, 4),
)
def test_window_equals_a_list_that_is_cut(reset, length):
    """Against a list that a reset empties and that keeps the last `capacity` entries."""
    capacity = 4
    in_view = rows_in_view(np.array(reset)[:, None], np.array([length]), capacity=capacity)
    mask = np.asarray(window_mask(in_view, capacity=capacity)[0])
    kept = list(range(capacity - length, capacity))  # Positions of the stored rows.
    for step, opens in enumerate(reset):
        kept = [] if opens else kept
        seen = [*kept, capacity + step]
        np.testing.assert_array_equal(np.flatnonzero(mask[step]), seen)
        kept = seen[-capacity:]
    assert int(length_after(in_view, capacity=capacity)[0]) == len(kept)


def test_extend_puts_new_rows_behind_the_stored_ones():
    rows, new = jnp.zeros((2, 3, 1)), jnp.arange(4.0).reshape(2, 2, 1)
    np.testing.assert_array_equal(
        window.extend(rows, new)[..., 0], [[0, 0, 0, 0, 2], [0, 0, 0, 1, 3]]
    )


@pytest.mark.parametrize(
    ("num_steps", "capacity", "expected"),
    [
        (20, 64, 20),
        (63, 64, 63),
        (64, 64, 32),
        (66, 65, 33),
        (31, 5, 31),
        (32, 5, 16),
        (1, 1, 1),
    ],
)
def test_a_block_is_half_a_window_of_a_long_unroll(num_steps, capacity, expected):
    assert window.block_length(num_steps, capacity) == expected


@pytest.mark.parametrize(
    ("num_steps", "capacity", "length"), [(7, 3, 7), (8, 4, 2), (11, 5, 3), (9, 3, 4)]
)
def test_a_step_finds_each_earlier_row_at_its_distance(num_steps, capacity, length):
    rows = 1 + jnp.arange(2 * (capacity + num_steps)).reshape(2, -1)  # [B, N + T]
    cut = window.spans(rows, capacity, length)  # [blocks * B, S]
    steps = jnp.arange(2 * num_steps).reshape(-1, 2)  # [T, B]
    folded = window.fold(steps, length)
    np.testing.assert_array_equal(window.unfold(folded, num_steps), steps)
    assert len(cut) == folded.shape[1]
    for step, member in np.ndindex(num_steps, 2):
        block, place = divmod(step, length)
        column = 2 * block + member
        assert folded[place, column] == steps[step, member]
        now = cut.shape[1] - length + place
        for distance in range(capacity + 1):
            found = cut[column, now - distance]
            assert found == rows[member, capacity + step - distance]


@settings(max_examples=20, deadline=None)
@given(reset=st.lists(st.booleans(), min_size=11, max_size=11), length=st.integers(0, 5))
def test_the_mask_of_blocks_is_the_same_cut(reset, length):
    in_view = rows_in_view(np.array(reset)[:, None], np.array([length]), capacity=5)
    whole = np.asarray(window.block_mask(in_view, 5, 11))[0]
    np.testing.assert_array_equal(whole, window_mask(in_view, capacity=5)[0])
    blocks = np.asarray(window.block_mask(in_view, 5, 3))  # [4, 3, 6 + 3]
    for step in range(11):
        block, place = divmod(step, 3)
        expected = np.zeros(9, bool)  # Its first row stands 6 before the block's first.
        for row in np.flatnonzero(whole[step]):
            expected[row - 5 - 3 * block + 6] = True
        np.testing.assert_array_equal(blocks[block, place], expected)
