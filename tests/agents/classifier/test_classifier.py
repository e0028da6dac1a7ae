"""The classifier: its loss and step by hand."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tolman.agents.classifier import Classifier, ClassifierConfig
from tolman.envs.classification.task import Examples

KEY = jax.random.PRNGKey(0)


def test_loss_and_step_by_hand():
    """A linear one: the gradient of W is x^T (p - 1[y]) / B."""
    config = ClassifierConfig((), batch_size=2, learning_rate=0.5)
    agent = Classifier(config, SimpleNamespace(num_classes=2))
    batch = Examples(jnp.array([[1.0, 0.0], [0.0, 2.0]]), jnp.array([0, 1]))
    state = agent.init(KEY, batch)
    ((name, _),) = state.params.items()
    weights = np.array([[0.0, np.log(3.0)], [0.0, 0.0]], np.float32)
    params = {name: {"w": jnp.asarray(weights), "b": jnp.zeros(2)}}
    learned = agent.update(state._replace(params=params), batch, KEY, jnp.float32(0.0))
    # p of class 0: 1/4 for the first example, 1/2 for the second.
    expected = (np.log(4.0) + np.log(2.0)) / 2
    assert float(learned.metrics["loss/total"]) == pytest.approx(expected, rel=1e-5)
    assert float(learned.metrics["train/accuracy"]) == 0.0
    slope = np.array([[-0.75, 0.75], [1.0, -1.0]]) / 2
    got = learned.learner_state.params[name]
    np.testing.assert_allclose(got["w"], weights - 0.5 * slope, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(got["b"], [0.5 * 0.125, -0.5 * 0.125], rtol=1e-5)


def test_sizes_and_scale_of_the_network():
    agent = Classifier(ClassifierConfig((300, 200)), SimpleNamespace(num_classes=10))
    batch = Examples(jnp.ones((2, 500)), jnp.zeros(2, jnp.int32))
    params = agent.init(KEY, batch).params
    shapes = [layer["w"].shape for layer in params.values()]
    assert shapes == [(500, 300), (300, 200), (200, 10)]
    for layer in params.values():  # He: a variance of 2 over the inputs.
        assert float(layer["w"].var() * len(layer["w"])) == pytest.approx(2.0, rel=0.15)
    assert agent.answer(params, batch, KEY).logits.shape == (2, 10)
