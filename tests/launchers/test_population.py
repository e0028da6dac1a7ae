"""Functions of one member over a population of any size."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tolman.launchers.device.population import over_members


def _layer(tree, x, scale, nothing):
    assert nothing is None
    return {"y": scale * (x @ tree["w"]) + tree["b"]}, x.sum()


@pytest.mark.parametrize("num_members", [1, 3])
def test_it_is_vmap_whatever_the_axes(num_members):
    keys = jax.random.split(jax.random.PRNGKey(0), 3)
    tree = {
        "w": jax.random.normal(keys[0], (num_members, 4, 5)),
        "b": jax.random.normal(keys[1], (5, num_members)),
    }
    x = jax.random.normal(keys[2], (2, num_members, 4))
    axes = ({"w": 0, "b": 1}, 1, None, 0)
    got = over_members(_layer, axes)(tree, x, 2.0, None)
    expected = jax.vmap(_layer, axes)(tree, x, 2.0, None)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), got, expected)
    assert got[0]["y"].shape == (num_members, 2, 5) and got[1].shape == (num_members,)


@pytest.mark.parametrize("num_members, batch_axes", [(1, ((), ())), (2, ((0,), (0,)))])
def test_a_lone_member_s_product_has_no_batch_axis(num_members, batch_axes):
    x, w = jnp.ones((num_members, 3, 4)), jnp.ones((num_members, 4, 5))
    program = jax.make_jaxpr(over_members(jnp.matmul))(x, w)
    (product,) = (one for one in program.eqns if "dimension_numbers" in one.params)
    assert tuple(map(tuple, product.params["dimension_numbers"][1])) == batch_axes
