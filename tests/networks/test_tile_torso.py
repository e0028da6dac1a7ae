"""The tile torso: one layer shared by square tiles, wherever a picture stands."""

import haiku as hk
import jax
import numpy as np
import pytest

from tolman.networks.torsos import TileTorso


def build():
    torso = hk.without_apply_rng(hk.transform(lambda image: TileTorso(5)(image)))
    return hk.Transformed(jax.jit(torso.init), jax.jit(torso.apply))


def pictures(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).random(shape, np.float32)


def test_a_picture_has_the_same_features_on_either_side():
    left, right = pictures(2, 3, 6, 6, 3)
    torso = build()
    pair = np.concatenate([left, right], axis=2)  # [3, 6, 12, 3]
    params = torso.init(jax.random.PRNGKey(0), pair)
    features = torso.apply(params, pair)
    swapped = torso.apply(params, np.concatenate([right, left], axis=2))
    assert features.shape == (3, 10)
    np.testing.assert_allclose(features[:, :5], swapped[:, 5:], rtol=1e-5)
    np.testing.assert_allclose(features[:, 5:], swapped[:, :5], rtol=1e-5)
    assert np.abs(features[:, :5] - features[:, 5:]).max() > 0.1


def test_leading_axes_and_tall_images():
    torso, image = build(), pictures(4, 2, 9, 3, 1)
    params = torso.init(jax.random.PRNGKey(0), image)
    features = torso.apply(params, image)
    assert features.shape == (4, 2, 15)
    alone = torso.apply(params, image[1, 1])
    np.testing.assert_allclose(features[1, 1], alone, rtol=1e-5)


def test_brightness_and_contrast_of_a_tile_do_not_matter():
    torso, image = build(), pictures(6, 12, 3) / 4
    params = torso.init(jax.random.PRNGKey(0), image)
    brighter = image * 3 + 0.2
    np.testing.assert_allclose(
        torso.apply(params, image), torso.apply(params, brighter), atol=0.05
    )
    flat = np.ones((6, 12, 3), np.float32)
    assert np.isfinite(torso.apply(params, flat)).all()


def test_sides_that_do_not_divide_are_refused():
    with pytest.raises(ValueError, match="must be a multiple"):
        build().init(jax.random.PRNGKey(0), pictures(6, 10, 3))
