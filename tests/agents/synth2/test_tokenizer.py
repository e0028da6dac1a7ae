"""The image tokenizer: its averages by hand, its gradients, and images there and back."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tolman.agents.synth2.tokenizer import (
    Averages,
    Tokenizer,
    TokenizerConfig,
    follow,
    from_patches,
    to_patches,
)
from tolman.launchers.settings.bounds import check_settings

SMALL = TokenizerConfig(
    image_size=8,
    patch_size=4,
    num_codes=16,
    code_size=4,
    hidden_size=32,
    batch_size=16,
    learning_rate=1e-2,
)
KEY = jax.random.PRNGKey(0)


@pytest.fixture(scope="module")
def images():
    """Each quarter has one of four colours."""
    rng = np.random.default_rng(0)
    colours = np.array([[250, 10, 10], [10, 250, 10], [10, 10, 250], [250, 250, 250]])
    quarters = colours[rng.integers(4, size=(64, 2, 2))]
    return quarters.repeat(4, 1).repeat(4, 2).astype(np.uint8)


@pytest.fixture(scope="module")
def trained(images):
    agent = Tokenizer(SMALL)
    state = jax.jit(agent.init)(KEY, images)

    def update(state, number):
        batch = jnp.asarray(images)[(16 * number + np.arange(16)) % 64]
        key = jax.random.fold_in(KEY, number)
        return agent.update(state, batch, key, number / 300)[:2]

    state, metrics = jax.jit(lambda state: jax.lax.scan(update, state, jnp.arange(300)))(
        state
    )
    return agent, state, jax.tree.map(lambda x: x[-1], metrics)


def test_the_codebook_follows_by_hand():
    averages = Averages(jnp.array([1.0, 2.0, 0.2]), jnp.array([[1.0], [4.0], [0.6]]))
    codes, tokens = jnp.array([[3.0], [5.0], [7.0]]), jnp.array([0, 0, 1])
    after, codebook = follow(
        averages, codes, tokens, jnp.array([0.0, 0.0, 1.0]), KEY, 0.9, 0.0
    )
    # 0.9 of what was, and 0.1 of what chose: two with a sum of 8, one of 7, none.
    np.testing.assert_allclose(after.size, [0.9 + 0.2, 1.8 + 0.1, 0.18], rtol=1e-6)
    np.testing.assert_allclose(after.total[:, 0], [0.9 + 0.8, 3.6 + 0.7, 0.54], rtol=1e-6)
    np.testing.assert_allclose(codebook[:, 0], [1.7 / 1.1, 4.3 / 1.9, 3.0], rtol=1e-6)


def test_a_dead_code_goes_to_the_patch_that_is_drawn_worst():
    averages = Averages(jnp.array([1.0, 0.2]), jnp.array([[1.0], [0.6]]))
    codes, tokens = jnp.array([[3.0], [5.0], [7.0]]), jnp.array([0, 0, 0])
    after, codebook = follow(
        averages, codes, tokens, jnp.array([0.0, 1.0, 0.0]), KEY, 0.9, 0.2
    )
    assert float(after.size[1]) == 1.0 and float(codebook[1, 0]) == 5.0
    # In proportion to the errors: of many dead codes, three of four go to the first.
    many = Averages(jnp.zeros(4_000), jnp.zeros((4_000, 1)))
    _, codebook = follow(many, codes, tokens, jnp.array([3.0, 0.0, 1.0]), KEY, 0.9, 0.2)
    assert float((codebook == 3.0).mean()) == pytest.approx(0.75, abs=0.03)
    assert not (codebook[1:] == 5.0).any()  # Code 0 lives: it was chosen three times.


def test_patches_stand_in_rows_and_go_back():
    image = np.arange(2 * 4 * 6 * 3, dtype=np.uint8).reshape(2, 4, 6, 3)
    patches = to_patches(image, 2)
    assert patches.shape == (2, 6, 12)
    np.testing.assert_allclose(patches[1, 1], image[1, :2, 2:4].ravel() / 255.0, rtol=1e-6)
    square = np.arange(2 * 16 * 3, dtype=np.uint8).reshape(2, 4, 4, 3)
    levels = (255 * to_patches(square, 2)).round().astype(np.uint8)
    np.testing.assert_array_equal(from_patches(levels, 2), square)


def test_it_draws_again_what_it_has_read(trained, images):
    agent, state, metrics = trained
    tokens = jax.jit(agent.encode)(state.params, images)
    assert tokens.shape == (64, 4) and len(np.unique(tokens)) >= 4, np.unique(tokens)
    drawn = np.asarray(jax.jit(agent.decode)(state.params, tokens)).astype(int)
    assert np.abs(drawn - images.astype(int)).mean() < 20
    assert float(metrics["train/psnr"]) > 15


def test_answers_are_distances_to_the_codes(trained, images):
    agent, state, _ = trained
    logits = agent.answer(state.params, images[:2], KEY).logits
    np.testing.assert_array_equal(logits.argmax(-1), agent.encode(state.params, images[:2]))
    assert logits.shape == (2, 4, 16) and (logits < 1e-4).all()


def test_gradients_go_through_to_the_encoder(images):
    agent = Tokenizer(SMALL)
    params = jax.jit(agent.init)(KEY, images).params
    gradient = jax.jit(jax.grad(lambda params: agent.loss(params, images[:4]).total))(
        params
    )
    reached = {
        name: float(sum(jnp.abs(x).sum() for x in bundle.values()))
        for name, bundle in gradient.network.items()
    }
    assert len(reached) == 5 and all(value > 0 for value in reached.values())
    assert float(jnp.abs(gradient.codebook).sum()) > 0  # Which `update` does not follow.


def test_without_commitment_the_encoder_hears_of_pixels_alone(images):
    agent = Tokenizer(SMALL)
    params = jax.jit(agent.init)(KEY, images).params
    loss = jax.jit(agent.loss)(params, images[:4])
    assert float(loss.total) == pytest.approx(
        float(loss.metrics["loss/pixels"] + 0.25 * loss.metrics["loss/commitment"]),
        rel=1e-5,
    )


def test_a_patch_that_does_not_divide_the_image_is_refused():
    with pytest.raises(ValueError, match="image_size"):
        check_settings(TokenizerConfig(image_size=30, patch_size=4))
