"""Biases and gains of a task: layers by hand, and the Fisher of what is shared."""

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np

from tolman.agents.ewc import fisher
from tolman.agents.ewc.own import Own, TaskWeights, fresh, joined, of_shared, split

NETWORK = hk.without_apply_rng(hk.transform(lambda x: hk.nets.MLP([4, 3], name="net")(x)))
X = jnp.asarray(np.random.default_rng(0).normal(size=(5, 2)), jnp.float32)


def weights():
    layers = jax.jit(NETWORK.init)(jax.random.PRNGKey(1), X)
    shared, own = split(layers)
    rng = np.random.default_rng(2)
    own = jax.tree.map(
        lambda leaf: jnp.asarray(rng.normal(size=leaf.shape), jnp.float32), own
    )
    return TaskWeights(shared, own)


def test_a_layer_is_w_x_plus_b_times_g():
    shared, (bias, gain) = weights()
    first, second = "net/~/linear_0", "net/~/linear_1"
    hidden = np.maximum((X @ shared[first]["w"] + bias[first]) * gain[first], 0.0)
    expected = (hidden @ shared[second]["w"] + bias[second]) * gain[second]
    got = NETWORK.apply(joined(weights()), X)
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)


def test_a_network_is_split_and_joined_to_what_it_was():
    layers = {
        "conv": {"w": jnp.ones((3, 3, 2, 4)), "b": jnp.arange(4.0)},
        "norm": {"scale": jnp.full(4, 2.0), "offset": jnp.ones(4)},
        "table": {"w": jnp.ones((3, 2)), "b": jnp.ones(5)},  # No bias of its outputs.
    }
    found = split(layers)
    assert set(found.own.bias) == set(found.own.gain) == {"conv"}
    assert "b" not in found.shared["conv"] and "b" in found.shared["table"]
    jax.tree.map(np.testing.assert_array_equal, joined(found), layers)
    none = fresh(weights().own)
    assert not any(leaf.any() for leaf in none.bias.values())
    assert all((leaf == 1).all() for leaf in none.gain.values())


def test_the_fisher_of_what_is_shared_is_that_of_the_whole_function():
    at = weights()

    def values(layers, x):
        return NETWORK.apply(layers, x)

    got = of_shared(at, fisher.of_values(values, joined(at), X))
    # The slow way: gradients through `joined` itself, an example and an output at a time.
    expected = jax.tree.map(jnp.zeros_like, at.shared)
    for x in X:
        for output in range(3):
            gradient = jax.grad(lambda w, x=x, o=output: values(joined(w), x[None])[0, o])(
                at
            )
            expected = jax.tree.map(lambda e, g: e + g**2 / 5, expected, gradient.shared)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6),
        got.shared,
        expected,
    )
    assert isinstance(got.own, Own)
    assert not any(leaf.any() for leaf in jax.tree.leaves(got.own))
