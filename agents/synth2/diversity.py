"""How various a set of captions is.

Shapes: N captions, G concepts, D numbers of an embedding, K clusters, V words.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

MAX_LLOYD_STEPS = 100


class Diversity(NamedTuple):
    """Attributes:
    distinct: the share of captions that are no repetition of one before, in [0, 1].
    coverage: the share of concepts that are named at all, in [0, 1].
    concept_entropy: of the concepts that are named, as a share of log G, in [0, 1].
    cluster_entropy: of the clusters of embeddings, as a share of log K, in [0, 1].
    """

    distinct: float
    coverage: float
    concept_entropy: float
    cluster_entropy: float


def diversity(
    captions: Sequence[str],
    concepts: np.ndarray,
    embeddings: np.ndarray,
    num_clusters: int,
    rng: np.random.Generator,
) -> Diversity:
    """All four measures of a set of captions.

    Args:
      captions: N texts; capitals and spaces more than one make no difference.
      concepts: `[N, G]` counts of what each names.
      embeddings: `[N, D]`.
      num_clusters: K.
      rng: of the first centres.

    Raises:
      ValueError: if there are no captions, or fewer than clusters.
    """
    clusters = k_means(embeddings, num_clusters, rng).labels
    named = (concepts > 0).sum(0)
    return Diversity(
        share_distinct(captions),
        float((named > 0).mean()),
        normalised_entropy(named),
        normalised_entropy(np.bincount(clusters, minlength=num_clusters)),
    )


def share_distinct(captions: Sequence[str]) -> float:
    """The share of captions that are no repetition of one before.

    Raises:
      ValueError: if there are none.
    """
    if not captions:
        raise ValueError("no captions: must be at least one. Give some.")
    return len({" ".join(one.lower().split()) for one in captions}) / len(captions)


def normalised_entropy(counts: np.ndarray) -> float:
    """Entropy of counts as a share of the largest possible: 1 of uniform ones, 0 of one.

    Args:
      counts: `[G]`, from 0 on; also those that are 0 count in the largest possible.

    Raises:
      ValueError: if there are fewer than two, one is below 0, or all are 0.
    """
    counts = np.asarray(counts, float)
    if counts.ndim != 1 or len(counts) < 2 or (counts < 0).any() or not counts.sum():
        raise ValueError(
            f"counts of shape {counts.shape}: must be at least two, from 0 on, not all 0."
        )
    share = counts[counts > 0] / counts.sum()
    return float(-(share * np.log(share)).sum() / np.log(len(counts))) + 0.0


class Clusters(NamedTuple):
    """Attributes:
    labels: `[N]`, the cluster of each row.
    centres: `[K, D]`.
    """

    labels: np.ndarray
    centres: np.ndarray


def k_means(rows: np.ndarray, num_clusters: int, rng: np.random.Generator) -> Clusters:
    """Clusters of rows by squared distance; the first centres by k-means++.

    A cluster that loses all rows keeps its centre.

    Args:
      rows: `[N, D]`.
      num_clusters: K, from 2 to N.
      rng: of the first centres.

    Raises:
      ValueError: if K is not from 2 to N, or a number is not finite.

    Source: Lloyd 1982; Arthur and Vassilvitskii 2007, "k-means++: The Advantages of Careful
      Seeding", section 2.2.
    """
    rows = np.asarray(rows, float)
    if not 2 <= num_clusters <= len(rows):
        raise ValueError(
            f"num_clusters={num_clusters}: must be from 2 to {len(rows)}, the number of "
            "rows."
        )
    if not np.isfinite(rows).all():
        raise ValueError("embeddings that are not finite: must be numbers. Leave them out.")
    centres = _first_centres(rows, num_clusters, rng)
    labels = np.full(len(rows), -1)
    for _ in range(MAX_LLOYD_STEPS):
        nearest = _squares(rows, centres).argmin(1)
        if (nearest == labels).all():
            break
        labels = nearest
        is_in = labels == np.arange(num_clusters)[:, None]  # [K, N]
        size = is_in.sum(1, keepdims=True)
        centres = np.where(size > 0, is_in @ rows / np.maximum(size, 1), centres)
    return Clusters(labels, centres)


def _first_centres(
    rows: np.ndarray, num_clusters: int, rng: np.random.Generator
) -> np.ndarray:
    """`[K, D]`: each next one is a row, drawn by its squared distance to those before."""
    chosen = [int(rng.integers(len(rows)))]
    distance = _squares(rows, rows[chosen])[:, 0]
    while len(chosen) < num_clusters:
        total = distance.sum()
        share = distance / total if total > 0 else None
        chosen.append(int(rng.choice(len(rows), p=share)))
        distance = np.minimum(distance, _squares(rows, rows[chosen[-1:]])[:, 0])
    return rows[chosen]


def _squares(rows: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """`[N, K]`, squared distances."""
    product = rows @ centres.T
    squares = (rows**2).sum(1)[:, None] - 2 * product + (centres**2).sum(1)
    return np.maximum(squares, 0.0)


def word_embeddings(captions: Sequence[Sequence[str]]) -> np.ndarray:
    """`[N, V]`, words of each caption by how rare they are, of length 1.

    For captions of a small vocabulary; else take the states of a sentence encoder.

    Args:
      captions: split into words.
    """
    words = sorted({word for caption in captions for word in caption})
    column = {word: i for i, word in enumerate(words)}
    counts = np.zeros((len(captions), len(words)))
    for row, caption in zip(counts, captions, strict=True):
        np.add.at(row, [column[word] for word in caption], 1.0)
    rarity = np.log(len(captions) / np.maximum((counts > 0).sum(0), 1)) + 1
    weighted = counts * rarity
    length = np.sqrt((weighted**2).sum(1, keepdims=True))
    return weighted / np.maximum(length, 1e-12)
