"""Attention against numbers worked out by hand and slow NumPy loops."""

import jax.numpy as jnp
import numpy as np
import pytest

from tolman.networks import attention


def test_masked_softmax_by_hand():
    logits = jnp.array([0.0, jnp.log(3.0), 1e30])
    weights = attention.masked_softmax(logits, jnp.array([True, True, False]))
    np.testing.assert_allclose(weights, [0.25, 0.75, 0.0], atol=1e-6)
    assert weights[2] == 0.0  # Exactly: a masked row must not leak.


def test_skew_by_hand():
    rows = jnp.array([[1, 2], [3, 4], [5, 6]])
    expected = [[1, 2, 0, 0], [0, 3, 4, 0], [0, 0, 5, 6]]
    np.testing.assert_array_equal(attention.skew(rows), expected)


def test_sinusoids_by_hand():
    # Frequencies 1 and 1/100 at distance 2.
    row = attention.sinusoids(3, 4)[2]
    expected = [np.sin(2), np.sin(0.02), np.cos(2), np.cos(0.02)]
    np.testing.assert_allclose(row, expected, atol=1e-6)


@pytest.fixture
def case():
    rng = np.random.default_rng(0)
    num_steps, batch, heads, head_size, size, capacity = 4, 2, 3, 5, 6, 3
    draw = lambda *shape: rng.normal(size=shape).astype(np.float32)  # noqa: E731
    return (
        draw(num_steps, batch, heads, head_size),
        draw(heads, head_size, size),
        draw(batch, capacity + num_steps, size),
        capacity,
    )


def test_content_logits_and_read_equal_loops(case):
    query, weights, rows, _ = case
    logits = np.asarray(attention.content_logits(query, weights, rows))
    values = np.asarray(attention.read(logits, weights, rows))
    for t, b, h in np.ndindex(query.shape[:3]):
        keys = rows[b] @ weights[h].T  # [S, K]
        np.testing.assert_allclose(
            logits[b, h, t], keys @ query[t, b, h] / np.sqrt(5), atol=1e-5
        )
        np.testing.assert_allclose(values[t, b, h], logits[b, h, t] @ keys, rtol=1e-4)


def test_position_logits_equal_loops(case):
    query, weights, _, capacity = case
    logits = np.asarray(attention.position_logits(query, weights, capacity))
    assert logits.shape == (2, 3, 4, 7)
    frequency = 1.0 / 10_000 ** (np.arange(0, 6, 2) / 6)
    for t, b, h in np.ndindex(query.shape[:3]):
        for position in range(7):
            distance = capacity + t - position
            if 0 <= distance <= capacity:
                angle = distance * frequency
                encoding = np.concatenate([np.sin(angle), np.cos(angle)])
                expected = query[t, b, h] @ weights[h] @ encoding / np.sqrt(5)
                np.testing.assert_allclose(logits[b, h, t, position], expected, atol=1e-5)


def test_contract_rounds_its_operands_and_sums_in_float32():
    x = jnp.full((1, 512), 1.0 + 2**-9)  # bfloat16 keeps 8 bits: rounds to 1.
    product = attention.contract("ij,kj->ik", x, jnp.ones((1, 512)), dtype="bfloat16")
    assert product.dtype == jnp.float32
    assert float(product[0, 0]) == 512.0
    exact = attention.contract("ij,kj->ik", x, jnp.ones((1, 512)))
    assert float(exact[0, 0]) == 513.0
