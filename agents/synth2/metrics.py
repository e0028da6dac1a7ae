"""How good captions are: CIDEr-D, BLEU-4, ROUGE-L, and the objects that they name.

A caption is split into words by `split_caption`, or by whatever else both sides were split
by; scores of different splits are not comparable.

Shapes: N pictures, each with a candidate and one or more references; G concepts.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

Words = Sequence[str]

MAX_GRAM = 4
LENGTH_SIGMA = 6.0  # Words: how much longer or shorter a candidate may be in CIDEr-D.
ROUGE_BETA = 1.2  # The weight of recall, as in the captioning literature.
_WORD = re.compile(r"\w+(?:['\u2019]\w+)*")


def split_caption(caption: str) -> list[str]:
    """Words in lower case: runs of letters and digits, with apostrophes inside; no marks.

    Departure: the COCO server splits as the Penn Treebank does ("dog's" is "dog" and "'s")
      and drops marks alike; pycocoevalcap's PTBTokenizer does so where Java is.
    """
    return _WORD.findall(caption.lower())


@dataclass(frozen=True)
class _Vectors:
    """Weighted n-grams of one caption.

    Attributes:
      weights: of n = 1 to 4, each n-gram's.
      norms: of n = 1 to 4.
      length: n-grams of two words, which CIDEr-D counts as its length.
    """

    weights: list[dict[tuple[str, ...], float]]
    norms: list[float]
    length: int


class CiderD:
    """CIDEr-D against fixed references; the mean of its scores is the metric.

    Source: Vedantam et al. 2015, "CIDEr: Consensus-based Image Description Evaluation",
      sections 4 and 6.2, equations 1 to 3 and 8; sigma 6, the mean over n times 10.
    """

    def __init__(self, references: Sequence[Sequence[Words]]) -> None:
        """Counts in how many pictures' references each n-gram stands.

        Args:
          references: of each picture, each split into words.

        Raises:
          ValueError: if there are no pictures, or one has no reference.
        """
        _check_references(references)
        grams = [[_grams(words) for words in own] for own in references]
        self._frequency = Counter(
            gram for own in grams for gram in {gram for counts in own for gram in counts}
        )
        self._log_pictures = math.log(len(references))
        self._references = [[self._vectors(counts) for counts in own] for own in grams]

    def scores(self, candidates: Sequence[Words]) -> np.ndarray:
        """`[N]` float64 from 0 to 10, of one candidate for each picture.

        Raises:
          ValueError: if there are not as many candidates as pictures.
        """
        _check_number(candidates, self._references)
        found = np.zeros(len(candidates))
        for i, (words, own) in enumerate(zip(candidates, self._references, strict=True)):
            candidate = self._vectors(_grams(words))
            found[i] = np.mean([_similarity(candidate, one) for one in own])
        return 10.0 * found

    def _vectors(self, counts: Counter[tuple[str, ...]]) -> _Vectors:
        weights: list[dict[tuple[str, ...], float]] = [{} for _ in range(MAX_GRAM)]
        for gram, count in counts.items():
            rarity = self._log_pictures - math.log(max(1, self._frequency[gram]))
            weights[len(gram) - 1][gram] = count * rarity
        norms = [math.sqrt(sum(x * x for x in own.values())) for own in weights]
        length = sum(count for gram, count in counts.items() if len(gram) == 2)
        return _Vectors(weights, norms, length)


def _similarity(candidate: _Vectors, reference: _Vectors) -> float:
    """The mean over n of the clipped cosine, less where the lengths differ; equation 8."""
    total = 0.0
    for n in range(MAX_GRAM):
        own, other = candidate.weights[n], reference.weights[n]
        norm = candidate.norms[n] * reference.norms[n]
        if norm:
            both = own.keys() & other.keys()
            total += sum(min(own[gram], other[gram]) * other[gram] for gram in both) / norm
    difference = candidate.length - reference.length
    return total / MAX_GRAM * math.exp(-(difference**2) / (2 * LENGTH_SIGMA**2))


def bleu(
    candidates: Sequence[Words], references: Sequence[Sequence[Words]], max_gram: int = 4
) -> float:
    """Corpus BLEU in [0, 1], with the length of the nearest reference; 0 without a match.

    Source: Papineni et al. 2002, "BLEU: a Method for Automatic Evaluation of Machine
      Translation", sections 2.1 to 2.3.

    Raises:
      ValueError: if there is nothing to score, or not as many candidates as pictures.
    """
    _check_references(references)
    _check_number(candidates, references)
    right, asked = np.zeros(max_gram), np.zeros(max_gram)
    length = nearest = 0
    for words, own in zip(candidates, references, strict=True):
        length += len(words)
        nearest += min((abs(len(one) - len(words)), len(one)) for one in own)[1]
        largest: Counter[tuple[str, ...]] = Counter()
        for one in own:
            largest |= _grams(one, max_gram)
        for gram, count in _grams(words, max_gram).items():
            right[len(gram) - 1] += min(count, largest[gram])
            asked[len(gram) - 1] += count
    if not right.all():
        return 0.0
    penalty = min(0.0, 1 - nearest / length)
    return float(np.exp(np.log(right / asked).mean() + penalty))


def rouge_l(
    candidates: Sequence[Words], references: Sequence[Sequence[Words]]
) -> np.ndarray:
    """`[N]` in [0, 1]: F of the longest common subsequence, recall weighted by 1.2.

    Precision and recall are each the best over the references, as COCO's server takes them.

    Source: Lin 2004, "ROUGE: A Package for Automatic Evaluation of Summaries", section 3.1.

    Raises:
      ValueError: if there is nothing to score, or not as many candidates as pictures.
    """
    _check_references(references)
    _check_number(candidates, references)
    found = np.zeros(len(candidates))
    for i, (words, own) in enumerate(zip(candidates, references, strict=True)):
        common = [longest_common(words, one) for one in own]
        if not any(common):
            continue
        precision = max(common) / len(words)
        recall = max(
            count / len(one) for count, one in zip(common, own, strict=True) if len(one)
        )
        square = ROUGE_BETA**2
        found[i] = (1 + square) * precision * recall / (recall + square * precision)
    return found


def longest_common(first: Words, second: Words) -> int:
    """The length of the longest common subsequence, a bit a word.

    Source: Hyyro 2004, "Bit-Parallel LCS-length Computation Revisited", section 3.
    """
    places: dict[str, int] = {}
    for i, word in enumerate(second):
        places[word] = places.get(word, 0) | 1 << i
    free = every = (1 << len(second)) - 1
    for word in first:
        taken = free & places.get(word, 0)
        free = ((free + taken) | (free - taken)) & every
    return len(second) - free.bit_count()


class ObjectScores(NamedTuple):
    """Attributes:
    precision: the share of named objects that are there.
    recall: the share of objects that are named.
    f1: their harmonic mean; 0 where nothing is named rightly.
    """

    precision: float
    recall: float
    f1: float


def object_scores(said: np.ndarray, true: np.ndarray) -> ObjectScores:
    """How many objects are named rightly, over all pictures.

    Args:
      said: `[N, G]` counts of objects of each concept.
      true: `[N, G]`.

    Raises:
      ValueError: if the shapes differ.
    """
    if said.shape != true.shape:
        raise ValueError(
            f"objects of shapes {said.shape} and {true.shape}: must be alike. Count both "
            "by the same concepts."
        )
    right, named, there = np.minimum(said, true).sum(), said.sum(), true.sum()
    precision, recall = (float(right / max(total, 1)) for total in (named, there))
    return ObjectScores(precision, recall, float(2 * right / max(named + there, 1)))


def _grams(words: Words, max_gram: int = MAX_GRAM) -> Counter[tuple[str, ...]]:
    return Counter(
        tuple(words[i : i + n])
        for n in range(1, max_gram + 1)
        for i in range(len(words) - n + 1)
    )


def _check_references(references: Sequence[Sequence[Words]]) -> None:
    without = sum(not own for own in references)
    if without or not references:
        raise ValueError(
            f"references: {without} of {len(references)} pictures have none. Give at least "
            "one picture, and one reference for each."
        )


def _check_number(candidates: Sequence, references: Sequence) -> None:
    if len(candidates) != len(references):
        raise ValueError(
            f"{len(candidates)} candidates for {len(references)} pictures: must be one "
            "for each."
        )
