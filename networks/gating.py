"""What stands around the layers of a deep core: a gate, linear maps, a norm.

Shapes: ... any leading axes, H size of the stream.
"""

from __future__ import annotations

import haiku as hk
import jax
import jax.numpy as jnp

from tolman.networks import attention
from tolman.networks.core import Array


class GRUGate(hk.Module):
    """Lets `y` into the stream `x`, both `[..., H]`, as a GRU its input into its state.

    Source: Parisotto et al. 2019, section 3.2, "Gated-Recurrent-Unit-type gating".
    """

    def __init__(self, size: int, bias: float, name: str, dtype: str = "float32") -> None:
        """Sets the gate; with a `bias` above 0 it starts near `x`."""
        super().__init__(name)
        self._size, self._bias, self._dtype = size, bias, dtype

    def __call__(self, x: Array, y: Array) -> Array:
        init = hk.initializers.Constant(self._bias)
        bias = hk.get_parameter("bias", (self._size,), init=init)
        from_y = self._linear(3, "y")(y)
        reset_y, update_y, candidate_y = jnp.split(from_y, 3, axis=-1)
        reset_x, update_x = jnp.split(self._linear(2, "x")(x), 2, axis=-1)
        reset = jax.nn.sigmoid(reset_y + reset_x)
        update = jax.nn.sigmoid(update_y + update_x - bias)
        candidate = jnp.tanh(candidate_y + self._linear(1, "reset_x")(reset * x))
        return (1.0 - update) * x + update * candidate

    def _linear(self, num_parts: int, name: str) -> Linear:
        return Linear(num_parts * self._size, self._dtype, name, with_bias=False)


class Linear(hk.Module):
    """A linear map whose product is taken in `dtype`; parameters and result are float32."""

    def __init__(self, size: int, dtype: str, name: str, with_bias: bool = True) -> None:
        super().__init__(name)
        self._size, self._dtype, self._with_bias = size, dtype, with_bias

    def __call__(self, x: Array) -> Array:
        weights = get_weights("w", (x.shape[-1], self._size), x.shape[-1])
        product = attention.contract("...d,dh->...h", x, weights, dtype=self._dtype)
        if not self._with_bias:
            return product
        return product + hk.get_parameter("b", (self._size,), init=jnp.zeros)


def get_weights(name: str, shape: tuple[int, ...], fan_in: int) -> Array:
    """A parameter of the module that asks, normal with a deviation of `fan_in`^-1/2."""
    init = hk.initializers.TruncatedNormal(fan_in**-0.5)
    return hk.get_parameter(name, shape, jnp.float32, init=init)


def normalise(x: Array) -> Array:
    """Layer normalisation over the last axis, without scale and offset."""
    return hk.LayerNorm(-1, create_scale=False, create_offset=False)(x)
