"""How much of each token can reach the last one: sums over causal paths, and a bound.

Attention is taken as constant throughout: what is bounded is the derivative of the last
token's final state by the embeddings along values, not along queries and keys.

Shapes: L layers, H heads, T tokens, D features, K features of a head, M units of an MLP.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

EPSILON = 1e-5  # As in `tolman.networks.language`.


class LayerWeights(NamedTuple):
    """Of one layer; each head has a value map of its own.

    Attributes:
      attention_scale: `[D]`.
      value: `[H, K, D]`.
      attended: `[H, D, K]`.
      mlp_scale: `[D]`.
      gate: `[M, D]`.
      up: `[M, D]`.
      down: `[D, M]`.
    """

    attention_scale: np.ndarray
    value: np.ndarray
    attended: np.ndarray
    mlp_scale: np.ndarray
    gate: np.ndarray
    up: np.ndarray
    down: np.ndarray


def path_sums(attention: np.ndarray) -> np.ndarray:
    """`[T]`: the sum over all causal paths from each token to the last of their weights.

    A step of a path stays, with weight 1, or goes along the attention of a head, with its
    weight. The sums are the last row of the product of (1 + sum of heads) over layers.

    Args:
      attention: `[L, H, T, T]`.

    Source: Barbero et al. 2024, theorem 5.1.
      Departure: heads are added up, and the constant of the normalisation stands in
      `path_constant`.
    """
    row = np.zeros(attention.shape[-1])
    row[-1] = 1.0
    for layer in attention[::-1].astype(float):
        row = row + row @ layer.sum(0)
    return row


def path_constant(
    layers: Sequence[LayerWeights],
    final_scale: np.ndarray,
    attention: np.ndarray,
    states: np.ndarray,
) -> float:
    """C, for which no derivative's spectral norm is above C times the path sum.

    A product over layers of the largest spectral norm of 1 + (Jacobian of the MLP) and of
    the larger of 1 and the largest of a head's map, over all tokens; and of the last
    normalisation.

    Args:
      layers: L of them.
      final_scale: `[D]`, of the last normalisation.
      attention: `[L, H, T, T]`.
      states: `[L, T, D]`, the stream before each layer.

    Source: Barbero et al. 2024, appendix B.
    """
    constant, stream = 1.0, states[0].astype(float)
    for layer, weights, before in zip(layers, attention, states, strict=True):
        before = before.astype(float)
        normal = _normalise(before, layer.attention_scale)
        heads = np.einsum("hdk,hke->hde", layer.attended, layer.value)
        # |J of the normalisation| <= largest scale / root mean square of its input.
        steepest = np.abs(layer.attention_scale).max() / _root_mean_square(before).min()
        constant *= max(1.0, steepest * max(np.linalg.norm(one, 2) for one in heads))
        stream = before + np.einsum("hts,hde,se->td", weights, heads, normal)
        constant *= max(np.linalg.norm(_mlp_map(layer, token), 2) for token in stream)
        stream = stream + _mlp(layer, stream)
    last = _root_mean_square(stream[-1:])[0]
    return float(constant * np.abs(final_scale).max() / last)


def _mlp(layer: LayerWeights, stream: np.ndarray) -> np.ndarray:
    normal = _normalise(stream, layer.mlp_scale)
    gate = normal @ layer.gate.T
    return (gate * _sigmoid(gate) * (normal @ layer.up.T)) @ layer.down.T


def _mlp_map(layer: LayerWeights, token: np.ndarray) -> np.ndarray:
    """`[D, D]`: the derivative of a token's stream after the MLP by that before it."""
    size, root = len(token), _root_mean_square(token)
    # d(x s / r) / dx = diag(s) (1 - x x' / (D r^2)) / r.
    inner = np.eye(size) - np.outer(token, token) / (size * root**2)
    normal_map = layer.mlp_scale[:, None] * inner / root
    normal = token / root * layer.mlp_scale
    gate, up = layer.gate @ normal, layer.up @ normal
    share = _sigmoid(gate)
    steepness = share * (1.0 + gate * (1.0 - share))
    units = (steepness * up)[:, None] * layer.gate + (gate * share)[:, None] * layer.up
    return np.eye(size) + layer.down @ units @ normal_map


def _root_mean_square(x: np.ndarray) -> np.ndarray:
    return np.sqrt((x**2).mean(-1) + EPSILON)


def _normalise(x: np.ndarray, scale: np.ndarray) -> np.ndarray:
    return x / _root_mean_square(x)[..., None] * scale


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 1.0 / (1.0 + np.exp(-x))


def spearman(x: np.ndarray, y: np.ndarray) -> float:
    """The correlation of ranks of two arrays `[N]`; equal numbers share their mean rank."""
    return float(np.corrcoef(_ranks(x), _ranks(y))[0, 1])


def _ranks(values: np.ndarray) -> np.ndarray:
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return (last - (counts - 1) / 2)[inverse]
