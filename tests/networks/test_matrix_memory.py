"""Matrix memories: by hand, chunks against steps, and what a key reads once overwritten."""

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tolman.networks.cores import DeltaNetConfig, LinearAttentionConfig
from tolman.networks.matrix_memory import Row, quicker_way, unroll_matrix

WAYS = ("sequential", "chunked")


def unroll(way, row, reset, state, chunk_length=4):
    """What is read `[T, B, heads, V]`, and the last memory; rows are given as they are."""
    index = jnp.moveaxis(jnp.indices(reset.shape), 0, -1)  # [T, B, 2], of T and of B.

    def enter(index):
        return jax.tree.map(lambda leaf: leaf[index[:, 0], index[:, 1]], row)

    forward = hk.without_apply_rng(
        hk.transform(
            lambda: unroll_matrix(
                enter, lambda read, x: read, index, reset, state, way, chunk_length
            )
        )
    )
    return forward.apply({})


def one_head(decay, key, value, query, strength=None):
    """Rows of one environment and head."""
    numbers = [decay, key, value, query] + ([] if strength is None else [strength])
    return Row(*(jnp.asarray(number, jnp.float32)[:, None, None] for number in numbers))


def test_a_key_that_is_written_again_reads_the_new_value_alone():
    """The delta rule with full strength, as by Schlag et al. 2021, section 4.2."""
    key = [[1.0, 0, 0, 0]] * 3
    value = [[0.0, 3, 0, 0], [0.0, 0, 7, 0], [0.0, 0, 0, 0]]
    ones = [1.0, 1.0, 1.0]
    reset, state = jnp.zeros((3, 1), bool), jnp.zeros((1, 1, 4, 4))
    for way in WAYS:
        replaced, _ = unroll(way, one_head(ones, key, value, key, ones), reset, state)
        np.testing.assert_allclose(replaced[1, 0, 0], [0, 0, 7, 0], atol=1e-6)
        np.testing.assert_allclose(replaced[2, 0, 0], [0, 0, 0, 0], atol=1e-6)
        added, _ = unroll(way, one_head(ones, key, value, key), reset, state)
        np.testing.assert_allclose(added[1, 0, 0], [0, 3, 7, 0], atol=1e-6)


@pytest.mark.parametrize("way", WAYS)
def test_by_hand(way):
    """One number: decays 1/2 and values 1, 2, 3 under keys 1, 2, 1; row 2 opens a task."""
    row = one_head(
        [0.5] * 3, key=[[1.0], [2.0], [1.0]], value=[[1.0], [2.0], [3.0]], query=[[2.0]] * 3
    )
    reset = jnp.array([[False], [False], [True]])
    read, state = unroll(way, row, reset, jnp.full((1, 1, 1, 1), 4.0))
    # 4/2 + 1 = 3, 3/2 + 4 = 5.5, then 3 alone; each is read with a query of 2.
    np.testing.assert_allclose(read[:, 0, 0, 0], [6, 11, 6])
    np.testing.assert_allclose(state[0, 0, 0, 0], 3)


@pytest.mark.parametrize("is_delta", [False, True])
@pytest.mark.parametrize("chunk_length", [1, 4, 11, 50])
def test_chunks_equal_steps_and_so_do_their_gradients(is_delta, chunk_length):
    rng = np.random.default_rng(0)
    shape = (11, 2, 3)  # [T, B, heads]

    def normal(*size):
        return rng.normal(size=(*shape, *size)).astype(np.float32)

    logits = normal()
    logits[3, 1, 2] = -60.0  # Next to nothing is kept, and yet no task opens.
    row = Row(logits, 0.5 * normal(4), normal(5), normal(4))
    row = row._replace(strength=rng.random(shape, np.float32)) if is_delta else row
    row = jax.tree.map(jnp.asarray, row)
    state = jnp.asarray(rng.normal(size=(2, 3, 5, 4)), jnp.float32)
    reset = np.zeros((11, 2), bool)
    reset[[0, 5, 6], 0] = True

    def total(row, state, way):
        row = row._replace(decay=jax.nn.sigmoid(row.decay))
        read, last = unroll(way, row, reset, state, chunk_length)
        return jnp.square(read).sum() + jnp.square(last).sum(), (read, last)

    take = jax.grad(total, argnums=(0, 1), has_aux=True)
    (slow, results), (fast, others) = (take(row, state, way) for way in WAYS)
    pairs = zip(*map(jax.tree.leaves, ((slow, results), (fast, others))), strict=True)
    for one, other in pairs:
        np.testing.assert_allclose(one, other, rtol=2e-4, atol=2e-4)
    assert not np.asarray(fast[1])[0].any() and np.asarray(fast[1])[1].any()


@pytest.mark.parametrize("config", [DeltaNetConfig, LinearAttentionConfig])
def test_a_range_upside_down_is_refused(config):
    wrong = config(shortest_memory=50, longest_memory=20)
    assert list(wrong.setting_problems()) == [
        ("longest_memory", "at least shortest_memory = 50")
    ]


@pytest.mark.parametrize(
    ("backend", "num_rows", "key_size", "expected"),
    [
        ("cpu", 1, 16, "sequential"),
        ("cpu", 2, 16, "chunked"),
        ("cpu", 32, 16, "chunked"),
        ("cpu", 33, 16, "sequential"),  # More than one chunk.
        ("cpu", 20, 15, "sequential"),
        ("gpu", 1_000, 8, "chunked"),
    ],
)
def test_the_quicker_way_by_hand(backend, num_rows, key_size, expected):
    assert quicker_way(backend, num_rows, 32, key_size) == expected
