"""The diagonal of the Fisher information: how much each weight matters to what is answered.

F = mean over examples x of the sum over answers y of q(y | x) (d log p(y | x) / dw)^2. What
q is tells the estimators apart:

    exact      q = p, the model's own probabilities: no noise of sampling
    sampled    one answer of each example, drawn from p; unbiased
    empirical  the right answer: vanishes, wrongly, as the training fits it
    batch      for comparison only: (d mean log p(right) / dw)^2, a square of a mean
               where a mean of squares belongs; smaller by up to the number of examples

Of action values, which are no log-probabilities, each is taken for the mean of a Gaussian
of variance 1, whose Fisher is sum over actions of (d Q(a) / dw)^2.

Shapes: B examples, C answers, L answers of an example that are looked at, N = B L pairs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from tolman.agents.agent import Array
from tolman.agents.ewc.config import Estimator
from tolman.agents.ewc.quadratic import Weights

CHUNK = 64  # Gradients of single examples that are in memory at once.

Outputs = Callable[[Weights, Any], Array]  # Of `[B, ...]` examples: `[B, C]`.


class Answers(NamedTuple):
    """Which outputs count, and how much.

    Attributes:
      output: `[L, B]` int32, an index into the C outputs.
      weight: `[L, B]`.
    """

    output: Array
    weight: Array


def of_logits(
    logits_of: Outputs,
    weights: Weights,
    examples: Any,
    label: Array,
    key: Array,
    estimator: Estimator = "exact",
) -> Weights:
    """The Fisher diagonal of a classifier.

    Args:
      logits_of: unnormalised log-probabilities, without dropout or other chance.
      weights: where it is taken.
      examples: `[B, ...]`.
      label: `[B]` int32, right answers; read by "empirical" and "batch" only.
      key: `[2]`, of sampled answers.
      estimator: see above.

    Returns:
      Like the weights, 0 or more.
    """

    def log_probability(weights: Weights, examples: Any) -> Array:
        return jax.nn.log_softmax(logits_of(weights, examples))

    if estimator == "batch":
        return of_batch(log_probability, weights, examples, label)
    outputs = log_probability(weights, examples)
    return diagonal(
        log_probability, weights, examples, choose(outputs, label, key, estimator)
    )


def of_values(values_of: Outputs, weights: Weights, examples: Any) -> Weights:
    """The Fisher diagonal of action values `[B, C]`, means of Gaussians of variance 1."""
    num_rows, num_values = jax.eval_shape(values_of, weights, examples).shape
    index = jnp.tile(jnp.arange(num_values)[:, None], (1, num_rows))
    return diagonal(values_of, weights, examples, Answers(index, jnp.ones(index.shape)))


def choose(log_p: Array, label: Array, key: Array, estimator: Estimator) -> Answers:
    """The answers that an estimator looks at, from `[B, C]` log-probabilities."""
    if estimator == "exact":
        index = jnp.tile(jnp.arange(log_p.shape[1])[:, None], (1, len(log_p)))
        return Answers(index, jnp.exp(log_p).T)
    drawn = jax.random.categorical(key, log_p) if estimator == "sampled" else label
    return Answers(drawn[None], jnp.ones((1, len(log_p))))


def diagonal(
    outputs_of: Outputs, weights: Weights, examples: Any, answers: Answers
) -> Weights:
    """1/B sum_b sum_l weight[l, b] (d out[b, output[l, b]] / dw)^2.

    A stack of linear layers is summed without any gradient of a single example; any other
    network in chunks of such gradients.
    """
    if set(_layers(outputs_of, weights, examples)) == set(weights):
        return of_linear_layers(outputs_of, weights, examples, answers)
    return of_pairs(outputs_of, weights, examples, answers)


def of_pairs(
    outputs_of: Outputs,
    weights: Weights,
    examples: Any,
    answers: Answers,
    chunk: int = CHUNK,
) -> Weights:
    """`diagonal` of any network, `chunk` gradients at a time."""
    num_answers, num_rows = answers.output.shape
    num_pairs = num_answers * num_rows
    padded = np.arange(-(-num_pairs // chunk) * chunk)
    pair = padded % num_pairs  # What is there twice, to fill the last chunk, weighs 0.
    row = pair % num_rows
    index, weight = answers.output.ravel()[pair], answers.weight.ravel()[pair]
    weight = jnp.where(padded < num_pairs, weight, 0.0)

    def one(example: Any, index: Array) -> Weights:
        alone = jax.tree.map(lambda leaf: leaf[None], example)
        return jax.grad(lambda w: outputs_of(w, alone)[0, index])(weights)

    def step(total: Weights, at: Any) -> tuple[Weights, None]:
        row, index, weight = at
        rows = jax.tree.map(lambda leaf: leaf[row], examples)
        gradients = jax.vmap(one)(rows, index)
        return jax.tree.map(
            lambda t, g: t + jnp.tensordot(weight, jnp.square(g), 1), total, gradients
        ), None

    chunks = jax.tree.map(
        lambda leaf: jnp.reshape(leaf, (-1, chunk)), (jnp.asarray(row), index, weight)
    )
    total, _ = lax.scan(step, jax.tree.map(jnp.zeros_like, weights), chunks)
    return jax.tree.map(lambda leaf: leaf / num_rows, total)


def of_linear_layers(
    outputs_of: Outputs, weights: Weights, examples: Any, answers: Answers
) -> Weights:
    """`diagonal` of a stack of `hk.Linear`, exactly: F_W = (x^2)^T (delta^2) / B.

    The gradient of W for one example is the outer product of a layer's input x and the
    gradient delta of its output, and the square of a product is a product of squares.

    Raises:
      ValueError: if a weight is in no linear layer, or a layer is used twice.
    """
    layers = _layers(outputs_of, weights, examples)
    if others := sorted(set(weights) - set(layers)):
        raise ValueError(
            f"weights of {', '.join(others)}: are of no linear layer that is used once. "
            "Use of_pairs."
        )
    nudges = {name: jnp.zeros(shape.shape) for name, (_, shape) in layers.items()}
    outputs, backward, inputs = jax.vjp(
        lambda nudges: _nudged(outputs_of, weights, examples, nudges), nudges, has_aux=True
    )
    num_rows = len(outputs)

    def step(total: Any, answer: Answers) -> tuple[Any, None]:
        seed = jax.nn.one_hot(answer.output, outputs.shape[1])
        (deltas,) = backward(seed)
        return jax.tree.map(
            lambda t, d: t + answer.weight[:, None] * jnp.square(d), total, deltas
        ), None

    squares, _ = lax.scan(step, nudges, answers)  # Of each unit, [B, units].
    found = {}
    for name, layer in weights.items():
        by_weight = jnp.square(inputs[name]).T @ squares[name] / num_rows
        of_layer = {"w": by_weight, "b": squares[name].mean(0)}
        found[name] = {part: of_layer[part] for part in layer}
    return found


def of_batch(outputs_of: Outputs, weights: Weights, examples: Any, label: Array) -> Weights:
    """The square of the mean gradient of the right answers; see above."""

    def mean(weights: Weights) -> Array:
        return jnp.take_along_axis(outputs_of(weights, examples), label[:, None], 1).mean()

    return jax.tree.map(jnp.square, jax.grad(mean)(weights))


def overlap(first: Weights, second: Weights) -> Array:
    """`[]` in [0, 1]: whether two tasks need the same weights; 1 for equal diagonals.

    1 - d^2 with d^2 = 1/2 tr(A + B - 2 (A B)^(1/2)), of diagonals scaled to a trace of 1.

    Source: Kirkpatrick et al. 2017, supplementary section on the Fisher overlap.
    """
    a, b = (
        jnp.concatenate([jnp.ravel(leaf) for leaf in jax.tree.leaves(one)])
        for one in (first, second)
    )
    return jnp.sqrt(a / a.sum() * (b / b.sum())).sum()


def _layers(outputs_of: Outputs, weights: Weights, examples: Any) -> dict[str, Any]:
    """Shapes of input and output, by name, of the linear layers that are used once."""
    found: dict[str, Any] = {}
    twice: set[str] = set()

    def watch(call: Any, args: Any, kwargs: Any, context: Any) -> Any:
        output = call(*args, **kwargs)
        if type(context.module) is hk.Linear and context.method_name == "__call__":
            name = context.module.module_name
            twice.update({name} & set(found))
            found[name] = (args[0], output)
        return output

    def traced(weights: Weights, examples: Any) -> Array:
        with hk.intercept_methods(watch):
            return outputs_of(weights, examples)

    jax.eval_shape(traced, weights, examples)
    return {
        name: tuple(jax.ShapeDtypeStruct(x.shape, x.dtype) for x in pair)
        for name, pair in found.items()
        if name not in twice and all(x.ndim == 2 for x in pair)
    }


def _nudged(
    outputs_of: Outputs, weights: Weights, examples: Any, nudges: dict[str, Array]
) -> tuple[Array, dict[str, Array]]:
    """Outputs with `nudges` added to those of linear layers, and the layers' inputs."""
    inputs: dict[str, Array] = {}

    def nudge(call: Any, args: Any, kwargs: Any, context: Any) -> Any:
        output = call(*args, **kwargs)
        name = context.module.module_name
        if context.method_name == "__call__" and name in nudges:
            inputs[name] = args[0]
            return output + nudges[name]
        return output

    with hk.intercept_methods(nudge):
        return outputs_of(weights, examples), inputs
