"""Pairs: shares of a batch, images made ahead and on the fly, and what is refused."""

import dataclasses

import jax
import numpy as np
import pytest

from tolman.agents.synth2.captioner import Captioner, CaptionerConfig
from tolman.agents.synth2.generator import Generator, GeneratorConfig
from tolman.agents.synth2.pairs import (
    MadePairs,
    Manifest,
    MixedPairs,
    check_controlled,
    draw_ahead,
    fingerprint,
    image_keys,
    join,
    make_pairs,
)
from tolman.launchers.device.supervised import Source

KEY = jax.random.PRNGKey(0)
CODEBOOK = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)
CAPTIONS = np.array([[1, 3, 2, 0], [1, 4, 2, 0], [1, 3, 4, 2]])
HUMAN = make_pairs(np.arange(12).reshape(3, 4) % 6, CAPTIONS)
OTHER = make_pairs(np.full((5, 4), 5), np.tile(CAPTIONS[:1], (5, 1)), has_image=False)


@pytest.fixture(scope="module")
def drawing():
    config = GeneratorConfig(hidden_size=16, num_heads=2, num_layers=1, num_rounds=2)
    generator = Generator(config, CODEBOOK, 4, 5)
    params = jax.jit(generator.init)(KEY, HUMAN).params
    # Larger weights, that images differ.
    params = params._replace(network=jax.tree.map(lambda x: 3 * x, params.network))
    return generator, params


def test_a_million_pairs_of_64_tokens_take_two_bytes_a_token():
    assert HUMAN.tokens.dtype == np.uint16 and HUMAN.tokens.nbytes == 3 * 4 * 2


def test_a_batch_has_its_share_of_each_sort():
    source = MixedPairs(HUMAN, OTHER, share=0.25)
    assert isinstance(source, Source)
    data = source.load("train")
    batch = jax.jit(source.sample, static_argnums=2)(data, KEY, 32)
    np.testing.assert_array_equal(batch.has_image, np.arange(32) < 24)
    assert batch.tokens.dtype == batch.captions.dtype == np.int32
    rows = {tuple(row) for row in np.asarray(batch.tokens[:24]).tolist()}
    assert rows == {tuple(row) for row in HUMAN.tokens.tolist()}
    assert (np.asarray(batch.tokens[24:]) == 5).all()


def test_human_pairs_alone_and_tables_filled_up_draw_what_is_there():
    source = MixedPairs(HUMAN, capacity=50)
    data = source.load("train")
    assert data.pairs.tokens.shape == (50, 4)
    batch = source.sample(data, KEY, 300)
    allowed = {tuple(row) for row in HUMAN.tokens.tolist()}
    assert {tuple(row) for row in np.asarray(batch.tokens).tolist()} == allowed
    assert np.asarray(batch.has_image).all()
    filled = MixedPairs(HUMAN, OTHER, capacity=50)
    shapes = [jax.tree.map(np.shape, one.load("train")) for one in (source, filled)]
    assert shapes[0] == shapes[1]
    batch = filled.sample(filled.load("train"), KEY, 300)
    assert (np.asarray(batch.tokens[150:]) == 5).all()


def test_images_made_ahead_are_those_made_on_the_fly(drawing):
    generator, params = drawing
    captions = np.concatenate([CAPTIONS, CAPTIONS[::-1]])
    ahead = draw_ahead(generator, params, captions, KEY, chunk=4)
    assert ahead.dtype == np.uint16 and ahead.shape == (6, 4)
    source = MadePairs(HUMAN, captions, generator, params, KEY, 0.5, fresh_images=False)
    data = source.load("train")
    batch = jax.jit(source.sample, static_argnums=2)(data, jax.random.PRNGKey(3), 64)
    images = {}
    for caption, tokens in zip(captions.tolist(), ahead.tolist(), strict=True):
        images.setdefault(tuple(caption), set()).add(tuple(tokens))
    seen = set()
    for tokens, caption in zip(
        batch.tokens[32:].tolist(), batch.captions[32:].tolist(), strict=True
    ):
        assert tuple(tokens) in images[tuple(caption)]
        seen.add(tuple(tokens))
    assert seen == set().union(*images.values()) and len(seen) > 2
    # Equal keys, equal images, wherever they are drawn.
    keys = image_keys(KEY, np.array([4, 1]))
    again = jax.jit(generator.generate)(params, captions[[4, 1]], keys)
    np.testing.assert_array_equal(again, ahead[[4, 1]])


def test_fresh_images_differ_from_batch_to_batch(drawing):
    generator, params = drawing
    source = MadePairs(HUMAN, CAPTIONS, generator, params, KEY, 1.0)
    data = source.load("train")
    sample = jax.jit(source.sample, static_argnums=2)
    first, second = (
        np.asarray(sample(data, jax.random.PRNGKey(n), 60).tokens) for n in (0, 1)
    )
    assert len(np.unique(np.concatenate([first, second]), axis=0)) > 6


def test_no_gradient_goes_into_the_generator(drawing):
    generator, params = drawing
    source = MadePairs(HUMAN, CAPTIONS, generator, params, KEY, 0.5)
    captioner = Captioner(
        CaptionerConfig(hidden_size=16, num_heads=2, num_layers=1), CODEBOOK, 4, 5
    )
    state = jax.jit(captioner.init)(KEY, HUMAN)

    def loss(drawer, reader):
        data = source.load("train")._replace(params=params._replace(network=drawer))
        batch = source.sample(data, KEY, 8)
        return captioner.loss(state.params._replace(network=reader), batch).total

    both = jax.jit(jax.grad(loss, (0, 1)))(params.network, state.params.network)
    sizes = [sum(float(abs(x).sum()) for x in jax.tree.leaves(one)) for one in both]
    assert sizes[0] == 0.0 and sizes[1] > 0.1


@pytest.mark.parametrize(
    ("tokens", "captions", "message"),
    [
        (np.zeros((2, 4), int), CAPTIONS, "2 images and 3 captions"),
        (np.zeros((0, 4), int), CAPTIONS[:0], "0 images and 0 captions"),
        (np.full((3, 4), 2**16), CAPTIONS, "tokens from 65536"),
        (np.zeros((3, 4), int), CAPTIONS - 2, "captions from -2"),
    ],
)
def test_pairs_that_cannot_be(tokens, captions, message):
    with pytest.raises(ValueError, match=message):
        make_pairs(tokens, captions)


def test_a_manifest_that_is_not_controlled_is_refused():
    human, more = fingerprint(*HUMAN), fingerprint(*join(HUMAN, OTHER))
    check_controlled(Manifest("all images", human, human))
    with pytest.raises(ValueError, match=f"{more}.*{human}.*--no-controlled"):
        check_controlled(Manifest("all images", more, human))


def test_fingerprints_tell_what_differs():
    rows = np.arange(6, dtype=np.uint16)
    told = [
        fingerprint(rows), fingerprint(rows.reshape(2, 3)),
        fingerprint(rows.view(np.int16)), fingerprint(rows[::-1]),
        fingerprint(rows[:3], rows[3:]),
    ]  # fmt: skip
    assert len(set(told)) == 5 and told[0] == fingerprint(rows.copy())


def test_a_share_out_of_range_is_refused():
    from tolman.launchers.settings.bounds import check_settings

    with pytest.raises(ValueError, match="share"):
        check_settings(dataclasses.replace(MixedPairs(HUMAN), share=1.5))
