"""What follows a layer, by its name."""

import haiku as hk
import jax.numpy as jnp
import numpy as np
import pytest

from tolman.networks.activations import activation
from tolman.networks.cores import Feedforward, FeedforwardConfig
from tolman.networks.torsos import MLPTorso

X = jnp.array([[0.5, -2.0]])
EXPECTED = {"relu": [0.5, 0.0], "tanh": [0.46211715, -0.9640276]}


@pytest.mark.parametrize("name", EXPECTED)
def test_layers_of_ones_give_what_the_activation_makes_of_their_input(name):
    np.testing.assert_allclose(activation(name)(X)[0], EXPECTED[name], rtol=1e-6)

    def run(x):
        core = Feedforward(FeedforwardConfig(2, name))
        return MLPTorso([2], name)(x), core(x, None, ())[0]

    network = hk.without_apply_rng(hk.transform(run))
    eye = {"w": jnp.eye(2), "b": jnp.zeros(2)}
    layers = {"mlp_torso/~/mlp/~/linear_0": eye, "feedforward/~/linear": eye}
    for output in network.apply(layers, X):
        np.testing.assert_allclose(output[0], EXPECTED[name], rtol=1e-6)
