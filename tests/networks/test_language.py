"""The language model against loops in NumPy, its cache, and each kind of positions."""

import dataclasses

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import language as oracle

from tolman.launchers.settings.bounds import check_settings
from tolman.networks.language import LanguageModel, LanguageModelConfig, empty_cache
from tolman.networks.positions import alibi_slopes, rotate

SMALL = LanguageModelConfig(
    vocabulary_size=11,
    max_length=16,
    hidden_size=16,
    num_layers=2,
    num_heads=4,
    num_key_value_heads=2,
    mlp_size=24,
)
KINDS = ("none", "sinusoidal", "rope", "alibi")
TOKENS = np.array([[1, 4, 4, 7, 10, 0], [3, 2, 9, 9, 1, 5]])


def build(**changes):
    """The config, parameters of which no scale is 1, and a jitted forward pass."""
    config = dataclasses.replace(SMALL, **changes)

    def forward(tokens, cache=None, num_new=None):
        model = LanguageModel(config)
        reading = model(tokens, cache, num_new)
        return model.logits(reading.hidden[-1]), reading

    transformed = hk.without_apply_rng(hk.transform(forward))
    params = transformed.init(jax.random.PRNGKey(0), TOKENS)
    rng = np.random.default_rng(1)
    params = jax.tree.map(lambda x: x + 0.2 * rng.normal(size=x.shape), params)
    params = jax.tree.map(jnp.float32, params)
    return config, params, jax.jit(transformed.apply)


@pytest.fixture(scope="module", params=KINDS)
def model(request):
    return build(
        positions=request.param,
        has_tied_embeddings=request.param != "alibi",
        rope_base=100.0,
    )


def test_equals_loops(model):
    config, params, forward = model
    logits, reading = forward(params, TOKENS)
    assert logits.shape == (2, 6, 11) and len(reading.hidden) == 3
    assert ("unembedding" in params["language_model"]) != config.has_tied_embeddings
    for row, tokens in enumerate(TOKENS):
        expected, weights = oracle.logits(
            params, tokens, num_layers=2, heads=4, groups=2,
            positions=config.positions, base=100.0,
        )  # fmt: skip
        np.testing.assert_allclose(logits[row], expected, atol=2e-4)
        for layer, weight in enumerate(reading.attention):
            np.testing.assert_allclose(weight[row], weights[layer], atol=1e-5)


def test_decoding_with_a_cache_equals_reading_all_at_once(model):
    config, params, forward = model
    whole, _ = forward(params, TOKENS)
    # Rows of 3 and 2 tokens, the second padded; then one token at a time.
    lengths = np.array([3, 2])
    begun = np.where(np.arange(3) < lengths[:, None], TOKENS[:, :3], 10)
    logits, reading = forward(params, begun, empty_cache(config, 2, 8), lengths)
    for row, length in enumerate(lengths):
        np.testing.assert_allclose(logits[row, :length], whole[row, :length], atol=1e-5)
    for _ in range(3):
        length = np.asarray(reading.cache.length)
        token = TOKENS[np.arange(2), length][:, None]
        logits, reading = forward(params, token, reading.cache)
        np.testing.assert_allclose(logits[:, 0], whole[np.arange(2), length], atol=1e-5)
    np.testing.assert_array_equal(reading.cache.length, [6, 5])


@pytest.mark.parametrize("positions", ["rope", "alibi"])
def test_a_row_that_is_seen_whole_and_a_context_equal_loops(positions):
    params, apply = build_with_context(positions)
    rng = np.random.default_rng(3)
    context = rng.normal(size=(2, 3, 5)).astype(np.float32)
    is_there = np.array([[True, True, True], [True, False, True]])
    lengths = np.array([6, 4])
    logits = apply(params, TOKENS, lengths, context, is_there)
    for row, length in enumerate(lengths):
        expected, _ = oracle.logits(
            params, TOKENS[row, :length], num_layers=2, heads=4, groups=2,
            positions=positions, is_causal=False, context=context[row][is_there[row]],
        )  # fmt: skip
        np.testing.assert_allclose(logits[row, :length], expected, atol=2e-4)


def build_with_context(positions):
    """As `build`, of a model that sees the whole row and a context of five features."""
    config = dataclasses.replace(SMALL, positions=positions, is_causal=False)

    def forward(tokens, num_new, rows, is_there):
        model = LanguageModel(config)
        embedded = model.embed(tokens, np.zeros(len(tokens), np.int32))
        context = model.context(rows, is_there)
        reading = model.read(embedded, num_new=num_new, context=context)
        return model.logits(reading.hidden[-1])

    transformed = hk.without_apply_rng(hk.transform(forward))
    rows, is_there = np.zeros((2, 3, 5), np.float32), np.ones((2, 3), bool)
    params = transformed.init(
        jax.random.PRNGKey(0), TOKENS, np.array([6, 6]), rows, is_there
    )
    rng = np.random.default_rng(1)
    params = jax.tree.map(lambda x: np.float32(x + 0.2 * rng.normal(size=x.shape)), params)
    return params, jax.jit(transformed.apply)


def test_no_token_sees_what_follows():
    config, params, _ = build()

    def at_place_two(embedded):
        return LanguageModel(config).read(embedded).hidden[-1][:, 2].sum()

    apply = hk.without_apply_rng(hk.transform(at_place_two)).apply
    embedded = jax.random.normal(jax.random.PRNGKey(2), (1, 5, 16))
    gradient = np.abs(jax.jit(jax.grad(apply, argnums=1))(params, embedded)).sum(-1)[0]
    assert (gradient[:3] > 1e-4).all()
    np.testing.assert_array_equal(gradient[3:], 0.0)


def test_rotated_products_depend_on_the_distance_alone():
    rng = np.random.default_rng(0)
    query, key = rng.normal(size=(2, 1, 1, 1, 8)).astype(np.float32)

    def score(at, past):
        turned = rotate(query, jnp.array([[at]]), 10_000.0)
        other = rotate(key, jnp.array([[past]]), 10_000.0)
        return float((turned * other).sum())

    assert score(5, 2) == pytest.approx(score(105, 102), abs=1e-4)
    assert abs(score(5, 2) - score(5, 3)) > 1e-3
    # A quarter of a turn of the first pair, whose frequency is 1.
    quarter = rotate(jnp.array([[[[1.0, 0.0]]]]), jnp.array([[np.pi / 2]]), 10.0)
    np.testing.assert_allclose(quarter[0, 0, 0], [0.0, 1.0], atol=1e-6)


def test_alibi_slopes_by_hand():
    # Press et al. 2022, section 3: eight heads have 1/2, 1/4, ... 1/256.
    np.testing.assert_allclose(alibi_slopes(8), 0.5 ** np.arange(1, 9))


def shifted_weights(model):
    """The last token's weights on a run of equal tokens, of 3 and of 6."""
    _, params, forward = model
    _, reading = forward(params, np.full((1, 6), 4))
    return [np.asarray(reading.attention[0][0, :, n - 1, :n]) for n in (3, 6)]


def test_what_positions_do_to_equal_tokens(model):
    config, _, _ = model
    short, long = shifted_weights(model)
    if config.positions == "none":
        np.testing.assert_allclose(short, 1 / 3, atol=1e-6)
        np.testing.assert_allclose(long, 1 / 6, atol=1e-6)
        return
    # Ratios between places at a distance: moved by three, they stay for rope and alibi.
    ratio = short[:, 1:] / short[:, :1]
    moved = long[:, 4:] / long[:, 3:4]
    if config.positions == "sinusoidal":
        assert np.abs(ratio - moved).max() > 1e-3
    else:
        np.testing.assert_allclose(ratio, moved, rtol=1e-4)
    if config.positions == "alibi":
        np.testing.assert_allclose(short[:, 1] / short[:, 2], np.exp(
            -(2.0 ** (-8 * np.arange(1, 5) / 4))), rtol=1e-4)  # fmt: skip


@pytest.mark.parametrize("dtype", ("bfloat16", "float16"))
def test_narrow_numbers_round_the_stream_and_no_more(dtype):
    _, params, forward = build(dtype=dtype)
    exact, _ = build()[2](params, TOKENS)
    logits, reading = forward(params, TOKENS)
    assert {x.dtype for x in reading.hidden} == {jnp.dtype(dtype)}
    assert logits.dtype == reading.attention[0].dtype == jnp.float32
    error = np.abs(np.asarray(logits - exact)).max()
    unit = float(jnp.finfo(dtype).eps) * float(np.abs(exact).max())
    assert 0.05 * unit < error < 20 * unit


def test_settings_that_do_not_fit_are_refused():
    for changes, message in (
        ({"hidden_size": 18}, "hidden_size=18: must be a multiple of num_heads = 4"),
        ({"num_key_value_heads": 3}, "num_heads=4: must be a multiple of num_key_value"),
        ({"hidden_size": 12}, "hidden_size=12: must be an even multiple of num_heads"),
        ({"positions": "learned"}, "positions='learned'"),
    ):
        with pytest.raises(ValueError, match=message):
            check_settings(dataclasses.replace(SMALL, **changes))
    odd = {"hidden_size": 15, "num_heads": 3, "num_key_value_heads": 1}
    with pytest.raises(ValueError, match="even, for sinusoidal"):
        check_settings(dataclasses.replace(SMALL, positions="sinusoidal", **odd))
