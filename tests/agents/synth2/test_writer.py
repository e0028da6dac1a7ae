"""The caption writer: what it learns from, and which tokens it may write."""

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np

from tolman.agents.synth2.words import END, PAD, START
from tolman.agents.synth2.writer import NO_CONCEPT, Texts, Writer
from tolman.networks.language import LanguageModel, LanguageModelConfig

KEY = jax.random.PRNGKey(0)
NUM_WORDS = 6  # V: three special words and three others; then two concepts.


def test_a_share_of_the_captions_is_learned_without_its_concept():
    rows = np.array([[START, 3, END, PAD], [START, 4, 5, END]])
    texts = Texts(rows, np.array([0, 1]), NUM_WORDS, share_without=0.25)
    found = jax.jit(texts.sample, static_argnums=2)(texts.load("train"), KEY, 2_000)
    tokens = np.asarray(found[0])
    for word, concept in ((3, 0), (4, 1)):
        own = tokens[tokens[:, 1] == word]
        np.testing.assert_array_equal(own[:, 1:], np.tile(rows[concept, 1:], (len(own), 1)))
        assert set(own[:, 0]) == {START, NUM_WORDS + concept}
    assert abs((tokens[:, 0] == START).mean() - 0.25) < 0.04
    # All words are asked for, END among them, but neither the first token nor padding.
    asked = np.asarray(found[1])
    np.testing.assert_array_equal(asked[:, 0], False)
    np.testing.assert_array_equal(asked[:, 1:], tokens[:, 1:] != PAD)


def test_captions_hold_words_up_to_an_end_and_hear_their_concept():
    config = LanguageModelConfig(NUM_WORDS + 2, hidden_size=16, num_layers=1, mlp_size=16)
    network = hk.transform(lambda rows: LanguageModel(config)(rows).hidden[-1])
    params = network.init(KEY, jnp.zeros((1, 2), jnp.int32))
    params = jax.tree.map(lambda leaf: 3.0 * leaf, params)
    head = hk.transform(lambda x: LanguageModel(config).logits(x)).init(
        KEY, jnp.zeros((1, 16))
    )
    params = hk.data_structures.merge(head, params)
    writer = Writer(config, NUM_WORDS, 8, temperature=0.7)
    write = jax.jit(writer.write)
    concepts = np.repeat([0, 1, NO_CONCEPT], 200)
    rows = np.asarray(write(params, concepts, KEY))
    assert rows.shape == (600, 8) and (rows[:, 0] == START).all()
    for row in rows.tolist():
        end = row.index(END) if END in row else len(row)
        assert set(row[1:end]) <= {3, 4, 5} and set(row[end + 1 :]) <= {PAD}
    assert {END in row for row in rows.tolist()} == {True, False}
    shares = [np.bincount(rows[concepts == c, 1], minlength=6) / 200 for c in (0, 1)]
    assert np.abs(shares[0] - shares[1]).max() > 0.1
