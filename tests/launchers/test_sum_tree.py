"""The tree of sums: sums by hand, and draws beside theory."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import chisquare

from tolman.launchers.device.sum_tree import (
    FANOUT,
    draw_items,
    make_sum_tree,
    set_weights,
)

NUM_DRAWS = 20_000


def test_every_node_is_the_sum_of_what_is_below():
    rng = np.random.default_rng(0)
    num_items = 3 * FANOUT**2 + 5
    tree, weights = make_sum_tree(num_items), np.zeros(num_items)
    change = jax.jit(set_weights)
    for _ in range(20):
        items = rng.choice(num_items, 40, replace=False)
        weights[items] = rng.integers(0, 100, 40)
        tree = change(tree, jnp.asarray(items), jnp.asarray(weights[items], jnp.float32))
    assert [len(level) for level in tree] == [784, 64, 16]
    for level in tree:  # Whole numbers of this size are exact in float32.
        wanted = np.zeros(len(level))
        wanted[: len(weights)] = weights
        np.testing.assert_array_equal(level, wanted)
        weights = wanted.reshape(-1, FANOUT).sum(-1)


@pytest.mark.parametrize("num_items", [7, 100, 1000])
def test_items_are_drawn_in_proportion_to_their_weights(num_items):
    rng = np.random.default_rng(num_items)
    weights = rng.random(num_items) ** 3
    weights[rng.random(num_items) < 0.2] = 0.0
    tree = set_weights(
        make_sum_tree(num_items), jnp.arange(num_items), jnp.asarray(weights, jnp.float32)
    )
    draw = jax.jit(draw_items, static_argnums=2)
    items, probability = draw(tree, jax.random.PRNGKey(1), NUM_DRAWS)
    share = weights / weights.sum()
    np.testing.assert_allclose(probability, share[items], rtol=1e-5)
    counts = np.bincount(items, minlength=num_items)
    assert counts[weights == 0.0].sum() == 0
    rare = share * NUM_DRAWS < 5.0  # Chi-squared wants enough of each.
    observed = np.append(counts[~rare], counts[rare].sum())
    expected = np.append(share[~rare], share[rare].sum()) * NUM_DRAWS
    is_there = expected > 0.0
    assert chisquare(observed[is_there], expected[is_there]).pvalue > 1e-3


def test_one_item_among_a_million_is_found():
    """Where nothing else has weight, rounded sums may not lead anywhere else."""
    num_items = 10**6
    tree = make_sum_tree(num_items)
    for item in (0, 12_345, num_items - 1):
        lone = set_weights(tree, jnp.array([item]), jnp.array([1e-6]))
        items, probability = draw_items(lone, jax.random.PRNGKey(0), 100)
        np.testing.assert_array_equal(items, item)
        np.testing.assert_array_equal(probability, 1.0)


def test_a_million_items_are_told_apart():
    """A single random number of 24 bits would favour some items twofold."""
    num_items = 10**6
    tree = set_weights(make_sum_tree(num_items), jnp.arange(num_items), jnp.ones(num_items))
    items, _ = draw_items(tree, jax.random.PRNGKey(0), 10**5)
    # As often as n independent draws meet: n^2 / 2N pairs share an item.
    counts = np.bincount(items, minlength=num_items)
    pairs = (counts * (counts - 1) / 2).sum()
    assert pairs == pytest.approx(5e3, rel=0.06)  # Four standard errors.
    assert chisquare(np.bincount(items % 16, minlength=16)).pvalue > 1e-3


def test_the_least_random_number_draws_no_item_of_weight_0(monkeypatch):
    tree = set_weights(make_sum_tree(20), jnp.array([3, 17]), jnp.array([2.0, 6.0]))
    monkeypatch.setattr(jax.random, "uniform", lambda key, shape: jnp.zeros(shape))
    items, probability = draw_items(tree, jax.random.PRNGKey(0), 2)
    assert items.tolist() == [3, 3]
    assert probability.tolist() == [0.25, 0.25]
