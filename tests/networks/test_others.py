"""Models of other packages as cores: with stand-ins here, with theirs where installed."""

import dataclasses
import importlib.machinery
import importlib.util
import sys
import types

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tolman.launchers.catalog.names import CORE, find, make_core
from tolman.networks.conformance import PROPERTIES, ConformanceError, check_core
from tolman.networks.linear_recurrence import ComplexState
from tolman.networks.others import find_other, memorax
from tolman.networks.others.core import OtherConfig
from tolman.networks.others.memax import make_memax
from tolman.networks.others.memorax import make_memorax


@jax.tree_util.register_dataclass
@dataclasses.dataclass
class Turn:
    """A complex memory in memax's interface: one row of the batch, all states returned."""

    weights: jax.Array
    number: jax.Array  # Whole, so it does not learn.
    activation: object = dataclasses.field(default=jnp.tanh, metadata={"static": True})

    def initialize_carry(self, key=None):
        return jnp.zeros(self.weights.shape[1], complex), jnp.zeros((), bool)

    def __call__(self, state, inputs):
        def step(memory, row):
            x, start = row
            memory = jnp.where(start, 0.0, 0.9j * memory) + self.activation(
                x @ self.weights
            )
            return memory, memory

        _, memories = jax.lax.scan(step, state[0], inputs)
        starts = inputs[1]
        return (memories, starts), memories.real * self.number

    def latest_recurrent_state(self, states):
        return jax.tree.map(lambda leaf: leaf[-1], states)


class LateReset(Turn):
    """The same, a reset one row late."""

    def __call__(self, state, inputs):
        late = jnp.concatenate([jnp.zeros(1, bool), inputs[1][:-1]])
        return super().__call__(state, (inputs[0], late))


jax.tree_util.register_dataclass(LateReset)


def models(num_inputs, hidden, output, num_layers, models, key, layer_kwargs):
    assert (hidden, num_layers) == (output, 1)
    kind = {"Turn": Turn, "Turn-Again": Turn, "LateReset": LateReset}[models[0]]
    weights = jax.random.normal(key, (num_inputs, hidden))
    return {models[0]: kind(weights, jnp.int32(layer_kwargs.get("Turn", {}).get("n", 1)))}


@dataclasses.dataclass
class LeakyCell:
    features: int
    kernel_init: object
    bias_init: object
    param_dtype: object
    keeps: float = 0.5

    def initialize_carry(self, key, shape):
        return jnp.zeros((*shape[:-1], self.features))


class SequenceModel:
    pass


@dataclasses.dataclass
class RNN(SequenceModel):
    """Memorax's interface: batch first, and the state before the outputs."""

    cell: LeakyCell

    def init(self, key, x, mask, carry):
        cell, shape = self.cell, (x.shape[-1], self.cell.features)
        kernel = cell.kernel_init(key, shape, cell.param_dtype)
        return {"params": {"bias": cell.bias_init(key, shape[1:]), "kernel": kernel}}

    def apply(self, variables, x, mask, carry):
        def step(carry, row):
            x, mask = row
            carry = jnp.where(mask[:, None], 0.0, self.cell.keeps * carry)
            carry += x @ variables["params"]["kernel"] + variables["params"]["bias"]
            return carry, carry

        rows = (jnp.swapaxes(x, 0, 1), mask.T)
        carry, outputs = jax.lax.scan(step, carry, rows)
        return carry, jnp.swapaxes(outputs, 0, 1)

    def initialize_carry(self, key, shape):
        return self.cell.initialize_carry(key, shape)


@dataclasses.dataclass
class Memoroid(RNN):
    """What Memorax makes of a cell with an operator for a scan in parallel."""


@dataclasses.dataclass
class HeadsCell:
    """Asks for more than a size, and has a setting with a default."""

    width: int
    num_heads: int
    head_dim: int
    dtype: object
    scale: float = 1.0

    def initialize_carry(self, key, shape):
        return jnp.zeros(shape)


class OperatorCell(HeadsCell):
    def binary_operator(self, earlier, later):
        return later


class Whole(SequenceModel, HeadsCell):
    """No cell: a model of its own."""


@pytest.fixture
def stand_ins(monkeypatch):
    def module(name, **contents):
        made = types.ModuleType(name)
        made.__dict__.update(contents)
        made.__path__ = []
        made.__spec__ = importlib.machinery.ModuleSpec(name, None)
        monkeypatch.setitem(sys.modules, name, made)

    module("equinox")
    module("memax")
    module("memax.equinox")
    module("memax.equinox.train_utils", get_residual_memory_models=lambda *sizes, **keys: (
        models(*sizes, **keys)
    ))  # fmt: skip
    module("memorax")
    sequence_models = types.ModuleType("sequence_models")
    kinds = (LeakyCell, RNN, SequenceModel, Memoroid, HeadsCell, OperatorCell, Whole)
    for kind in kinds:
        setattr(sequence_models, kind.__name__, kind)
    module("memorax.networks", sequence_models=sequence_models)
    module("flax", linen=types.ModuleType("linen"))
    _forget()
    yield
    _forget()


def _forget():
    for cached in (find_other, make_memax, make_memorax):
        cached.cache_clear()


@pytest.mark.parametrize("name", ["memax:Turn", "memorax:LeakyCell"])
def test_a_sound_model_keeps_the_contract(name, stand_ins):
    named = find(CORE, name)
    assert named.default_settings() == OtherConfig(48, "{}")
    assert tuple(check_core(make_core(name, OtherConfig(4)))) == PROPERTIES


def test_the_fault_of_a_model_is_told(stand_ins):
    with pytest.raises(ConformanceError, match="'step by step equals unroll'"):
        check_core(make_core("memax:LateReset", OtherConfig(4)))


def run(name, config, x, reset):
    def forward(x, reset):
        core = make_core(name, config)()
        return core.unroll(x, reset, core.initial_state(x.shape[1]))

    transformed = hk.without_apply_rng(hk.transform(forward))
    params = jax.jit(transformed.init)(jax.random.PRNGKey(2), x, reset)
    return params, jax.jit(transformed.apply)(params, x, reset)


def test_parameters_are_haikus_and_states_are_real(stand_ins):
    x, reset = jnp.ones((3, 2, 5)), jnp.zeros((3, 2), bool)
    params, (outputs, state) = run("memax:Turn", OtherConfig(4, '{"n": 3}'), x, reset)
    own, enter = params["turn"], params["turn/~unroll/input"]
    assert set(own) == {"leaf_0"}  # A whole number does not learn.
    first = jnp.tanh(
        (enter["w"].sum(0) + enter["b"]) @ own["leaf_0"]
    )  # Then turned by a right angle a step.
    np.testing.assert_allclose(outputs[:, 0], 3 * first * np.array([[1, 1, 0.19]]).T, 1e-5)
    assert isinstance(state[0], ComplexState) and state[0].real.shape == (2, 4)
    params, (outputs, _) = run(
        "memorax:LeakyCell", OtherConfig(4, '{"keeps": 0}'), x, reset
    )
    (bias, kernel), enter = (
        params["leaky_cell"].values(),
        params["leaky_cell/~unroll/input"],
    )
    expected = (enter["w"].sum(0) + enter["b"]) @ kernel + bias
    np.testing.assert_allclose(outputs[2, 1], expected, rtol=1e-5)


def test_what_a_model_asks_for_is_filled_in(stand_ins):
    """The size for all sizes, four heads and a quarter of the size for each, rounded up."""
    asked = (10, 4, 3, jnp.float32)
    assert memorax._make("HeadsCell", 10, {}) == RNN(HeadsCell(*asked))
    made = memorax._make("OperatorCell", 10, {"scale": 2.0, "num_heads": 5})
    assert made == Memoroid(OperatorCell(10, 5, 3, jnp.float32, 2.0))
    assert memorax._make("Whole", 10, {}) == Whole(*asked)


def test_a_name_may_have_a_hyphen(stand_ins):
    x, reset = jnp.ones((3, 2, 5)), jnp.zeros((3, 2), bool)
    one, other = (
        run(f"memax:{name}", OtherConfig(4), x, reset)[1][0]
        for name in ("Turn", "Turn-Again")
    )
    assert one.shape == other.shape == (3, 2, 4)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("memax:Turm", "memax has no model 'Turm'"),
        ("memorax:Leaky", "Memorax has no model 'Leaky': use one of HeadsCell, LeakyCell"),
    ],
)
def test_a_model_that_is_not_there_is_named(name, told, stand_ins):
    with pytest.raises(ValueError, match=told):
        find(CORE, name)


def test_keywords_that_cannot_be_are_refused(stand_ins):
    x, reset = jnp.ones((3, 2, 5)), jnp.zeros((3, 2), bool)
    with pytest.raises(ValueError, match="must be a JSON object"):
        run("memorax:LeakyCell", OtherConfig(4, "keeps"), x, reset)
    with pytest.raises(ValueError, match="unexpected keyword argument 'kept'"):
        run("memorax:LeakyCell", OtherConfig(4, '{"kept": 1}'), x, reset)


@pytest.mark.parametrize("name", ["memax:LRU", "memorax:LRUCell"])
def test_a_package_that_is_not_installed_is_named(name, monkeypatch):
    find_other.cache_clear()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=f"core '{name}': .* is not installed"):
        find(CORE, name)


@pytest.mark.parametrize(
    ("name", "broken"),
    [("memax:LRU", ""), ("memorax:LRUCell", ""), ("memorax:FFMCell", "step by step")],
)
def test_a_model_of_theirs(name, broken):
    pytest.importorskip(name.partition(":")[0])
    core = make_core(name, OtherConfig(8))
    if not broken:
        assert tuple(check_core(core)) == PROPERTIES
        return
    with pytest.raises(ConformanceError, match=broken):
        check_core(core)
