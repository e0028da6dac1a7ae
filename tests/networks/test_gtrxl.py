"""The gated Transformer-XL against a slow NumPy one, and what its window can reach."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from running import bind, inputs, normalise, sigmoid, softmax

from tolman.networks.conformance import check_core
from tolman.networks.cores import GTrXL, GTrXLConfig

SMALL = dict(hidden_size=8, num_layers=2, num_heads=2, mlp_size=12)


def _core(**settings):
    config = GTrXLConfig(**{**SMALL, **settings})
    return lambda: GTrXL(config, name="core")


def _slow_layer(params, name, hidden, memory, num_heads):
    """One step of one layer and row; `memory` is the list of earlier normalised inputs."""
    own = params[name]

    def linear(part, x):
        weights = params[f"{name}/{part}"]
        return x @ weights["w"] + weights.get("b", 0.0)

    def gate(part, x, y):
        size = len(x)
        from_y, from_x = linear(f"{part}/~_linear/y", y), linear(f"{part}/~_linear/x", x)
        reset = sigmoid(from_y[:size] + from_x[:size])
        update = sigmoid(
            from_y[size : 2 * size] + from_x[size:] - params[f"{name}/{part}"]["bias"]
        )
        candidate = np.tanh(
            from_y[2 * size :] + linear(f"{part}/~_linear/reset_x", reset * x)
        )
        return (1 - update) * x + update * candidate

    present = normalise(hidden)
    rows = np.array([*memory, present])  # [S, H]
    distance = np.arange(len(rows))[::-1, None]
    angle = distance / 10_000 ** (np.arange(0, len(hidden), 2) / len(hidden))
    encoding = np.concatenate([np.sin(angle), np.cos(angle)], -1)  # [S, H]
    query = linear("~_attend/query", present).reshape(num_heads, -1)
    heads = []
    for h, q in enumerate(query):
        logits = (rows @ own["key_weights"][h].T) @ (q + own["content_bias"][h])
        logits += (encoding @ own["position_weights"][h].T) @ (q + own["position_bias"][h])
        weights = softmax(logits / np.sqrt(len(q)))
        heads.append(weights @ (rows @ own["value_weights"][h].T))
    attended = linear("~_attend/attended", np.concatenate(heads))
    hidden = gate("attention_gate", hidden, np.maximum(attended, 0))
    inner = np.maximum(linear("mlp_0", normalise(hidden)), 0)
    return gate("mlp_gate", hidden, np.maximum(linear("mlp_1", inner), 0)), present


def _slow(params, x, reset, config):
    params = jax.tree.map(np.asarray, params)
    outputs = np.zeros((*reset.shape, config.hidden_size))
    for b in range(reset.shape[1]):
        memories = [[] for _ in range(config.num_layers)]
        for t in range(len(x)):
            if reset[t, b]:
                memories = [[] for _ in range(config.num_layers)]
            hidden = x[t, b] @ params["core/~/input"]["w"] + params["core/~/input"]["b"]
            for layer, memory in enumerate(memories):
                hidden, row = _slow_layer(
                    params, f"core/~/layer_{layer}", hidden, memory, config.num_heads
                )
                memory.append(row)
                del memory[: -config.memory_length]
            outputs[t, b] = hidden
    return outputs


@pytest.mark.parametrize(("num_steps", "memory_length"), [(14, 4), (40, 5)])
def test_equals_a_slow_numpy_one(num_steps, memory_length):
    """In one piece, and in three blocks, the last of which is cut short."""
    config = GTrXLConfig(**SMALL, memory_length=memory_length)
    params, initial_state, unroll, _ = bind(_core(memory_length=memory_length), 3)
    rng = np.random.default_rng(0)  # Biases start at zero, which would hide them.
    params = jax.tree.map(
        lambda leaf: (leaf + 0.3 * rng.normal(size=leaf.shape)).astype(np.float32), params
    )
    x, reset = inputs(num_steps, 2, 3, reset_rate=0.1)
    assert reset.any()
    outputs, _ = unroll(params, x, reset, initial_state(2))
    np.testing.assert_allclose(outputs, _slow(params, x, reset, config), atol=2e-5)


@pytest.mark.parametrize("memory_length", [1, 4])
def test_contract_with_windows_shorter_than_the_unroll(memory_length):
    check_core(_core(memory_length=memory_length, num_layers=1))


def test_contract_in_bfloat16():
    """Step and unroll round alike, so that outputs are hardly further apart than float32's.

    Gradients, allowed ten times as much, are summed over time in bfloat16 in two orders.
    """
    check_core(_core(dtype="bfloat16", memory_length=8), tolerance=2e-3)


def test_bfloat16_stays_near_float32():
    x, reset = inputs(12, 2, 3)
    outputs = []
    for dtype in ("float32", "bfloat16"):
        params, initial_state, unroll, _ = bind(_core(dtype=dtype), 3)
        output, state = unroll(params, x, reset, initial_state(2))
        assert {leaf.dtype.name for leaf in jax.tree.leaves(params)} == {"float32"}
        assert output.dtype == state.rows.dtype == jnp.float32
        outputs.append(output)
    difference = np.abs(outputs[0] - outputs[1]).max()
    assert 1e-5 < difference < 0.03  # bfloat16 was used, and keeps two digits.


@pytest.fixture(scope="module")
def small():
    return bind(_core(memory_length=3), 3, scale=2.0)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.tuples(st.booleans(), st.booleans()), min_size=10, max_size=10),
    st.integers(0, 9),
)
def test_resets_anywhere(small, reset, cut):
    """Step by step equals the unroll; what follows a reset equals a fresh start."""
    params, initial_state, unroll, step = small
    x, reset = inputs(10, 2, 3)[0], np.array(reset)
    reset[cut] = True
    outputs, _ = unroll(params, x, reset, initial_state(2))
    state = initial_state(2)
    for t in range(10):
        # A fresh state where every row opens a task: nothing older may matter.
        state = initial_state(2) if reset[t].all() else state
        output, state = step(params, x[t], reset[t], state)
        np.testing.assert_allclose(output, outputs[t], atol=2e-5)


def test_reach_is_memory_length_times_layers(small):
    """Two layers of three steps: an input matters for six steps and not for a seventh."""
    params, initial_state, unroll, _ = small
    x, reset = inputs(10, 1, 3, reset_rate=0.0)
    other = x.copy()
    other[0] += 1.0
    outputs, changed = (unroll(params, z, reset, initial_state(1))[0] for z in (x, other))
    differs = np.abs(outputs - changed).max((1, 2))
    assert (differs[:7] > 1e-6).all()
    np.testing.assert_array_equal(differs[7:], 0.0)


def test_every_step_costs_the_same(small):
    """One compiled program serves an empty and a full window; no shape ever changes."""
    params, initial_state, _, step = small
    x, reset = inputs(9, 2, 3)
    state = initial_state(2)
    shapes = jax.tree.map(jnp.shape, state)
    step(params, x[0], reset[0], state)
    compiled = step._cache_size()
    for t in range(9):
        _, state = step(params, x[t], reset[t], state)
        assert jax.tree.map(jnp.shape, state) == shapes
    assert step._cache_size() == compiled


def test_unroll_is_one_pass(small):
    params, initial_state, unroll, _ = small
    text = str(jax.make_jaxpr(unroll)(params, *inputs(10, 2, 3), initial_state(2)))
    assert "dot_general" in text and "scan" not in text and "while" not in text


def test_shut_gates_let_the_input_through():
    """The gate's bias makes every layer the identity (Parisotto et al. 2019, 3.2)."""
    params, initial_state, unroll, _ = bind(_core(gate_bias=30.0), 3)
    x, reset = inputs(5, 2, 3)
    outputs, _ = unroll(params, x, reset, initial_state(2))
    weights = params["core/~/input"]
    np.testing.assert_allclose(outputs, x @ weights["w"] + weights["b"], atol=1e-6)


def test_gradients_are_finite_and_reach_what_reads_the_memory(small):
    params, initial_state, unroll, _ = small
    x, reset = inputs(4, 2, 3, reset_rate=0.0)
    _, state = unroll(params, x, reset, initial_state(2))

    def loss(params):
        return jnp.square(unroll(params, x[:1], reset[:1], state)[0]).sum()

    gradients = jax.jit(jax.grad(loss))(params)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradients))
    # One step: the keys matter only through the rows that were stored before it.
    assert np.abs(gradients["core/~/layer_0"]["key_weights"]).max() > 1e-6
