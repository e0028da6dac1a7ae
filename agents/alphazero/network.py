"""The network: a residual tower with a policy head and a value head.

Shapes: B positions, H rows, W columns, C planes, F filters, A actions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import haiku as hk
import jax
import jax.numpy as jnp
from dm_env import specs
from jax import lax

from tolman.agents.agent import Array, Params
from tolman.agents.alphazero.config import AlphaZeroConfig
from tolman.envs.board.game import GameInfo


class Prediction(NamedTuple):
    """What the network says of positions, from the side of the player to move.

    Attributes:
      logits: `[B, A]`, of moves legal or not.
      value: `[B]` in [-1, 1].
    """

    logits: Array
    value: Array


class Network(NamedTuple):
    """Attributes:
    init: `init(key)` returns parameters.
    apply: `apply(params, observation)` of `[B, H, W, C]` returns a `Prediction`.
    """

    init: Callable[[Array], Params]
    apply: Callable[[Params, Array], Prediction]


def make_network(
    config: AlphaZeroConfig, observation_spec: specs.Array, info: GameInfo
) -> Network:
    """Builds the network of a game.

    Raises:
      ValueError: if the observation is no stack of planes, or "planes" do not fit the
        actions.

    Source: Silver et al. 2017 (AlphaGo Zero), methods; heads: Silver et al. 2018.
      Departure: where theirs has batch normalisation this has layer normalisation over a
      position's planes, with a scale and an offset for each filter. It keeps no running
      averages, so that a position has one and the same value in the search, in a batch of
      any size and in learning, from the first game on. The few planes of the value and
      flat policy heads are not normalised: their mean is what they say.
    """
    shape = tuple(observation_spec.shape)
    if len(shape) != 3:
        raise ValueError(
            f"observation of shape {list(shape)}: must be planes [rows, columns, C]."
        )
    if config.policy_head == "planes" and not info.num_move_planes:
        raise ValueError(
            f"policy_head='planes': the actions of {info.name} do not each belong to a "
            "square. Set --agent.policy-head flat."
        )
    has_planes = info.num_move_planes > 0 and config.policy_head != "flat"
    dtype = jnp.dtype(config.precision)

    def forward(observation: Array) -> Prediction:
        x = observation.astype(dtype)
        x = jax.nn.relu(_normed_convolution(x, config.num_filters, 3))
        for _ in range(config.num_blocks):
            x = _block(x, config.num_filters)
        if has_planes:
            logits = _plane_policy(x, info.num_move_planes)
        else:
            logits = _flat_policy(x, config.policy_filters, info.num_actions)
        value = _value(x, config.value_filters, config.value_units)
        return Prediction(logits.astype(jnp.float32), value.astype(jnp.float32))

    transformed = hk.without_apply_rng(hk.transform(forward))
    example = jnp.zeros((1, *shape), jnp.float32)

    def init(key: Array) -> Params:
        params = transformed.init(key, example)  # type: ignore[attr-defined]
        return jax.tree.map(lambda leaf: leaf.astype(jnp.float32), params)

    def apply(params: Any, observation: Array) -> Prediction:
        rounded = jax.tree.map(lambda leaf: leaf.astype(dtype), params)
        return transformed.apply(rounded, observation)  # type: ignore[attr-defined]

    return Network(init, apply)


class PlanesNorm(hk.Module):
    """`hk.LayerNorm` over a position's planes: its parameters and its numbers.

    The mean of each filter first, then the mean of these: on jax 0.6.2 XLA's CPU code adds
    up a position's numbers one by one, which takes an eighth of a tower's forward pass, and
    the filters' sums several at once. On 0.12 both are as fast.
    """

    def __call__(self, x: Array) -> Array:
        """`[B, H, W, F]` to the same, of mean 0 and variance 1 before scale and offset."""
        scale = hk.get_parameter("scale", x.shape[-1:], init=jnp.ones)
        offset = hk.get_parameter("offset", x.shape[-1:], init=jnp.zeros)
        x -= _mean_of_planes(x)
        return x * (scale * lax.rsqrt(_mean_of_planes(x * x) + 1e-5)) + offset


def _mean_of_planes(x: Array) -> Array:
    """`[B, 1, 1, 1]`."""
    return x.mean((1, 2), keepdims=True).mean(-1, keepdims=True)


def _normed_convolution(x: Array, num_filters: int, size: int) -> Array:
    x = hk.Conv2D(num_filters, size, with_bias=False)(x)
    norm = PlanesNorm("layer_norm")
    return norm(x.astype(jnp.float32)).astype(x.dtype)  # Sums of many; kept exact.


def _block(x: Array, num_filters: int) -> Array:
    y = jax.nn.relu(_normed_convolution(x, num_filters, 3))
    return jax.nn.relu(x + _normed_convolution(y, num_filters, 3))


def _plane_policy(x: Array, num_planes: int) -> Array:
    """A plane for each kind of move; see `GameInfo.num_move_planes`."""
    x = jax.nn.relu(_normed_convolution(x, x.shape[-1], 3))
    return hk.Flatten()(hk.Conv2D(num_planes, 3)(x))


def _flat_policy(x: Array, num_filters: int, num_actions: int) -> Array:
    x = jax.nn.relu(hk.Conv2D(num_filters, 1)(x))
    return hk.Linear(num_actions)(hk.Flatten()(x))


def _value(x: Array, num_filters: int, num_units: int) -> Array:
    x = jax.nn.relu(hk.Conv2D(num_filters, 1)(x))
    x = jax.nn.relu(hk.Linear(num_units)(hk.Flatten()(x)))
    return jnp.tanh(hk.Linear(1)(x))[..., 0]
