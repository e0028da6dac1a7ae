"""Networks of equal size, whatever the core."""

from dataclasses import dataclass

import jax
import pytest

from tolman.launchers.catalog.names import CORE, find, make_core
from tolman.launchers.measuring.matching import TOLERANCE, at_width, match_parameters
from tolman.networks.core import CORES
from tolman.networks.cores import GTrXLConfig, LSTMConfig, MemoConfig, StackedLSTMConfig
from tolman.networks.cost import core_cost
from tolman.networks.others.core import OtherConfig


@dataclass(frozen=True)
class Wide:
    hidden_size: int = 4


@dataclass(frozen=True)
class Rigid:
    num_slots: int = 4


def test_widths_keep_their_proportions():
    assert at_width("lstm", LSTMConfig(), 7) == LSTMConfig(7)
    # By default 64 and 256.
    assert at_width("stacked_lstm", StackedLSTMConfig(), 40) == StackedLSTMConfig(10, 40)
    # 64, 256: four times; 25 is rounded down to a multiple of the four heads.
    config = at_width("gtrxl", GTrXLConfig(memory_length=9), 25)
    assert config == GTrXLConfig(hidden_size=24, mlp_size=100, memory_length=9)
    # An odd number of heads must divide it, and two must too.
    odd = GTrXLConfig(hidden_size=6, num_heads=3)
    assert at_width("gtrxl", odd, 11).hidden_size == 6
    assert at_width("gtrxl", odd, 1).hidden_size == 6
    # The four heads of Memorax's models.
    assert at_width("memorax:mLSTMCell", OtherConfig(), 51) == OtherConfig(48)
    assert at_width("memax:LRU", OtherConfig(), 51) == OtherConfig(51)
    # 64, 32, 16.
    config = at_width("memo", MemoConfig(capacity=5), 32)
    assert config == MemoConfig(hidden_size=32, item_size=16, head_size=8, capacity=5)


@pytest.mark.parametrize(
    ("core", "sizes"),
    [
        ("delta_net", {"head_size": 32}),
        ("ffm", {"num_traces": 64}),
        ("linear_attention", {"head_size": 32}),
        ("lru", {"state_size": 96}),
        ("mamba", {"head_size": 32, "state_size": 32}),
        ("s5", {"state_size": 192}),
        ("shm", {"memory_size": 64}),
        ("attention", {"head_size": 32}),
    ],
)
def test_twice_the_width_has_twice_the_sizes(core, sizes):
    """Of 48 units by default, with the sizes of docs/cores.md."""
    config = at_width(core, find(CORE, core).default_settings(), 96)
    assert {name: getattr(config, name) for name in sizes} == sizes


def lstm_parameters(config):
    """Of an LSTM of three features, by hand: 20, 48, 84, 128, ..."""
    return 4 * config.hidden_size * (3 + config.hidden_size + 1)


@pytest.mark.parametrize("target", [20, 90, 1000, 123_456])
def test_the_nearest_width_is_found(target):
    found = match_parameters("lstm", LSTMConfig(), lstm_parameters, target)
    every = {width: lstm_parameters(LSTMConfig(width)) for width in range(1, 400)}
    best = min(every.values(), key=lambda number: abs(number - target))
    assert found.num_parameters == best == every[found.config.hidden_size]


def test_a_size_between_two_widths_is_refused():
    message = "network 100 parameters within 10%; the nearest is 84 at hidden_size=3"
    with pytest.raises(ValueError, match=message):
        match_parameters("lstm", LSTMConfig(), lstm_parameters, 100)


@pytest.mark.parametrize("name", sorted(CORES))
def test_every_core_can_be_matched(name):
    """Counted on the core alone, which is less even than a whole network."""

    def count(config):
        return core_params(name, config)

    matched = match_parameters(name, find(CORE, name).default_settings(), count, 20_000)
    assert matched.num_parameters == count(matched.config)
    assert abs(matched.num_parameters - 20_000) <= TOLERANCE * 20_000


def core_params(name, config):
    import haiku as hk
    import jax.numpy as jnp

    def step(x, reset):
        core = make_core(name, config)()
        return core(x, reset, core.initial_state(1))

    init = hk.without_apply_rng(hk.transform(step)).init
    params = jax.eval_shape(
        init, jax.random.PRNGKey(0), jnp.zeros((1, 8)), jnp.zeros(1, bool)
    )
    return sum(leaf.size for leaf in jax.tree.leaves(params))


def test_the_count_of_this_test_is_that_of_core_cost():
    assert (
        core_params("lstm", LSTMConfig(8))
        == core_cost(make_core("lstm", LSTMConfig(8)), 8).num_parameters
    )


def test_a_core_that_cannot_be_widened_is_named():
    with pytest.raises(ValueError, match="core 'mine:Core': Rigid has no hidden_size"):
        match_parameters("mine:Core", Rigid(), lambda config: 10, 100)
    with pytest.raises(ValueError, match="the nearest is 10 at hidden_size="):
        match_parameters("mine:Core", Wide(), lambda config: 10, 100)
