"""The generator: its schedule, guidance and decoding by hand, and what it learns."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tolman.agents.synth2 import generator
from tolman.agents.synth2.codes import Examples, standard
from tolman.agents.synth2.generator import (
    Generator,
    GeneratorConfig,
    decode_in_parallel,
    draw_hidden,
    draw_tokens,
    guide,
    num_hidden,
    without_text,
)
from tolman.launchers.settings.bounds import check_settings

KEY = jax.random.PRNGKey(0)
CODEBOOK = np.random.default_rng(0).normal(size=(6, 8)).astype(np.float32)
SMALL = GeneratorConfig(hidden_size=16, num_heads=2, num_layers=1, num_rounds=4)
# "3" is a picture of 0 1 0 1, "4" of 2 2 3 3.
CAPTIONS = np.array([[1, 3, 2, 0], [1, 4, 2, 0]])
TOKENS = np.array([[0, 1, 0, 1], [2, 2, 3, 3]])
PAIRS = Examples(TOKENS, CAPTIONS, np.ones(2, bool))


ALL_HIDDEN = np.ones(TOKENS.shape, bool)


def jitted_logits(agent):
    return jax.jit(agent.logits)


def make(**changes):
    config = GeneratorConfig(**{**vars(SMALL), **changes})
    agent = Generator(config, CODEBOOK, 4, 5)
    return agent, jax.jit(agent.init)(KEY, PAIRS)


def test_the_schedule_by_hand():
    # cos(pi / 6) 36 = 31.2, cos(pi / 3) 36 = 18.
    assert [int(num_hidden(done, 3, 36)) for done in (1, 2, 3)] == [31, 18, 0]
    # With more rounds than tokens each round settles one.
    assert [int(num_hidden(jnp.array(i), 8, 4)) for i in range(1, 9)] == [
        3,
        2,
        1,
        0,
        0,
        0,
        0,
        0,
    ]


def test_shares_that_are_hidden():
    is_hidden = np.asarray(draw_hidden(KEY, (20_000, 10)))
    count = is_hidden.sum(1)
    assert count.min() >= 1 and count.max() == 10
    # At least half are hidden where cos(pi r / 2) > 0.4: r < 0.738 (rounded up, 5 of 10).
    assert (count >= 5).mean() == pytest.approx(2 / np.pi * np.arccos(0.4), abs=0.015)
    np.testing.assert_allclose(is_hidden.mean(0), is_hidden.mean(), atol=0.02)


def test_guidance_by_hand():
    assert float(guide(jnp.array(2.0), jnp.array(5.0), 0.5)) == pytest.approx(3.0 - 2.5)


def test_no_text_is_an_empty_caption():
    dropped = without_text(jnp.array(CAPTIONS), jnp.array([False, True]))
    np.testing.assert_array_equal(dropped, [[1, 3, 2, 0], [1, 2, 0, 0]])


def test_rounds_settle_the_surest_tokens():
    """Token n is sure to be n + 1, and the surer the larger n is."""
    seen = []

    def logits(tokens, is_hidden):
        jax.debug.callback(
            lambda *x: seen.append([np.array(y) for y in x]), tokens, is_hidden
        )
        strength = 20.0 + jnp.arange(5)[:, None] * 5
        rows = strength * jax.nn.one_hot(jnp.arange(1, 6), 7)
        return jnp.tile(rows, (2, 1, 1))

    keys = jax.random.split(KEY, 2)
    tokens = decode_in_parallel(logits, keys, 5, 3, 1.0, 0.0)
    jax.effects_barrier()
    np.testing.assert_array_equal(tokens, [[1, 2, 3, 4, 5]] * 2)
    # Hidden before each round: all, then floor(5 cos 30) = 4, floor(5 cos 60) = 2.
    hidden = [one[1][0].tolist() for one in seen]
    assert hidden == [[True] * 5, [True] * 4 + [False], [True] * 2 + [False] * 3]
    # What is settled is shown to the next round.
    assert seen[1][0][0][4] == 5 and seen[2][0][0][2:].tolist() == [3, 4, 5]


def test_the_noise_on_the_choice_falls(monkeypatch):
    """In the first of two rounds it weighs half: the two less sure tokens stay hidden."""
    log_p = np.array([-0.1, -0.15, -0.5, -0.55])  # Of code 0, which all would draw.
    noise = jnp.array([0.0, 0.0, 0.6, 0.6])  # In full it would make the last two surer.
    of_0 = jnp.asarray(log_p - np.log(1 - np.exp(log_p)), jnp.float32)
    monkeypatch.setattr(jax.random, "gumbel", lambda key, shape: noise)
    monkeypatch.setattr(generator, "draw_tokens", lambda keys, p: p.argmax(-1))

    def logits(tokens, is_hidden):
        first = jnp.where(is_hidden.all(), of_0, -9.0)  # Later, code 1.
        return jnp.stack([first, jnp.zeros(4)], -1)[None]

    keys = jax.random.split(jax.random.PRNGKey(0), 1)
    drawn = generator.decode_in_parallel(logits, keys, 4, 2, 1.0, 1.0)
    assert drawn.tolist() == [[0, 0, 1, 1]]


def test_what_is_settled_stays_though_the_network_thinks_again():
    def logits(tokens, is_hidden):
        is_first = is_hidden.all(1)[:, None, None]
        first, later = jax.nn.one_hot(0, 3), jax.nn.one_hot(2, 3)
        strength = jnp.arange(1, 5)[:, None] * 20.0
        return jnp.where(is_first, first, later) * strength

    tokens = decode_in_parallel(logits, KEY[None], 4, 2, 1.0, 0.0)
    # floor(4 cos 45) = 2 stay hidden: those that were told less surely.
    np.testing.assert_array_equal(tokens, [[2, 2, 0, 0]])


def test_tokens_are_drawn_by_the_temperature_and_anew_in_each_round():
    seen = []

    def logits(tokens, is_hidden):
        jax.debug.callback(
            lambda *x: seen.append([np.array(y[0]) for y in x]), tokens, is_hidden
        )
        return jnp.broadcast_to(jnp.log(jnp.array([1.0, 3.0])), (1, 3_000, 2))

    drawn = np.asarray(decode_in_parallel(logits, KEY[None], 3_000, 2, 0.5, 9.0))[0]
    jax.effects_barrier()
    # Odds of 3 to 1 are 9 to 1 at a temperature of a half.
    assert drawn.mean() == pytest.approx(0.9, abs=0.03)
    shown, is_hidden = seen[1]
    # Two draws differ in 2 x 0.9 x 0.1 of the tokens.
    differ = shown[is_hidden] != drawn[is_hidden]
    assert differ.mean() == pytest.approx(0.18, abs=0.04)
    np.testing.assert_array_equal(shown[~is_hidden], drawn[~is_hidden])


def test_tokens_are_drawn_as_often_as_is_probable():
    probabilities = np.float32([[0.0, 0.5, 0.0, 0.3, 0.2, 0.0], [0, 0, 0, 0, 0, 1]])
    keys = jax.random.split(KEY, 3_000)
    rows = np.broadcast_to(probabilities, (3_000, 2, 6))
    drawn = np.asarray(jax.jit(draw_tokens)(keys, rows))
    assert drawn.dtype == np.int32 and (drawn[:, 1] == 5).all()
    shares = np.bincount(drawn[:, 0], minlength=6) / 3_000
    np.testing.assert_array_equal(shares[[0, 2, 5]], 0.0)
    np.testing.assert_allclose(shares, probabilities[0], atol=0.03)
    # Each key draws its own, wherever it stands.
    np.testing.assert_array_equal(draw_tokens(keys[5:7], rows[:2]), drawn[5:7])


def test_chance_of_an_image_is_its_own():
    agent, state = make(temperature=5.0)
    keys = jax.random.split(KEY, 4)
    captions = np.repeat(CAPTIONS, 2, 0)
    generate = jax.jit(agent.generate)
    together = generate(state.params, captions, keys)
    order = np.array([2, 0, 3, 1])
    np.testing.assert_array_equal(
        generate(state.params, captions[order], keys[order]), together[order]
    )
    assert len(np.unique(together, axis=0)) > 1


def test_it_learns_to_draw_what_the_text_says():
    agent, state = make(learning_rate=1e-2, temperature=0.2)
    batch = jax.tree.map(lambda x: np.tile(x, (8,) + (1,) * (x.ndim - 1)), PAIRS)
    before = jax.device_get(state.params.codebook)

    def update(state, number):
        return agent.update(state, batch, jax.random.fold_in(KEY, number), number / 200)[:2]

    @jax.jit
    def train_and_draw(state):
        state, metrics = jax.lax.scan(update, state, jnp.arange(200))
        drawn = agent.generate(state.params, CAPTIONS, jax.random.split(KEY, 2))
        return state, metrics, drawn

    state, metrics, drawn = train_and_draw(state)
    np.testing.assert_array_equal(drawn, TOKENS)
    # A token that is hidden with the whole text left out is even.
    assert float(metrics["loss/total"][-20:].mean()) < 0.3
    np.testing.assert_array_equal(state.params.codebook, before)


def test_a_tied_output_tells_codes_by_how_near_they_are():
    agent, state = make()
    logits = np.asarray(jitted_logits(agent)(state.params, TOKENS, ALL_HIDDEN, CAPTIONS))
    vectors = np.asarray(standard(CODEBOOK))
    # But for a term of the code alone, logits are products with the vectors.
    rest = logits.reshape(-1, 6) * 8**0.5 + 0.5 * (vectors**2).sum(1)
    told = np.linalg.lstsq(vectors, rest.T, rcond=None)[0]
    np.testing.assert_allclose(vectors @ told, rest.T, atol=1e-4)
    assert {name for name in state.params.network if "output" in name} == {"tied_output"}


def test_a_free_output_has_a_row_of_its_own_for_each_code():
    _, state = make(output="free")
    assert state.params.network["free_output"]["w"].shape == (16, 6)
    assert "tied_output" not in state.params.network


def test_a_hidden_token_is_not_read_and_a_shown_one_is():
    agent, state = make()
    is_hidden = np.array([[True, False, True, True]] * 2)
    read = jitted_logits(agent)
    logits = read(state.params, TOKENS, is_hidden, CAPTIONS)
    changed = np.where(is_hidden, 5, TOKENS)
    np.testing.assert_array_equal(read(state.params, changed, is_hidden, CAPTIONS), logits)
    changed = np.where(is_hidden, TOKENS, 5)
    assert np.abs(read(state.params, changed, is_hidden, CAPTIONS) - logits).max() > 1e-4


def test_padding_of_a_caption_is_not_read():
    agent, state = make()
    read = jitted_logits(agent)
    wide = np.pad(CAPTIONS, [(0, 0), (0, 3)])
    first, second = (
        read(state.params, TOKENS, ALL_HIDDEN, one) for one in (CAPTIONS, wide)
    )
    np.testing.assert_allclose(first, second, atol=1e-5)


def test_tokens_and_words_see_what_stands_on_either_side():
    agent, state = make()
    read = jitted_logits(agent)
    is_hidden = np.array([[False, True, True, False]] * 2)
    logits = read(state.params, TOKENS, is_hidden, CAPTIONS)
    for changed, place in ((0, 2), (3, 1)):
        other = np.where(np.arange(4) == changed, 5, TOKENS)
        found = read(state.params, other, is_hidden, CAPTIONS)
        assert np.abs(found - logits)[:, place].max() > 1e-4
    keys = jax.jit(agent.functions[0])(state.params.network, CAPTIONS).context.keys
    # The captions differ in their second word: so does what is made of START before it.
    assert np.abs(keys[0, 0, 0] - keys[0, 1, 0]).max() > 1e-4


def test_a_generator_whose_text_is_dropped_hears_none():
    agent, state = make(text_dropout=1.0)
    other = PAIRS._replace(captions=CAPTIONS[::-1])
    first, second = (
        jax.jit(agent.loss)(state.params, pairs, KEY).total for pairs in (PAIRS, other)
    )
    assert float(first) == float(second)
    agent, state = make(text_dropout=0.0, guidance=0.0)
    first, second = (
        jax.jit(agent.loss)(state.params, pairs, KEY).total for pairs in (PAIRS, other)
    )
    assert float(first) != float(second)


def test_the_loss_is_of_hidden_tokens_alone():
    agent, state = make(text_dropout=0.0, guidance=0.0)
    hide_key, _ = jax.random.split(KEY)
    is_hidden = np.asarray(draw_hidden(hide_key, TOKENS.shape))
    logits = np.asarray(jitted_logits(agent)(state.params, TOKENS, is_hidden, CAPTIONS))
    log_p = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    rows = [
        -log_p[b, n, TOKENS[b, n]] for b in range(2) for n in range(4) if is_hidden[b, n]
    ]
    total = jax.jit(agent.loss)(state.params, PAIRS, KEY).total
    assert float(total) == pytest.approx(np.mean(rows), rel=1e-5)


def test_guidance_without_a_dropped_text_is_refused():
    with pytest.raises(ValueError, match="text_dropout"):
        check_settings(GeneratorConfig(guidance=1.0, text_dropout=0.0))
