"""Biases and gains that every task has to itself, in layers that all tasks share.

A layer computes y = (W x + b) g with b and g of the present task. As that is the layer
whose weights are W g and b g, any network takes them: its functions are called with these.

Shapes: U units of a layer.

Source: Kirkpatrick et al. 2017, appendix, equation 4.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from tolman.agents.agent import Array
from tolman.agents.recurrent import Network

Layers = Mapping[str, Mapping[str, Array]]  # By module, as Haiku has them.


class Own(NamedTuple):
    """Attributes:
    bias: by module, `[U]`.
    gain: by module, `[U]`.
    """

    bias: dict[str, Array]
    gain: dict[str, Array]


class TaskWeights(NamedTuple):
    """Attributes:
    shared: by module, all but the biases.
    own: of one task.
    """

    shared: dict[str, dict[str, Array]]
    own: Own


def split(layers: Layers) -> TaskWeights:
    """A network's weights, with the biases as a task's own and gains of 1."""
    bias = {name: layer["b"] for name, layer in layers.items() if _has_own(layer)}
    gain = {name: jnp.ones_like(leaf) for name, leaf in bias.items()}
    shared = {
        name: {
            part: leaf for part, leaf in layer.items() if not (name in bias and part == "b")
        }
        for name, layer in layers.items()
    }
    return TaskWeights(shared, Own(bias, gain))


def joined(weights: TaskWeights) -> dict[str, dict[str, Array]]:
    """The weights of the network that computes what these do."""
    shared, (bias, gain) = weights
    return {
        name: (
            {**layer, "w": layer["w"] * gain[name], "b": bias[name] * gain[name]}
            if name in bias
            else dict(layer)
        )
        for name, layer in shared.items()
    }


def fresh(own: Own) -> Own:
    """Those of a task that has not begun: biases of 0, gains of 1."""
    zeros = jax.tree.map(jnp.zeros_like, own.bias)
    return Own(zeros, jax.tree.map(jnp.ones_like, own.gain))


def of_shared(weights: TaskWeights, fisher: Layers) -> TaskWeights:
    """The Fisher diagonal of the shared weights from that of the joined ones.

    With W' = W g, a derivative by W is g times that by W'. A task's own parts have a
    Fisher of 0: nothing holds them, as no other task moves them.

    Args:
      weights: where it was taken.
      fisher: like `joined(weights)`.
    """
    shared = {name: dict(fisher[name]) for name in weights.shared}
    for name, gain in weights.own.gain.items():
        del shared[name]["b"]
        shared[name]["w"] = shared[name]["w"] * jnp.square(gain)
    return TaskWeights(shared, jax.tree.map(jnp.zeros_like, weights.own))


def with_own(network: Network[Any]) -> Network[Any]:
    """The network as a function of `TaskWeights`."""
    return Network(
        init=lambda key: split(network.init(key)),
        initial_state=network.initial_state,
        step=lambda weights, *given: network.step(joined(weights), *given),
        unroll=lambda weights, *given: network.unroll(joined(weights), *given),
    )


def _has_own(layer: Mapping[str, Array]) -> bool:
    return "w" in layer and "b" in layer and layer["w"].shape[-1:] == layer["b"].shape
