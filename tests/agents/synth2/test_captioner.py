"""The captioner: beams against all sequences, its gradients, and what it learns."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tolman.agents.synth2.captioner import Captioner, CaptionerConfig, _repeat, search
from tolman.agents.synth2.codes import Examples
from tolman.networks.language import Cache, Context

KEY = jax.random.PRNGKey(0)
CODEBOOK = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)
CAPTIONS = np.array([[1, 3, 4, 2, 0], [1, 4, 2, 0, 0], [1, 3, 3, 5, 2]])
TOKENS = np.array([[0, 1, 0, 1], [2, 2, 3, 3], [5, 4, 3, 2]])
PAIRS = Examples(TOKENS, CAPTIONS, np.ones(3, bool))


@pytest.fixture(scope="module")
def fresh():
    config = CaptionerConfig(
        hidden_size=16, num_heads=2, num_latents=3, num_layers=1, learning_rate=1e-2
    )
    agent = Captioner(config, CODEBOOK, 4, 6)
    return agent, jax.jit(agent.init)(KEY, PAIRS), jax.jit(agent.logits)


@pytest.fixture(scope="module")
def trained(fresh):
    agent, state, _ = fresh

    def update(state, number):
        return agent.update(state, PAIRS, KEY, number / 150)[:2]

    state, metrics = jax.jit(lambda state: jax.lax.scan(update, state, jnp.arange(150)))(
        state
    )
    return agent, state, jax.tree.map(lambda x: x[-1], metrics)


def test_it_learns_to_write_of_what_it_sees(trained, fresh):
    agent, state, metrics = trained
    assert float(metrics["train/accuracy"]) == 1.0
    written = jax.jit(agent.write, static_argnums=3)(
        state.params, TOKENS, PAIRS.has_image, 5
    )
    np.testing.assert_array_equal(written, CAPTIONS)
    np.testing.assert_array_equal(state.params.codebook, CODEBOOK)


def test_without_an_image_its_tokens_are_not_read(fresh):
    _, state, read = fresh
    blind = PAIRS._replace(has_image=np.array([False, True, True]))
    other = blind._replace(tokens=np.array([[5, 5, 5, 5], *TOKENS[1:]]))
    first, second = (read(state.params, pairs) for pairs in (blind, other))
    np.testing.assert_array_equal(first, second)
    seeing = read(state.params, PAIRS)
    assert np.abs(seeing[0] - first[0]).max() > 1e-5
    np.testing.assert_array_equal(seeing[1:], first[1:])


def test_where_a_token_stands_is_seen(fresh):
    _, state, read = fresh
    turned = PAIRS._replace(tokens=TOKENS[:, ::-1])
    difference = read(state.params, PAIRS) - read(state.params, turned)
    assert np.abs(difference).max() > 1e-5


def test_no_word_sees_what_follows(fresh):
    _, state, read = fresh
    changed = PAIRS._replace(captions=np.where(np.arange(5) < 2, CAPTIONS, 5))
    first, second = (read(state.params, pairs) for pairs in (PAIRS, changed))
    np.testing.assert_allclose(first[:, :2], second[:, :2], atol=1e-6)
    assert np.abs(first[:, 2:] - second[:, 2:]).max() > 1e-4


def test_the_loss_by_hand(fresh):
    agent, state, read = fresh
    logits = np.asarray(read(state.params, PAIRS))
    log_p = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    rows = [
        -log_p[row, place, word]
        for row, words in enumerate(CAPTIONS[:, 1:])
        for place, word in enumerate(words)
        if word
    ]
    assert len(rows) == 3 + 2 + 4
    assert float(jax.jit(agent.loss)(state.params, PAIRS).total) == pytest.approx(
        np.mean(rows), rel=1e-5
    )


def test_beams_give_the_log_probability_of_their_captions(trained):
    agent, state, _ = trained
    write = jax.jit(agent.write_beams, static_argnums=(3, 4))
    beams, told = write(state.params, TOKENS, PAIRS.has_image, 5, 4)
    read = jax.jit(agent.logits)
    assert beams.shape == (3, 4, 5)
    np.testing.assert_array_equal(beams[:, 0], CAPTIONS)
    for rank in range(4):
        captions = np.asarray(beams[:, rank])
        logits = read(state.params, PAIRS._replace(captions=captions))
        log_p = np.asarray(jax.nn.log_softmax(logits))
        words = captions[:, 1:]
        rows = np.take_along_axis(log_p, words[..., None], 2)[..., 0] * (words != 0)
        np.testing.assert_allclose(told[:, rank], rows.sum(1), atol=1e-3)


def _table(seed):
    """Log probabilities of the next of 5 words by the last two."""
    logits = np.random.default_rng(seed).normal(size=(5, 5, 5)) * 2.0
    return jax.nn.log_softmax(jnp.asarray(logits))


def _searched(table, num_beams, length, batch_size=1):
    """The search over a table; the cache holds the word before the last."""

    def step(words, cache):
        before = cache.keys[0, :, 0, 0, 0].astype(int)
        keys = words[None, :, None, None, None].astype(float)
        return table[before, words], Cache(keys, cache.values, cache.length)

    rows = batch_size * num_beams
    empty = jnp.zeros((1, rows, 1, 1, 1))
    cache = Cache(empty, empty, jnp.zeros(rows, int))
    beams, log_p = search(step, cache, batch_size, num_beams, length)
    return np.asarray(beams), np.asarray(log_p)


def _all_captions(table, length):
    """Every caption with its log probability: words 3 and 4, cut at the length."""
    found = {}
    for count in range(length):
        for words in itertools.product((3, 4), repeat=count):
            ends = (2,) if count < length - 1 else ()
            row, before = (1, *words, *ends), 0
            total = 0.0
            for last, word in itertools.pairwise(row):
                total += float(table[before, last, word])
                before = last
            found[row + (0,) * (length - len(row))] = total
    return found


@pytest.mark.parametrize("seed", range(5))
def test_enough_beams_find_the_likeliest_of_all_captions(seed):
    table = _table(seed)
    every = _all_captions(table, 5)
    beams, log_p = _searched(table, 16, 5)
    best = sorted(every, key=every.get, reverse=True)
    assert [tuple(row) for row in beams[0, :3].tolist()] == best[:3]
    np.testing.assert_allclose(log_p[0, :3], [every[row] for row in best[:3]], rtol=1e-5)
    assert len({tuple(row) for row in beams[0].tolist()}) == 16


def test_one_beam_takes_the_likeliest_word_after_each_word():
    table = _table(7)
    beams, log_p = _searched(table, 1, 6, batch_size=2)
    row, before, total = [1], 0, 0.0
    while len(row) < 6 and row[-1] != 2:
        allowed = np.asarray(table[before, row[-1], 2:])
        before = row[-1]
        row.append(2 + int(allowed.argmax()))
        total += float(allowed.max())
    assert beams[0, 0].tolist() == row + [0] * (6 - len(row))
    np.testing.assert_array_equal(beams[0], beams[1])
    np.testing.assert_allclose(log_p[:, 0], total, rtol=1e-5)


def test_the_beams_of_an_image_stand_beside_each_other_and_see_it():
    rows = jnp.arange(2)[None, :, None, None, None]  # [L, B, S, H, K]
    wide = _repeat(Context(rows, 10 + rows, jnp.array([[True], [False]])), 3)
    assert wide.keys.ravel().tolist() == [0, 0, 0, 1, 1, 1]
    assert wide.values.ravel().tolist() == [10, 10, 10, 11, 11, 11]
    assert wide.is_there.ravel().tolist() == [True] * 3 + [False] * 3
