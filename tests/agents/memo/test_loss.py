"""The losses of a reasoner, worked out by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tolman.agents.memo.loss import answer_loss, halting_loss, is_right

LOG_3 = float(np.log(3.0))  # As a logit: a probability of 3/4.


def test_answer_loss_by_hand():
    logits = jnp.log(jnp.array([[[0.5, 0.25, 0.25], [0.1, 0.1, 0.8]]]))
    loss = answer_loss(logits, jnp.array([[1, 2]]))
    np.testing.assert_allclose(loss, [np.log(4.0) + np.log(1.25)], rtol=1e-6)


def test_all_answers_must_be_right():
    logits = jnp.eye(3)[jnp.array([[0, 1], [0, 2]])]
    assert is_right(logits, jnp.array([[0, 1], [0, 1]])).tolist() == [True, False]


def test_halting_loss_by_hand():
    """Of at most 3 hops one question took 2, the other 3: one to stop, three to go on."""
    logits = jnp.array([[LOG_3, 0.0], [LOG_3, LOG_3], [9.0, 9.0]])
    value = jnp.array([[0.5, 0.2], [0.25, 0.4], [9.0, 9.0]])
    loss = halting_loss(logits, value, jnp.array([2.0, 3.0]), jnp.array([1.0, 0.0]), 0.5)
    # Question 1: returns 0.5 (one hop before the answer) and 1; it went on, then stopped.
    first = -np.log(3 / 4) * 0.0 - np.log(1 / 4) * 0.75
    # Question 2 earned nothing; hop 3, the last, is no decision.
    second = -np.log(1 / 2) * -0.2 - np.log(3 / 4) * -0.4
    assert float(loss.policy) == pytest.approx((first + second) / 2, rel=1e-5)
    squares = 0.0 + 0.75**2 + 0.2**2 + 0.4**2
    assert float(loss.value) == pytest.approx(0.5 * squares / 2, rel=1e-5)
    half, three = np.log(2.0), -0.75 * np.log(0.75) - 0.25 * np.log(0.25)
    assert float(loss.entropy) == pytest.approx((3 * three + half) / 2, rel=1e-5)


def test_without_discount_the_return_does_not_depend_on_the_hops():
    """A discount below 1 would be a second cost of a hop."""
    logits, value = jnp.zeros((4, 3)), jnp.zeros((4, 3))
    hops, reward = jnp.array([1.0, 2.0, 4.0]), jnp.ones(3)

    def gradient(discount):
        def policy(logits):
            return halting_loss(logits, value, hops, reward, discount).policy

        return np.asarray(jax.grad(policy)(logits)) * 3

    # Stopped: the slope is +1/2 times the return; went on: -1/2 times it.
    same = np.array([[0.5, -0.5, -0.5], [0, 0.5, -0.5], [0, 0, -0.5], [0, 0, 0]])
    np.testing.assert_allclose(gradient(1.0), same, atol=1e-6)
    np.testing.assert_allclose(gradient(0.5)[:, 2], [-1 / 16, -1 / 8, -1 / 4, 0], atol=1e-6)


def test_the_baseline_is_no_part_of_the_policy():
    arguments = jnp.array([1.0, 2.0]), jnp.array([1.0, 0.0]), 1.0
    logits = jnp.array([[0.3, -0.2], [0.1, 0.4]])

    def policy(value):
        return halting_loss(logits, value, *arguments).policy

    def value_loss(logits):
        return halting_loss(logits, jnp.zeros((2, 2)), *arguments).value

    np.testing.assert_array_equal(jax.grad(policy)(jnp.full((2, 2), 0.3)), 0.0)
    np.testing.assert_array_equal(jax.grad(value_loss)(logits), 0.0)
