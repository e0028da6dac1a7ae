"""One quadratic for the penalties of all tasks, against the sum that it stands for."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tolman.agents.ewc.quadratic import add, flat, proximal_step, value


def _tasks(num_tasks, seed=0):
    """Fishers, some 0, and weights, of a tree of two arrays."""
    rng = np.random.default_rng(seed)
    for _ in range(num_tasks):
        fisher = {"a": rng.gamma(0.3, size=(3, 2)), "b": rng.gamma(0.3, size=4)}
        fisher["a"] = fisher["a"] * (rng.random((3, 2)) < 0.7)
        yield fisher, {"a": rng.normal(size=(3, 2)), "b": rng.normal(size=4)}


def _as_float32(tree):
    return jax.tree.map(jnp.float32, tree)


def test_by_hand():
    # F = 1 around 0 and F = 3 around 4: 4 (w - 3)^2 + 3/4 * 16.
    both = add(
        add(flat(jnp.zeros(1)), jnp.ones(1), jnp.zeros(1)),
        3 * jnp.ones(1),
        jnp.full(1, 4.0),
    )
    assert (both.fisher[0], both.centre[0], both.floor) == (4.0, 3.0, 12.0)
    assert float(value(both, jnp.full(1, 5.0))) == 4 * 4 + 12
    # (w + c F m) / (1 + c F) with c = 1/2: (5 + 6) / 3.
    assert float(proximal_step(both, jnp.full(1, 5.0), 0.5)[0]) == pytest.approx(11 / 3)


@pytest.mark.parametrize("num_tasks", [1, 2, 7])
def test_it_is_the_sum_of_the_penalties_of_the_tasks(num_tasks):
    tasks = list(_tasks(num_tasks))
    quadratic = flat(_as_float32(tasks[0][1]))
    for fisher, weights in tasks:
        quadratic = add(quadratic, _as_float32(fisher), _as_float32(weights))
    for _, at in _tasks(4, seed=9):
        expected = sum(
            (fisher[name] * (at[name] - weights[name]) ** 2).sum()
            for fisher, weights in tasks
            for name in at
        )
        assert float(value(quadratic, _as_float32(at))) == pytest.approx(expected, rel=1e-5)


def test_a_step_goes_to_the_least_of_distance_and_penalty():
    tasks = list(_tasks(3))
    quadratic = flat(_as_float32(tasks[0][1]))
    for fisher, weights in tasks:
        quadratic = add(quadratic, _as_float32(fisher), _as_float32(weights))
    start = _as_float32(tasks[0][1])
    for scale in (0.1, 1.0, 10.0):
        end = proximal_step(quadratic, start, scale)
        slope = jax.grad(lambda w, s=scale: 0.5 * s * value(quadratic, w))(end)
        jax.tree.map(
            lambda e, b, g: np.testing.assert_allclose(e - b + g, 0.0, atol=1e-4),
            end, start, slope,
        )  # fmt: skip


def test_nothing_held_and_no_scale_leave_the_bits():
    (fisher, weights), (_, other) = _tasks(2)
    weights, other = _as_float32(weights), _as_float32(other)
    held = add(flat(weights), _as_float32(fisher), weights)
    for quadratic, scale in ((flat(weights), 3.0), (held, 0.0)):
        got = proximal_step(quadratic, other, scale)
        jax.tree.map(np.testing.assert_array_equal, got, other)
    # Around one task's weights it is 0 to the bit, however small the Fisher.
    assert float(value(held, weights)) == 0.0
    assert float(value(held, other)) > 0.0
