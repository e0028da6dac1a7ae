"""How cores begin: what their parts remember before anything is learnt."""

import math

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tolman.networks.cores import (
    FFM,
    LRU,
    S5,
    SLSTM,
    AttentionConfig,
    DeltaNet,
    DeltaNetConfig,
    FFMConfig,
    LinearAttention,
    LinearAttentionConfig,
    LRUConfig,
    Mamba,
    MambaConfig,
    MinGRU,
    MinGRUConfig,
    S5Config,
    SLSTMConfig,
)
from tolman.networks.cores.attention import rope_frequencies
from tolman.networks.cores.state_space import hippo


def first_params(core, config):
    def forward(x, reset):
        module = core(config, name="core")
        return module.unroll(x, reset, module.initial_state(1))[0]

    transformed = hk.without_apply_rng(hk.transform(forward))
    x, reset = jnp.zeros((1, 1, 3)), jnp.zeros((1, 1), bool)
    return jax.jit(transformed.init)(jax.random.PRNGKey(0), x, reset)


def test_the_units_of_mingru_keep_what_they_are_set_to():
    """Without input, a unit that remembers n steps keeps 1 - 1/n a step."""
    config = MinGRUConfig(hidden_size=3, shortest_memory=10, longest_memory=1000)
    biases = first_params(MinGRU, config)["core/~_enter/gate_and_candidate"]["b"]
    np.testing.assert_allclose(jax.nn.sigmoid(biases[:3]), [0.1, 0.01, 0.001], rtol=1e-5)
    np.testing.assert_array_equal(biases[3:], 0)
    assert not biases.weak_type  # Of a weak type, the first update would compile again.


def test_decays_of_the_lru_start_in_their_ring():
    config = LRUConfig(4, state_size=2000, radius_min=0.5, radius_max=0.9, phase_max=1.0)
    params = first_params(LRU, config)["core"]
    radius, phase = np.exp(-np.exp(params["log_rate"])), np.exp(params["log_phase"])
    assert 0.5 <= radius.min() < 0.51 and 0.89 < radius.max() <= 0.9
    # Even over the area: half of them beyond the root of (0.25 + 0.81) / 2 = 0.728.
    assert (radius > 0.728).mean() == pytest.approx(0.5, abs=0.04)
    assert 0 < phase.min() < 0.01 and 0.99 < phase.max() <= 1.0
    np.testing.assert_allclose(
        np.exp(params["log_scale"]), np.sqrt(1 - radius**2), rtol=1e-4
    )


def test_s5_starts_as_hippo():
    """A = -1/2 - (skew part), made again from its kept eigenvalues and their conjugates."""
    values, vectors = hippo(6)
    values = np.concatenate([values, values.conj()])
    vectors = np.concatenate([vectors, vectors.conj()], axis=1)
    matrix = vectors @ np.diag(values) @ vectors.conj().T
    n = np.arange(6)[:, None]
    root = np.sqrt((n + 0.5) * (n.T + 0.5))
    expected = np.where(n > n.T, -root, root)  # Smith et al. 2023, equation 10.
    np.fill_diagonal(expected, -0.5)
    np.testing.assert_allclose(matrix, expected, atol=1e-10)
    config = S5Config(4, state_size=400, time_step_min=0.01, time_step_max=0.5)
    steps = np.exp(first_params(S5, config)["core"]["log_time_step"])
    assert 0.01 <= steps.min() < 0.012 and 0.45 < steps.max() <= 0.5


@pytest.mark.parametrize(
    ("core", "config"),
    [(LinearAttention, LinearAttentionConfig), (DeltaNet, DeltaNetConfig)],
)
def test_the_heads_of_a_matrix_core_keep_what_they_are_set_to(core, config):
    """Without input, a head that remembers n steps keeps 1 - 1/n a step."""
    settings = config(10, 1000, hidden_size=4, num_heads=3, head_size=2)
    biases = first_params(core, settings)["core/~_enter/decay"]["b"]
    np.testing.assert_allclose(jax.nn.sigmoid(biases), [0.9, 0.99, 0.999], rtol=1e-6)


def test_the_heads_of_mamba_keep_what_they_are_set_to():
    """exp(-step |A|) of steps 1/10, 1/100 and 1/1000, as A starts at -1."""
    config = MambaConfig(10, 1000, hidden_size=4, num_heads=3, head_size=2)
    params = first_params(Mamba, config)["core"]
    steps = jax.nn.softplus(params["time_step_bias"])
    np.testing.assert_allclose(steps, [0.1, 0.01, 0.001], rtol=1e-4)
    np.testing.assert_array_equal(params["log_rate"], 0.0)


def test_the_units_of_each_head_of_slstm_keep_what_they_are_set_to():
    """The forget gates are the third of four; the others start in the middle."""
    config = SLSTMConfig(10, 1000, hidden_size=6, num_heads=2)
    biases = first_params(SLSTM, config)["core/input_gates"]["b"].reshape(2, 4, 3)
    kept = jax.nn.sigmoid(biases[:, 2])
    np.testing.assert_allclose(kept, [[0.9, 0.99, 0.999]] * 2, rtol=1e-6)
    np.testing.assert_array_equal(biases[:, [0, 1, 3]], 0.0)


def test_the_traces_of_ffm_keep_a_hundredth_at_their_end():
    """Ends after 1, 10 and 100 steps, full turns in 1 and 100."""
    config = FFMConfig(4, num_traces=3, num_contexts=2, longest_memory=100)
    params = first_params(FFM, config)["core"]
    kept = np.exp(-params["rate"] * np.array([1, 10, 100]))
    np.testing.assert_allclose(kept, 0.01, rtol=1e-4)
    turned = params["frequency"] * np.array([1, 100])
    np.testing.assert_allclose(turned, 2 * math.pi, rtol=1e-5)


def test_no_trace_of_ffm_grows_whatever_is_learnt():
    """A rate that learning has made negative decays as fast as its opposite."""
    config = FFMConfig(4, num_traces=3, num_contexts=2)

    def forward(x):
        core = FFM(config, name="core")
        return core.unroll(x, jnp.zeros(x.shape[:2], bool), core.initial_state(1))[0]

    x = np.random.default_rng(0).normal(size=(5, 1, 3)).astype(np.float32)
    transformed = hk.without_apply_rng(hk.transform(forward))
    params = jax.jit(transformed.init)(jax.random.PRNGKey(0), x)
    turned = {**params, "core": {**params["core"], "rate": -params["core"]["rate"]}}
    one, other = (jax.jit(transformed.apply)(learnt, x) for learnt in (params, turned))
    np.testing.assert_array_equal(one, other)


def test_rotations_are_the_papers():
    """Su et al. 2021, section 3.2.2: 10,000^(-2i / K) radians a step."""
    frequencies = rope_frequencies(AttentionConfig(head_size=4))
    np.testing.assert_allclose(frequencies, [1.0, 0.01])
