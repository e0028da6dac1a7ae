"""Rows in words of 32 bits: no bit is lost, whatever they are made of."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tolman.launchers.device.rows import pack, unpack

NUMBERS = {
    "float32": [np.nan, -0.0, 1e-45, np.inf],
    "int32": [-(2**31), 2**31 - 1, 0, -1],
    "uint32": [0, 2**32 - 1, 1, 7],
    "uint8": [0, 255, 1, 7],
    "int8": [-128, 127, 0, -1],
    "int16": [-(2**15), 2**15 - 1, 0, -1],
    "bool": [True, False, True, True],
    "float16": [6e-8, 65504.0, -0.0, np.inf],
    "bfloat16": [1e-40, 3e38, -0.0, np.inf],
}


@pytest.mark.parametrize("dtype", NUMBERS)
def test_numbers_of_every_kind_come_back_bit_by_bit(dtype):
    given = np.asarray(NUMBERS[dtype]).astype(jnp.dtype(dtype)).reshape(2, 2)
    rows = pack({"x": jnp.asarray(given)}, 1)
    assert rows.words.shape == (2, 2) and not rows.large
    back = np.asarray(unpack(rows)["x"])
    assert back.dtype == given.dtype and back.tobytes() == given.tobytes()


def test_small_leaves_lie_side_by_side_and_large_ones_apart():
    """The largest small leaf has 16 numbers a row."""
    tree = {
        "a": jnp.arange(6.0).reshape(2, 3),
        "b": jnp.ones((2, 3, 4, 4)),
        "c": jnp.ones((2, 3, 17)),
        "d": jnp.ones((2, 3, 16), jnp.uint8),
        "e": jnp.ones((2, 3, 17), jnp.uint8),
        "f": (jnp.ones((2, 3, 2), bool), jnp.zeros((2, 3, 0))),
    }
    rows = pack(tree, 2)
    assert rows.words.shape == (2, 3, 1 + 16 + 16 + 2)
    assert [leaf.shape for leaf in rows.large] == [(2, 3, 17), (2, 3, 17)]
    words = np.asarray(rows.words[..., 0]).view(np.float32)
    np.testing.assert_array_equal(words, tree["a"])
    back = unpack(rows)
    assert jax.tree.structure(back) == jax.tree.structure(tree)
    jax.tree.map(np.testing.assert_array_equal, back, tree)
    picked = unpack(jax.tree.map(lambda leaf: leaf[1, 2], rows))
    jax.tree.map(lambda a, b: np.testing.assert_array_equal(a, b[1, 2]), picked, tree)
