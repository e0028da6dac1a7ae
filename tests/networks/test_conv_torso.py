"""Convolutions over images of any size: the paper's shapes, and no pixel left out."""

from __future__ import annotations

import haiku as hk
import jax
import numpy as np
import pytest

from tolman.networks.torsos import DEEP, ConvTorso

torso = hk.without_apply_rng(hk.transform(lambda image: ConvTorso(256)(image)))
torso = hk.Transformed(jax.jit(torso.init), jax.jit(torso.apply))


@jax.jit
def slopes_of(params: hk.Params, image: jax.Array) -> jax.Array:
    return jax.grad(lambda image: torso.apply(params, image).sum())(image)


def test_atari_frames_get_the_papers_layers() -> None:
    params = torso.init(jax.random.PRNGKey(0), np.zeros((84, 84, 4), np.float32))
    shapes = jax.tree.map(np.shape, params)
    assert shapes["conv_torso/conv2_d"]["w"] == (8, 8, 4, 16)
    assert shapes["conv_torso/conv2_d_1"]["w"] == (4, 4, 16, 32)
    assert shapes["conv_torso/linear"]["w"] == (9 * 9 * 32, 256)


def test_the_deep_one_has_the_layers_of_its_paper() -> None:
    deep = hk.without_apply_rng(hk.transform(lambda image: ConvTorso(1024, DEEP)(image)))
    params = jax.eval_shape(deep.init, jax.random.PRNGKey(0), np.zeros((84, 84, 4)))
    shapes = [layer["w"].shape for layer in params.values()]
    assert shapes[:3] == [(8, 8, 4, 32), (4, 4, 32, 64), (3, 3, 64, 128)]
    assert shapes[3] == (7 * 7 * 128, 1024)


@pytest.mark.parametrize("height, width", [(1, 1), (3, 9), (10, 11), (30, 21), (84, 85)])
def test_every_pixel_of_an_image_of_any_size_counts(height: int, width: int) -> None:
    params = torso.init(jax.random.PRNGKey(1), np.zeros((height, width, 1), np.float32))
    # Without negative weights no ReLU hides a pixel.
    params = jax.tree.map(np.abs, params)
    slopes = slopes_of(params, np.ones((height, width, 1), np.float32))
    assert (np.asarray(slopes) > 0.0).all()


def test_leading_axes_are_kept() -> None:
    images = np.random.default_rng(2).random((2, 3, 20, 20, 1), np.float32)
    params = torso.init(jax.random.PRNGKey(3), images)
    features = torso.apply(params, images)
    np.testing.assert_allclose(features[1, 2], torso.apply(params, images[1, 2]), atol=1e-5)
