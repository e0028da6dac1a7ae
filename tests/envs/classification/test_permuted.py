"""Permuted images: orders of pixels, squares, and examples by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tolman.envs.classification import PermutedImages, mnist
from tolman.envs.classification.permuted import Images, examples_of


def test_every_task_has_an_order_of_its_own_and_task_0_none():
    orders = [PermutedImages(task).order(28) for task in range(4)]
    assert orders[0].tolist() == list(range(784))
    for order in orders:
        assert sorted(order.tolist()) == list(range(784))
    for one in range(4):
        for other in range(one):
            assert (orders[one] == orders[other]).mean() < 0.02
    np.testing.assert_array_equal(orders[2], PermutedImages(2).order(28))
    assert (orders[2] != PermutedImages(2, seed=1).order(28)).any()


@pytest.mark.parametrize(("side", "inside"), [(8, 8), (26, 26), (28, 28), (0, 28)])
def test_a_square_in_the_middle_changes_places(side, inside):
    order = PermutedImages(1, side).order(28).reshape(28, 28)
    where = np.arange(784).reshape(28, 28)
    first = (28 - inside) // 2
    middle = np.zeros((28, 28), bool)
    middle[first : first + inside, first : first + inside] = True
    np.testing.assert_array_equal(order[~middle], where[~middle])
    assert set(order[middle]) == set(where[middle])
    assert (order[middle] != where[middle]).mean() > 0.9


def test_a_square_must_fit():
    with pytest.raises(ValueError, match="side=9: must be at most 8"):
        PermutedImages(1, 9).order(8)


def test_examples_by_hand(monkeypatch):
    image = np.array([[[0, 51], [102, 255]], [[255, 0], [0, 0]]], np.uint8)
    digits = mnist.Digits(image, np.array([3, 7], np.int32))
    monkeypatch.setattr(mnist, "read", lambda name, split: digits)
    task = PermutedImages(1)
    data = task.load("train")
    order = jnp.array([2, 0, 3, 1])
    got = examples_of(Images(data.image, data.label, order), jnp.array([1, 0]))
    np.testing.assert_allclose(got.x, [[0, 1, 0, 0], [0.4, 0, 1, 0.2]], rtol=1e-6)
    assert got.target.tolist() == [7, 3]
    drawn = jax.jit(task.sample, static_argnums=2)(data, jax.random.PRNGKey(0), 400)
    assert set(drawn.target.tolist()) == {3, 7}
    assert abs((np.asarray(drawn.target) == 3).mean() - 0.5) < 0.1
    assert task.num_classes == 10
