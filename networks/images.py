"""A convolution whose gradient is as fast inside a loop as outside.

Shapes: N images, H rows, W columns, C channels, K the side of a window, F filters.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import haiku as hk
import jax
import jax.numpy as jnp
from jax import lax

from tolman.networks.core import Array

NAMES = ("NHWC", "HWIO", "NHWC")
Padding = tuple[tuple[int, int], tuple[int, int]]


class Conv2D(hk.Module):
    """`hk.Conv2D` of square windows: its parameters, their start and its numbers."""

    def __init__(
        self,
        num_filters: int,
        size: int,
        stride: int,
        padding: Sequence[tuple[int, int]],
        name: str | None = None,
    ) -> None:
        """Prepares the layer.

        Args:
          num_filters: F.
          size: K, pixels.
          stride: between two windows, pixels.
          padding: zeros before and after, of rows and of columns.
          name: of the module.
        """
        super().__init__(name)
        self._num_filters, self._size, self._stride = num_filters, size, stride
        self._padding: Any = tuple(map(tuple, padding))

    def __call__(self, x: Array) -> Array:
        """`[N, H, W, C]` to `[N, rows, columns, F]`."""
        shape = self._size, self._size, x.shape[-1], self._num_filters
        start = hk.initializers.TruncatedNormal(
            1.0 / (shape[0] * shape[1] * shape[2]) ** 0.5
        )
        w = hk.get_parameter("w", shape, x.dtype, init=start)
        b = hk.get_parameter("b", shape[-1:], x.dtype, init=jnp.zeros)
        return convolve(x, w, self._stride, self._padding) + b


@partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def convolve(x: Array, w: Array, stride: int, padding: Padding) -> Array:
    """Windows of an image times filters; differentiable in reverse mode.

    XLA's CPU compiler brings the convolutions of a gradient into the one order of axes that
    it has fast code for, but not inside a loop. Of 64 images of 84 x 84 x 4 and 16 windows
    of 8 x 8 the filters' gradient takes 13 ms of processor time, in a `lax.scan` 221, on
    jax 0.6.2 and 0.12 alike. So the gradients are written in that order.

    Args:
      x: `[N, H, W, C]`.
      w: `[K, K, C, F]`.
      stride: between two windows, pixels.
      padding: zeros before and after, of rows and of columns.

    Returns:
      `[N, rows, columns, F]`.
    """
    return lax.conv_general_dilated(
        x, w, (stride, stride), padding, dimension_numbers=NAMES
    )


def _forward(x: Array, w: Array, stride: int, padding: Padding) -> Any:
    return convolve(x, w, stride, padding), (x, w)


def _backward(stride: int, padding: Padding, kept: Any, gradient: Array) -> Any:
    x, w = kept
    size, spans = w.shape[0], [(n - 1) * stride + 1 for n in gradient.shape[1:3]]
    sides = list(zip(x.shape[1:3], spans, padding, strict=True))
    # An image's gradient: that of all windows, spread by the stride, under turned filters.
    around = [
        (size - 1 - before, side - span + before) for side, span, (before, _) in sides
    ]
    turned = jnp.flip(w, (0, 1)).swapaxes(2, 3)
    of_x = lax.conv_general_dilated(
        gradient, turned, (1, 1), around, (stride, stride), dimension_numbers=NAMES
    )
    # The filters': channels are the images, and windows are as far apart as the stride.
    around = [
        (before, size - 1 + span - side - before) for side, span, (before, _) in sides
    ]
    of_w = lax.conv_general_dilated(
        x.transpose(3, 1, 2, 0), gradient.transpose(1, 2, 0, 3), (1, 1), around,
        rhs_dilation=(stride, stride), dimension_numbers=NAMES,
    )  # fmt: skip
    return of_x, of_w.transpose(1, 2, 0, 3)


convolve.defvjp(_forward, _backward)
