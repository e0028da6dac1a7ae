"""Fisher diagonals: closed forms, one example after another, means of squares."""

from types import SimpleNamespace

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tolman.agents.classifier import Classifier, ClassifierConfig
from tolman.agents.ewc import fisher
from tolman.envs.classification.task import Examples

KEY = jax.random.PRNGKey(0)
NUM_CLASSES = 3
ESTIMATORS = ("exact", "sampled", "empirical", "batch")


def _examples(num_examples, size=4, seed=0):
    rng = np.random.default_rng(seed)
    x = jnp.asarray(rng.normal(size=(num_examples, size)), jnp.float32)
    return Examples(x, jnp.asarray(rng.integers(0, NUM_CLASSES, num_examples)))


def _network(hidden_sizes=(5, 6)):
    agent = Classifier(
        ClassifierConfig(hidden_sizes), SimpleNamespace(num_classes=NUM_CLASSES)
    )
    params = agent.init(KEY, _examples(2)).params
    # Biases start at 0; elsewhere mistakes show.
    params = jax.tree.map(lambda w: w + 0.3 * jax.random.normal(KEY, w.shape), params)
    return lambda weights, examples: agent.answer(weights, examples, KEY).logits, params


def _log_p(logits_of):
    return lambda weights, examples: jax.nn.log_softmax(logits_of(weights, examples))


def _close(got, expected, **how):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, **how), got, expected)


def test_logistic_regression_has_the_closed_form():
    """Of weight (i, c) the exact Fisher is mean x_i^2 p_c (1 - p_c)."""
    logits_of, params = _network(())
    examples = _examples(50)
    p = np.asarray(jax.nn.softmax(logits_of(params, examples)))
    curvature = p * (1 - p)
    got = fisher.of_logits(logits_of, params, examples, examples.target, KEY)
    ((name, layer),) = got.items()
    x = np.asarray(examples.x)
    np.testing.assert_allclose(layer["w"], (x**2).T @ curvature / 50, rtol=1e-4)
    np.testing.assert_allclose(layer["b"], curvature.mean(0), rtol=1e-4)
    # The right answers weigh (1[y = c] - p_c)^2 in its place.
    right = np.eye(3)[np.asarray(examples.target)]
    got = fisher.of_logits(logits_of, params, examples, examples.target, KEY, "empirical")
    np.testing.assert_allclose(got[name]["w"], (x**2).T @ (right - p) ** 2 / 50, rtol=1e-4)


def test_linear_values_have_the_closed_form():
    """Q = W x with a variance of 1: of weight (i, a) it is mean x_i^2."""
    logits_of, params = _network(())
    examples = _examples(20)
    got = fisher.of_values(logits_of, params, examples)
    ((_, layer),) = got.items()
    expected = np.square(examples.x).mean(0)[:, None].repeat(3, 1)
    np.testing.assert_allclose(layer["w"], expected, rtol=1e-5)
    np.testing.assert_allclose(layer["b"], np.ones(3), rtol=1e-5)


@pytest.mark.parametrize("estimator", ["exact", "sampled", "empirical"])
@pytest.mark.parametrize("chunk", [1, 4, 64])
def test_pairs_and_layers_are_the_loop_over_single_examples(estimator, chunk):
    logits_of, params = _network()
    examples = _examples(7)
    log_p = _log_p(logits_of)
    outputs = log_p(params, examples)
    answers = fisher.choose(outputs, examples.target, KEY, estimator)
    expected = jax.tree.map(np.zeros_like, params)
    slope = jax.jit(jax.grad(lambda w, one, y: log_p(w, one)[0, y]))
    for row in range(7):
        one = jax.tree.map(lambda leaf, row=row: leaf[row : row + 1], examples)
        for index, weight in zip(
            answers.output[:, row], answers.weight[:, row], strict=True
        ):
            gradient = slope(params, one, index)
            expected = jax.tree.map(
                lambda e, g, w=weight: e + w * np.square(g) / 7, expected, gradient
            )
    by_pairs = fisher.of_pairs(log_p, params, examples, answers, chunk)
    by_layers = fisher.of_linear_layers(log_p, params, examples, answers)
    _close(by_pairs, expected, rtol=1e-4, atol=1e-7)
    _close(by_layers, expected, rtol=1e-4, atol=1e-7)
    chosen = fisher.of_logits(logits_of, params, examples, examples.target, KEY, estimator)
    _close(chosen, expected, rtol=1e-4, atol=1e-7)


def test_what_each_estimator_looks_at():
    log_p = jnp.log(jnp.array([[0.2, 0.8, 0.0], [0.5, 0.25, 0.25]]))
    target = jnp.array([2, 0])
    exact = fisher.choose(log_p, target, KEY, "exact")
    np.testing.assert_allclose(exact.weight.T, jnp.exp(log_p), rtol=1e-6)
    assert exact.output.T.tolist() == [[0, 1, 2], [0, 1, 2]]
    empirical = fisher.choose(log_p, target, KEY, "empirical")
    assert empirical.output.tolist() == [[2, 0]] and empirical.weight.tolist() == [[1, 1]]
    many = jnp.tile(log_p[:1], (4_000, 1))
    drawn = fisher.choose(many, jnp.zeros(4_000, int), KEY, "sampled")
    share = np.bincount(drawn.output[0], minlength=3) / 4_000
    np.testing.assert_allclose(share, [0.2, 0.8, 0.0], atol=0.03)  # Four standard errors.


def test_sampled_answers_come_to_the_exact_sum():
    logits_of, params = _network()
    examples = _examples(5_000)
    trace = {
        estimator: sum(
            float(leaf.sum())
            for leaf in jax.tree.leaves(
                fisher.of_logits(
                    logits_of, params, examples, examples.target, KEY, estimator
                )
            )
        )
        for estimator in ("exact", "sampled")
    }
    assert trace["sampled"] == pytest.approx(trace["exact"], rel=0.05)


def test_it_is_no_square_of_a_mean():
    """One example twice has the Fisher of one; two opposite ones have no mean."""
    logits_of, params = _network(())
    params = jax.tree.map(jnp.zeros_like, params)  # All answers as likely.
    x = jnp.array([[1.0, 2.0, 0.0, 0.0], [-1.0, -2.0, 0.0, 0.0]])
    examples = Examples(x, jnp.array([1, 1]))
    of = lambda examples, how: fisher.of_logits(  # noqa: E731
        logits_of, params, examples, examples.target, KEY, how
    )
    ((name, _),) = params.items()
    one = jax.tree.map(lambda leaf: leaf[:1], examples)
    for how in ("exact", "empirical"):
        np.testing.assert_allclose(
            of(examples, how)[name]["w"], of(one, how)[name]["w"], rtol=1e-5
        )
        assert float(of(examples, how)[name]["w"].sum()) > 1.0
    np.testing.assert_allclose(of(examples, "batch")[name]["w"], 0.0, atol=1e-12)
    np.testing.assert_allclose(
        of(one, "batch")[name]["w"], of(one, "empirical")[name]["w"], rtol=1e-5
    )


def test_a_mean_over_many_is_too_small_by_their_number():
    """Gradients of drawn answers have a mean of 0: of B, its square is 1/B of theirs."""
    logits_of, params = _network(())
    params = jax.tree.map(jnp.zeros_like, params)
    ratios = []
    for seed in range(30):
        examples = _examples(100, seed=seed)  # Any class is as likely, as the model says.
        of = lambda how, e=examples: fisher.of_logits(  # noqa: E731
            logits_of, params, e, e.target, KEY, how
        )
        batch, exact = (
            sum(float(x.sum()) for x in jax.tree.leaves(of(h))) for h in ("batch", "exact")
        )
        ratios.append(batch / exact)
    assert np.mean(ratios) == pytest.approx(0.01, rel=0.25)


def _with_scale(x):
    """A linear layer and something that is none."""
    scale = hk.get_parameter("scale", (4,), init=jnp.ones)
    return hk.Linear(3)(x * scale)


def _twice(x):
    layer = hk.Linear(4)
    return layer(jax.nn.relu(layer(x)))


def _over_places(x):
    """A layer that is used once, but at several places of an example."""
    return hk.Linear(3)(jax.nn.relu(jnp.reshape(x, (-1, 2, 2)))).sum(1)


@pytest.mark.parametrize("network", [_with_scale, _twice, _over_places])
def test_other_networks_go_by_pairs(network):
    transformed = hk.without_apply_rng(hk.transform(network))
    params = transformed.init(KEY, jnp.ones((1, 4)))
    logits_of = lambda w, e: transformed.apply(w, e.x)  # noqa: E731
    examples = _examples(6)
    log_p = _log_p(logits_of)
    answers = fisher.choose(log_p(params, examples), examples.target, KEY, "exact")
    with pytest.raises(ValueError, match="of no linear layer that is used once"):
        fisher.of_linear_layers(log_p, params, examples, answers)
    got = fisher.of_logits(logits_of, params, examples, examples.target, KEY)
    _close(got, fisher.of_pairs(log_p, params, examples, answers, 1), rtol=1e-4, atol=1e-7)


def test_overlap_by_hand():
    first, second = {"w": jnp.array([1.0, 1.0])}, {"w": jnp.array([3.0, 0.0])}
    assert float(fisher.overlap(first, first)) == pytest.approx(1.0)
    # Traces of 1: (1/2, 1/2) and (1, 0), so sqrt(1/2).
    assert float(fisher.overlap(first, second)) == pytest.approx(0.5**0.5)
    assert float(fisher.overlap(second, {"w": jnp.array([0.0, 2.0])})) == 0.0
