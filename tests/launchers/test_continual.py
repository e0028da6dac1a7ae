"""What a learner keeps, by hand."""

import numpy as np
import pytest

from tolman.launchers.report.continual import (
    adjusted_rand_index,
    average_score,
    forgetting,
    forward_transfer,
)

SCORES = np.array([[0.9, 0.2, 0.1], [0.95, 0.8, 0.3], [0.5, 0.6, 0.7]])


def test_by_hand():
    np.testing.assert_allclose(average_score(SCORES), [0.9, 0.875, 0.6])
    # The best of task 0 was after task 1, the last row is no best.
    np.testing.assert_allclose(forgetting(SCORES), [0.45, 0.2])
    np.testing.assert_allclose(forward_transfer(SCORES, [0.3, 0.1, 0.15]), [0.1, 0.15])


def test_a_task_that_later_ones_help_has_been_forgotten_less_than_nothing():
    better = np.array([[0.5, 0.0], [0.7, 0.9]])
    np.testing.assert_allclose(forgetting(better), [-0.2])


def test_what_a_task_was_worth_before_it_was_learned_is_no_best():
    scores = np.array([[0.9, 0.9, 0.0], [0.9, 0.5, 0.0], [0.9, 0.4, 1.0]])
    np.testing.assert_allclose(forgetting(scores), [0.0, 0.1])


def test_one_task_alone_has_forgotten_nothing():
    one = np.array([[0.9]])
    assert average_score(one).tolist() == [0.9]
    assert forgetting(one).shape == forward_transfer(one, [0.1]).shape == (0,)


def test_a_task_that_returns_by_hand():
    """Tasks 0, 1, 0: a row for each visit."""
    scores, tasks = np.array([[0.9, 0.2], [0.4, 0.8], [0.7, 0.5]]), [0, 1, 0]
    np.testing.assert_allclose(average_score(scores, tasks), [0.9, 0.6, 0.6])
    np.testing.assert_allclose(forgetting(scores, tasks), [0.3])  # Of task 1 alone.
    np.testing.assert_allclose(forward_transfer(scores, [0.3, 0.1], tasks), [0.1])


def test_every_task_must_be_visited():
    for function in (average_score, forgetting):
        with pytest.raises(ValueError, match=r"scores of shape \[3, 2\]: must be \[V, K\]"):
            function(SCORES[:, :2])
        with pytest.raises(ValueError, match=r"of tasks \[0, 0, 1\]: must be"):
            function(SCORES, [0, 0, 1])


def test_groups_that_agree_by_hand():
    same = np.array([0, 0, 1, 1, 2])
    assert adjusted_rand_index(same, np.array([5, 5, 3, 3, 9])) == 1.0
    assert adjusted_rand_index(np.zeros(4), np.zeros(4)) == 1.0
    first, second = np.array([0, 0, 1, 1]), np.array([0, 0, 1, 2])
    # Rows 2 pairs, columns 1 pair, together 1: (1 - 2/6) / (1.5 - 2/6).
    assert adjusted_rand_index(first, second) == pytest.approx((1 - 2 / 6) / (1.5 - 2 / 6))
    # Two pairs in each, none together, 6 in all.
    crossed = adjusted_rand_index(np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1]))
    assert crossed == pytest.approx((0 - 4 / 6) / (2 - 4 / 6))
