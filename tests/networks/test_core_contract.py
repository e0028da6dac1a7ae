"""Every registered core keeps the contract, and the check catches the ways to break it."""

from dataclasses import replace

import bad_cores
import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tolman.launchers.catalog.names import CORE, find, make_core
from tolman.launchers.check_core import _named_reference
from tolman.networks.conformance import (
    PROPERTIES,
    REFERENCE,
    ConformanceError,
    check_core,
    check_reference,
    steps_in_reach,
)
from tolman.networks.core import CORES, register_core, reset_state, run_core
from tolman.networks.cores import GRU, LSTM, Feedforward, GRUConfig, LSTMConfig, recurrent

# What makes a check slow is what must be compiled; the rules are the same.
SMALL = {
    "dnc": {"num_slots": 4, "num_read_heads": 1},
    "gtrxl": {"hidden_size": 8, "num_layers": 1, "num_heads": 2, "memory_length": 40},
    "memo": {"hidden_size": 8, "capacity": 30, "max_hops": 2},
    "stacked_lstm": {"first_hidden_size": 8, "hidden_size": 8},
}


def small(name):
    config = find(CORE, name).default_settings()
    return make_core(name, replace(config, **SMALL.get(name, {})))


def test_core_keeps_the_contract(core_name):
    assert tuple(check_core(small(core_name))) == PROPERTIES


@pytest.mark.slow
def test_core_keeps_the_contract_for_long(core_name):
    """At its default settings, after 10^5 steps without a reset."""
    core = make_core(core_name, find(CORE, core_name).default_settings())
    assert tuple(check_core(core, long_run=100_000)) == PROPERTIES


@pytest.mark.parametrize("name", ["lstm", "gru"])
def test_a_core_that_unrolls_otherwise_on_an_accelerator_keeps_it_too(name, monkeypatch):
    monkeypatch.setattr(recurrent, "_steps_are_faster", lambda: False)
    assert tuple(check_core(small(name))) == PROPERTIES


FAULTS = {
    bad_cores.StatelessConvolution: "step by step equals unroll",
    bad_cores.RestartingPositions: "step by step equals unroll",
    bad_cores.KeysRotatedAgain: "step by step equals unroll",
    bad_cores.CountsCalls: "step by step equals unroll",
    bad_cores.HandsOnTheRowBefore: "unroll in two parts equals unroll in one",
    bad_cores.CountsSteps: "final states agree",
    bad_cores.OneRow: "unrolls of unequal length equal one",
    bad_cores.ResetsARowLate: "nothing leaks across a reset",
    bad_cores.ResetsOnce: "nothing leaks across a reset",
    bad_cores.WarmsUpOnce: "nothing leaks across a reset",
    bad_cores.RemembersLate: "nothing leaks across a reset",
    bad_cores.ResetsAll: "nothing leaks between batch rows",
    bad_cores.LeaksBetweenRows: "nothing leaks between batch rows",
    bad_cores.ShortWindow: "a long unroll equals short ones",
    bad_cores.DividesByNothing: "zeros and large inputs stay finite",
    bad_cores.Explodes: "zeros and large inputs stay finite",
    bad_cores.NoGradient: "gradients of unroll equal those of steps",
    bad_cores.GradientAcrossReset: "no gradient crosses a reset",
    bad_cores.GrowingProduct: "a long run changes nothing",
}


@pytest.mark.parametrize(("core", "broken"), FAULTS.items())
def test_a_core_of_a_known_fault_is_caught_by_name(core, broken):
    with pytest.raises(ConformanceError, match=f"'{broken}' does not hold"):
        check_core(lambda: core(bad_cores.NoConfig()))


@pytest.mark.parametrize(
    ("core", "told"),
    [
        (bad_cores.OtherWidth, "outputs have 5 features by __call__ and 4 by unroll"),
        (bad_cores.NoRows, r"__call__ returned outputs of shape \(4,\), must be \[B\] = "),
        (bad_cores.TimeLast, r"unroll returned outputs of shape \(6, 22, 4\), must be "),
        (bad_cores.OtherNest, "__call__ returned a state of the structure .*'memory'"),
        (
            bad_cores.OtherType,
            r"__call__ .* of float16 \(6, 4\), must be a leaf of float32",
        ),
        (bad_cores.OneForAll, r"initial_state .*'memory'.* of float32 \(4,\), must begin"),
    ],
)
def test_outputs_and_states_of_another_form_are_told(core, told):
    with pytest.raises(ConformanceError, match=told) as caught:
        check_core(lambda: core(bad_cores.NoConfig()))
    assert "\n" not in str(caught.value)


def _delta_rule(params, x, reset):
    """Schlag et al. 2021: a key that is written again holds the new value."""
    outputs = np.zeros((*reset.shape, bad_cores.SIZE))
    for b in range(reset.shape[1]):
        memory = np.zeros((bad_cores.SIZE, bad_cores.SIZE))
        for t in range(len(reset)):
            if reset[t, b]:
                memory[:] = 0.0
            weights = next(value for name, value in params.items() if "parts" in name)
            parts = (x[t, b] @ weights["w"] + weights["b"]).reshape(3, bad_cores.SIZE)
            key, value, query = parts / (
                np.linalg.norm(parts, axis=-1, keepdims=True) + 1e-6
            )
            memory = memory + 0.5 * np.outer(value - memory @ key, key)
            outputs[t, b] = memory @ query
    return outputs


def test_a_delta_rule_on_the_wrong_side_is_caught_by_its_reference_alone():
    right, wrong = (
        lambda cls=cls: cls(bad_cores.NoConfig())
        for cls in (bad_cores.RightSide, bad_cores.WrongSide)
    )
    assert tuple(check_core(wrong)) == PROPERTIES
    with pytest.raises(ConformanceError, match="'equals its reference' does not hold"):
        check_core(wrong, reference=_delta_rule)
    assert tuple(check_core(right, reference=_delta_rule)) == (*PROPERTIES, REFERENCE)


def test_a_reference_that_cannot_be_compared_is_told():
    right = lambda: bad_cores.RightSide(bad_cores.NoConfig())  # noqa: E731
    with pytest.raises(ConformanceError, match=r"\(22, 6\), must .* = \(22, 6, 4\)"):
        check_reference(right, lambda params, x, reset: x[..., 0])
    broken = _named_reference("bad_cores:reference_of_nothing")
    with pytest.raises(ValueError, match="reference_of_nothing': it raised TypeError"):
        check_reference(right, broken)


def test_what_is_wiped_at_each_step_reaches_nothing():
    """It keeps the contract, and no answer can be better than chance on a recall."""
    wiped = lambda: bad_cores.Wiped(bad_cores.NoConfig())  # noqa: E731
    assert steps_in_reach(wiped, 30) == 0
    assert steps_in_reach(small("feedforward"), 30) == 0
    assert steps_in_reach(small("gru"), 30) == 30
    assert steps_in_reach(small("gtrxl"), 60) == 40  # The window of its one layer.


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
    assert tuple(check_core(lambda: _Diagnosed("none"))) == PROPERTIES


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


class _Sums:
    """Adds up what it should keep apart."""

    def initial_state(self, batch_size):
        return jnp.zeros(batch_size)

    def __call__(self, x, reset, state):
        return x.sum(-1), state

    def unroll(self, x, reset, state):
        return x.sum(1), state


def test_outputs_of_other_rows_are_named():
    """A core of a user's own trains without check-core, too."""
    x, state = jnp.zeros((5, 3, 2)), jnp.zeros(3)
    with pytest.raises(ValueError, match=r"_Sums: .* \(3,\); must be \(3,\) and an axis"):
        run_core(_Sums(), x[0], jnp.zeros(3, bool), state)
    with pytest.raises(ValueError, match=r"_Sums: .* \(5, 2\); must be \(5, 3\) and an"):
        run_core(_Sums(), x, jnp.zeros((5, 3), bool), state)
