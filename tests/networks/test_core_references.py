"""Each core against a slow one in float64, written from its paper: oracles/cores.py."""

import typing
from dataclasses import replace

import haiku as hk
import jax
import numpy as np
import pytest
from oracles import cores as oracles

from tolman.launchers.catalog.names import CORE, find, make_core, registered
from tolman.networks.cores import recurrent

T, B, D = 19, 2, 5
MATRIX = {"hidden_size": 4, "num_heads": 2, "head_size": 3, "chunk_length": 5}
CASES = [
    ("lstm", {"hidden_size": 6, "forget_bias": 2.0, "input_bias": -1.0}),
    ("stacked_lstm", {"first_hidden_size": 3, "hidden_size": 6}),
    ("gru", {"hidden_size": 6}),
    ("mingru", {"hidden_size": 6}),
    ("lru", {"hidden_size": 4, "state_size": 6}),
    ("s5", {"hidden_size": 4, "state_size": 6}),
    ("ffm", {"hidden_size": 4, "num_traces": 3, "num_contexts": 2}),
    ("linear_attention", MATRIX),
    ("linear_attention", {**MATRIX, "normaliser": "sum"}),
    ("linear_attention", {**MATRIX, "normaliser": "bounded", "gated": False}),
    ("delta_net", MATRIX),
    ("delta_net", {**MATRIX, "gated": False}),
    ("mamba", {**MATRIX, "state_size": 5, "convolution_width": 3}),
    ("shm", {"hidden_size": 4, "memory_size": 5, "num_calibrations": 3, "largest": 3.0}),
    ("slstm", {"hidden_size": 6, "num_heads": 2}),
    ("attention", {"hidden_size": 4, "num_heads": 2, "head_size": 4, "window": 5}),
    (
        "attention",
        {"num_heads": 2, "head_size": 3, "window": 5, "positions": "alibi"},
    ),
    ("stack", {"hidden_size": 6}),
    ("stack", {"hidden_size": 6, "layers": ("mingru",), "gate": "gru", "mlp_size": 5}),
]


def run(name, config, x, reset, seed=1):
    """Parameters of twice their first size, and the core's outputs from an empty memory."""

    def forward(x, reset):
        core = make_core(name, config)()
        return core.unroll(x, reset, core.initial_state(x.shape[1]))[0]

    transformed = hk.without_apply_rng(hk.transform(forward))
    params = jax.jit(transformed.init)(jax.random.PRNGKey(seed), x, reset)
    params = jax.tree.map(lambda leaf: 2.0 * np.asarray(leaf), params)
    return params, jax.jit(transformed.apply)(params, x, reset)


def rows(seed=0, num_steps=T, share=0.15):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(num_steps, B, D)).astype(np.float32)
    reset = rng.random((num_steps, B)) < share
    reset[7] = [True, False]
    return x, reset


@pytest.mark.parametrize(("name", "settings"), CASES)
def test_a_core_equals_a_slow_one_from_its_paper(name, settings):
    config = replace(find(CORE, name).default_settings(), **settings)
    x, reset = rows()
    expected = None
    for way in ways(config):
        params, outputs = run(name, replace(config, **way), x, reset)
        if expected is None:
            exact = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), params)
            expected = getattr(oracles, name)(exact, config, x.astype(np.float64), reset)
            assert np.abs(expected).max() > 0.1
        np.testing.assert_allclose(outputs, expected, rtol=1e-5, atol=1e-5)


def test_every_core_has_a_slow_one():
    """`feedforward` remembers nothing; dnc, gtrxl and memo have theirs in their files."""
    elsewhere = {"feedforward", "dnc", "gtrxl", "memo"}
    things = {name: find(CORE, name).thing for name in registered(CORE)}
    own = {name for name, core in things.items() if core.__module__.startswith("tolman.")}
    assert {name for name, _ in CASES} == own - elsewhere


@pytest.mark.parametrize("positions", ["rope", "alibi"])
@pytest.mark.parametrize(("num_steps", "window"), [(40, 5), (60, 37)])
def test_attention_in_blocks_equals_the_slow_one(num_steps, window, positions):
    """Three blocks of 16 steps, the last one cut short; four of 19, half an odd window."""
    settings = {"num_heads": 2, "head_size": 4, "window": window, "positions": positions}
    config = replace(find(CORE, "attention").default_settings(), **settings)
    x, reset = rows(num_steps=num_steps, share=0.02)
    params, outputs = run("attention", config, x, reset)
    exact = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), params)
    expected = oracles.attention(exact, config, x.astype(np.float64), reset)
    np.testing.assert_allclose(outputs, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("is_stepwise", [True, False])
@pytest.mark.parametrize(
    ("name", "settings", "first_gate"),
    [
        ("lstm", {"hidden_size": 3, "input_bias": -5.0}, -5.0),
        ("gru", {"hidden_size": 3, "update_bias": -6.0}, -6.0),
    ],
)
def test_gates_start_where_the_config_says(
    name, settings, first_gate, is_stepwise, monkeypatch
):
    """One gate's bias is set, the others are 0; both ways of an unroll make the same."""
    monkeypatch.setattr(recurrent, "_steps_are_faster", lambda: is_stepwise)
    config = replace(find(CORE, name).default_settings(), **settings)
    x, reset = rows()
    params, outputs = run(name, config, x, reset)
    biases = params[f"{name}/~_project/input_gates"]["b"] / 2.0  # `run` doubles them.
    np.testing.assert_array_equal(biases[:3], first_gate)
    np.testing.assert_array_equal(biases[3:], 0.0)
    exact = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), params)
    expected = getattr(oracles, name)(exact, config, x.astype(np.float64), reset)
    np.testing.assert_allclose(outputs, expected, rtol=1e-5, atol=1e-5)


def ways(config):
    """The settings for every way in which the core takes an unroll."""
    allowed = typing.get_args(typing.get_type_hints(type(config)).get("scan"))
    return [{"scan": way} for way in allowed if way != "auto"] or [{}]
