"""Torsos: from one observation to one feature vector.

Shapes: `...` any leading axes (batch, or time and batch), H W C image, D features.
"""

from __future__ import annotations

from collections.abc import Sequence

import haiku as hk
import jax
import jax.numpy as jnp

from tolman.networks.activations import Activation, activation
from tolman.networks.core import Array
from tolman.networks.images import Conv2D

# Filters, side and stride of each convolution.
SHALLOW = ((16, 8, 4), (32, 4, 2))
DEEP = ((32, 8, 4), (64, 4, 2), (128, 3, 1))


def flatten(observation: Array, num_axes: int) -> Array:
    """Joins the last `num_axes` axes into one: `[..., a, b, c]` to `[..., a b c]`."""
    leading = observation.shape[: observation.ndim - num_axes]
    return observation.reshape(*leading, -1).astype(jnp.float32)


class MLPTorso(hk.Module):
    """Fully connected layers: `[..., D]` to `[..., sizes[-1]]`."""

    def __init__(
        self, sizes: Sequence[int], after: Activation = "relu", name: str | None = None
    ) -> None:
        super().__init__(name)
        self._mlp = hk.nets.MLP(sizes, activation=activation(after), activate_final=True)

    def __call__(self, observation: Array) -> Array:
        return self._mlp(observation)


class ConvTorso(hk.Module):
    """Convolutions and a fully connected layer: `[..., H, W, C]` to `[..., D]`.

    `SHALLOW`: 16 filters of 8x8, stride 4; 32 of 4x4, stride 2; 256 units. `DEEP`: 32, 64
    and 128 filters, the last of 3x3, stride 1; 1,024 units. ReLU after each. No padding
    where the strides fit, as for 84 x 84: 20 x 20 and 9 x 9 are left; else zeros at the far
    sides, as few as have every pixel seen.

    Source: Mnih et al. 2016, section 4 (and Mirowski et al. 2016, section 3); of `DEEP`,
      Kirkpatrick et al. 2017, appendix.
    """

    def __init__(
        self,
        output_size: int = 256,
        layers: Sequence[tuple[int, int, int]] = SHALLOW,
        name: str | None = None,
    ) -> None:
        super().__init__(name)
        self._output_size, self._layers = output_size, layers

    def __call__(self, image: Array) -> Array:
        leading, spatial = image.shape[:-3], image.shape[-3:]
        x = image.reshape(-1, *spatial)  # [N, H, W, C]
        for channels, size, stride in self._layers:
            padding = [_padding(side, size, stride) for side in x.shape[1:3]]
            x = jax.nn.relu(Conv2D(channels, size, stride, padding)(x))
        x = jax.nn.relu(hk.Linear(self._output_size)(hk.Flatten()(x)))
        return x.reshape(*leading, -1)


class TileTorso(hk.Module):
    """One layer for small images that stand side by side: `[..., H, W, C]` to `[..., D]`.

    The image is cut into square tiles as large as its shorter side allows, and all tiles
    share one fully connected ReLU layer: a convolution whose kernel and stride are the
    tile. What is learnt of a picture in one place then holds in all of them. Each tile is
    brought to mean 0 and standard deviation 1 first, for pictures that are mostly paper
    differ in little else. D is `output_size` for each tile. A population of six
    on a CPU trains some four times faster with it than with `ConvTorso` (42 x 42 pixels).

    Raises:
      ValueError: if the longer side is no multiple of the shorter one.
    """

    def __init__(self, output_size: int = 64, name: str | None = None) -> None:
        super().__init__(name)
        self._output_size = output_size

    def __call__(self, image: Array) -> Array:
        *leading, height, width, channels = image.shape
        side = min(height, width)
        if height % side or width % side:
            raise ValueError(
                f"image of {height} x {width}: the longer side must be a multiple of the "
                "shorter one to be cut into tiles. Set --agent.torso conv."
            )
        rows, columns = height // side, width // side
        x = image.reshape(*leading, rows, side, columns, side, channels)
        x = jnp.moveaxis(x, -3, -4)  # [..., rows, columns, side, side, C]
        x = x.reshape(*leading, rows * columns, -1)
        x = (x - x.mean(-1, keepdims=True)) / (x.std(-1, keepdims=True) + 1e-3)
        x = jax.nn.relu(hk.Linear(self._output_size)(x))
        return x.reshape(*leading, -1)


def _padding(side: int, size: int, stride: int) -> tuple[int, int]:
    """Zeros before and after a side, so that windows of `size` end where it ends."""
    return 0, size - side if side < size else -(side - size) % stride
