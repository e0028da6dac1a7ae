"""Every registered core keeps the contract, and the check catches the ways to break it."""

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tolman.launchers.catalog.names import CORE, find, make_core
from tolman.networks.conformance import PROPERTIES, ConformanceError, check_core
from tolman.networks.core import CORES, register_core, reset_state
from tolman.networks.cores import GRU, LSTM, Feedforward, GRUConfig, LSTMConfig, recurrent


def test_core_keeps_the_contract(core_name):
    differences = check_core(make_core(core_name, find(CORE, core_name).default_settings()))
    assert set(differences) == set(PROPERTIES)


@pytest.mark.parametrize("name", ["lstm", "gru", "stacked_lstm"])
def test_a_core_that_unrolls_otherwise_on_an_accelerator_keeps_it_too(name, monkeypatch):
    monkeypatch.setattr(recurrent, "_steps_are_faster", lambda: False)
    differences = check_core(make_core(name, find(CORE, name).default_settings()))
    assert set(differences) == set(PROPERTIES)


class _Leaky(hk.Module):
    """An LSTM with one fault, chosen by name."""

    def __init__(self, fault):
        super().__init__()
        self.fault = fault
        self.lstm = LSTM(LSTMConfig(8))

    def initial_state(self, batch_size):
        return self.lstm.initial_state(batch_size)

    def __call__(self, x, reset, state):
        if self.fault == "ignores reset":
            reset = jnp.zeros_like(reset)
        output, state = self.lstm(x, reset, state)
        if self.fault == "mixes rows":
            output = output + output.mean(0)
        if self.fault == "forgets state":
            state = jax.tree.map(jnp.zeros_like, state)
        return output, state

    def unroll(self, x, reset, state):
        if self.fault == "resets late":  # One row after it should.
            reset = jnp.roll(reset, 1, axis=0).at[0].set(False)
        if self.fault == "ignores reset":
            reset = jnp.zeros_like(reset)
        outputs, state = self.lstm.unroll(x, reset, state)
        if self.fault == "mixes rows":
            outputs = outputs + outputs.mean(1, keepdims=True)
        return outputs, state


@pytest.mark.parametrize(
    ("fault", "broken"),
    [
        ("ignores reset", "nothing leaks across a reset"),
        ("mixes rows", "nothing leaks between batch rows"),
        ("forgets state", "step by step equals unroll"),
        ("resets late", "step by step equals unroll"),
    ],
)
def test_broken_core_is_caught(fault, broken):
    with pytest.raises(ConformanceError, match=broken):
        check_core(lambda: _Leaky(fault))


class _Diagnosed(_Leaky):
    """A sound LSTM whose `diagnose` has one fault, chosen by name."""

    def __init__(self, fault):
        super().__init__("none")
        self.diagnosis = fault

    def diagnose(self, x, reset, state):
        outputs, state = self.unroll(x, reset, state)
        largest = jnp.abs(outputs).max(-1)  # [T, B]
        if self.diagnosis == "tells of the last step":
            largest = largest[-1]
        if self.diagnosis == "changes the outputs":
            outputs = outputs + 0.1
        return outputs, state, {"largest": largest}


def test_broken_diagnostics_are_caught():
    with pytest.raises(ConformanceError, match="'largest' has shape"):
        check_core(lambda: _Diagnosed("tells of the last step"))
    with pytest.raises(ConformanceError, match=r"differ from unroll's by 0\.1"):
        check_core(lambda: _Diagnosed("changes the outputs"))
    check_core(lambda: _Diagnosed("none"))


def test_sound_core_of_a_user_passes():
    assert check_core(lambda: _Leaky("none"))["nothing leaks across a reset"] < 1e-6


def _run(core, x, reset):
    def forward(x, reset):
        module = core()
        return module.unroll(x, reset, module.initial_state(x.shape[1]))

    transformed = hk.without_apply_rng(hk.transform(forward))
    params = jax.jit(transformed.init)(jax.random.PRNGKey(1), x, reset)
    return params, jax.jit(transformed.apply)(params, x, reset)


def _sigmoid(z):
    return 1.0 / (1.0 + np.exp(-z))


def test_lstm_equals_a_slow_numpy_one():
    rng = np.random.default_rng(0)
    x, reset = rng.normal(size=(6, 2, 3)).astype(np.float32), rng.random((6, 2)) < 0.3
    params, (outputs, _) = _run(lambda: LSTM(LSTMConfig(4), name="core"), x, reset)
    w, b = (
        params["core/~_project/input_gates"]["w"],
        params["core/~_project/input_gates"]["b"],
    )
    recurrent = params["core"]["recurrent_gates"]
    hidden, cell = np.zeros((2, 4)), np.zeros((2, 4))
    for t in range(6):
        hidden[reset[t]], cell[reset[t]] = 0.0, 0.0
        i, g, f, o = np.split(x[t] @ w + b + hidden @ recurrent, 4, axis=-1)
        cell = _sigmoid(f + 1) * cell + _sigmoid(i) * np.tanh(g)
        hidden = _sigmoid(o) * np.tanh(cell)
        np.testing.assert_allclose(outputs[t], hidden, atol=1e-6)


def test_gru_equals_a_slow_numpy_one():
    rng = np.random.default_rng(0)
    x, reset = rng.normal(size=(6, 2, 3)).astype(np.float32), rng.random((6, 2)) < 0.3
    params, (outputs, _) = _run(lambda: GRU(GRUConfig(4), name="core"), x, reset)
    w, b = (
        params["core/~_project/input_gates"]["w"],
        params["core/~_project/input_gates"]["b"],
    )
    gate_weights = params["core"]["recurrent_gates"]
    candidate_weights = params["core"]["recurrent_candidate"]
    hidden = np.zeros((2, 4))
    for t in range(6):
        hidden[reset[t]] = 0.0
        zx = x[t] @ w + b
        z, r = np.split(_sigmoid(zx[:, :8] + hidden @ gate_weights), 2, axis=-1)
        candidate = np.tanh(zx[:, 8:] + (r * hidden) @ candidate_weights)
        hidden = (1 - z) * hidden + z * candidate
        np.testing.assert_allclose(outputs[t], hidden, atol=1e-6)


def test_a_gru_starts_by_keeping_its_state():
    """The update gate's bias is -1: without input, sigmoid(1) = 0.731 of it is kept."""
    x, reset = np.zeros((1, 2, 3), np.float32), np.zeros((1, 2), bool)
    params, _ = _run(lambda: GRU(GRUConfig(4), name="core"), x, reset)
    biases = params["core/~_project/input_gates"]["b"]
    np.testing.assert_array_equal(biases, [-1.0] * 4 + [0.0] * 8)
    assert not biases.weak_type  # Of a weak type, the first update would compile again.


def test_reset_state_replaces_whole_rows_of_any_rank():
    state = (jnp.ones((3, 2)), jnp.ones((3, 4, 5)))
    initial = jax.tree.map(jnp.zeros_like, state)
    flat, deep = reset_state(state, initial, jnp.array([True, False, True]))
    np.testing.assert_array_equal(flat[:, 0], [0, 1, 0])
    np.testing.assert_array_equal(deep.sum((1, 2)), [0, 20, 0])


def test_a_taken_name_is_refused():
    with pytest.raises(ValueError, match="'lstm' is taken by LSTM"):
        register_core("lstm")(Feedforward)
    assert CORES["lstm"] is LSTM
