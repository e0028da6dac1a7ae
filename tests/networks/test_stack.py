"""What a stack takes from the spelling of its layers, and what it refuses."""

import math

import jax
import pytest

from tolman.launchers.catalog.names import make_core
from tolman.launchers.settings.bounds import check_settings
from tolman.networks.conformance import PROPERTIES, check_core
from tolman.networks.cores import Attention, AttentionConfig, MinGRU, StackConfig
from tolman.networks.cores.stack import layer_of


def test_a_layer_is_a_name_and_settings():
    assert layer_of("attention?window=7&positions=alibi&head_size=2", 6) == (
        Attention,
        AttentionConfig(hidden_size=6, window=7, positions="alibi", head_size=2),
    )
    core, config = layer_of("mingru?hidden_size=3&longest_memory=1e3", 6)
    assert (core, config.hidden_size, config.longest_memory) == (MinGRU, 3, 1000.0)
    assert layer_of("delta_net?gated=False", 6)[1].gated is False
    assert layer_of("lru?phase_max=6.283185307179586", 6)[1].phase_max == 2 * math.pi


@pytest.mark.parametrize(
    ("layer", "told"),
    [
        ("mingro", "'mingro' is none"),
        ("stack", "'stack' is none"),
        ("mingru?width=3", "mingru has shortest_memory, "),
        ("mingru?hidden_size=x", "mingru's hidden_size must be int"),
        ("delta_net?gated=1", "delta_net's gated must be bool"),
        ("lru?hidden_size=0", "lru's hidden_size must be at least 1"),
        ("lru?radius_max=1.0", "lru's radius_max must be below 1"),
        ("lru?radius_max=0", "lru's radius_max must be above 0"),
        ("lru?phase_max=7", "lru's phase_max must be at most 6.28"),
        ("s5?state_size=7", "s5's state_size must be a multiple of 2"),
        ("mingru?scan=both", "mingru's scan must be one of auto, associative, sequential"),
        ("slstm?num_heads=5", "slstm's hidden_size must be a multiple of num_heads = 5"),
    ],
)
def test_a_layer_that_cannot_be_is_refused(layer, told):
    with pytest.raises(ValueError, match=f"layers=.*{told}"):
        check_settings(StackConfig(layers=("gru", layer)))


def test_no_layers_and_a_window_that_cannot_turn_are_refused():
    with pytest.raises(ValueError, match="layers="):
        check_settings(StackConfig(layers=()))
    with pytest.raises(ValueError, match="head_size=3: must be even"):
        check_settings(AttentionConfig(head_size=3))
    check_settings(AttentionConfig(head_size=3, positions="alibi"))


def test_layers_of_every_kind_keep_the_contract_and_are_told_apart():
    """A window, a store that diagnoses, another size than the stream's, gates and MLPs."""
    layers = ("attention?window=4", "memo?capacity=5&max_hops=1", "lstm?hidden_size=3")
    core = make_core("stack", StackConfig(8, layers, gate="gru", mlp_size=4))
    assert tuple(check_core(core)) == PROPERTIES


def test_diagnostics_of_a_layer_have_its_number():
    import haiku as hk
    import jax.numpy as jnp

    def run(x, reset):
        core = make_core("stack", StackConfig(8, ("gru", "memo?capacity=5&max_hops=1")))()
        return core.diagnose(x, reset, core.initial_state(2))[2]

    x, reset = jnp.zeros((3, 2, 4)), jnp.zeros((3, 2), bool)
    transformed = hk.transform(run)
    params = jax.eval_shape(transformed.init, jax.random.PRNGKey(0), x, reset)
    told = jax.eval_shape(transformed.apply, params, None, x, reset)
    assert told["layer_1/expected_hops"].shape == (3, 2)
    plain = hk.transform(
        lambda: hasattr(make_core("stack", StackConfig())(), "diagnose")
    ).apply({}, None)
    assert plain is False
