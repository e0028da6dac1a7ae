"""How various captions are, by numbers worked out by hand."""

import numpy as np
import pytest

from tolman.agents.synth2.diversity import (
    _first_centres,
    diversity,
    k_means,
    normalised_entropy,
    share_distinct,
    word_embeddings,
)


def test_entropy_is_1_of_uniform_counts_and_0_of_one_class():
    assert normalised_entropy(np.full(7, 3)) == pytest.approx(1)
    assert normalised_entropy(np.array([0, 5, 0])) == 0
    # Two of four, alike: log 2 of log 4.
    assert normalised_entropy(np.array([4, 4, 0, 0])) == pytest.approx(0.5)
    half = -(0.75 * np.log(0.75) + 0.25 * np.log(0.25)) / np.log(2)
    assert normalised_entropy(np.array([3, 1])) == pytest.approx(half)


def test_repetitions_are_counted():
    assert share_distinct(["a cat", "A  cat ", "a dog", "two dogs"]) == 0.75


def test_clusters_of_rows_far_apart_are_found():
    rng = np.random.default_rng(0)
    true = rng.integers(0, 4, 200)
    rows = 10 * np.eye(4)[true] + rng.normal(0, 0.5, (200, 4))
    found = k_means(rows, 4, rng)
    assert len(set(zip(true.tolist(), found.labels.tolist(), strict=True))) == 4
    for label in range(4):
        own = rows[found.labels == label]
        np.testing.assert_allclose(found.centres[label], own.mean(0))
    nearest = ((rows[:, None] - found.centres) ** 2).sum(-1).argmin(1)
    assert (nearest == found.labels).all()


def test_rows_that_are_all_alike_are_one_cluster():
    found = k_means(np.ones((5, 2)), 3, np.random.default_rng(0))
    assert (found.labels == found.labels[0]).all()


def test_first_centres_are_drawn_by_squared_distance():
    rows = np.array([[0.0], [1.0], [3.0]])
    pairs = []
    for seed in range(1500):
        first, second = _first_centres(rows, 2, np.random.default_rng(seed))[:, 0]
        pairs.append((first, second))
    after_0 = [second for first, second in pairs if first == 0.0]
    assert np.mean(np.array(after_0) == 3.0) == pytest.approx(9 / 10, abs=0.03)
    after_1 = [second for first, second in pairs if first == 1.0]
    assert np.mean(np.array(after_1) == 3.0) == pytest.approx(4 / 5, abs=0.04)


def test_word_embeddings_by_hand():
    found = word_embeddings([["b", "a"], ["a", "a"]])
    rare = np.log(2) + 1  # "b" is in one of two captions.
    length = np.hypot(1, rare)
    np.testing.assert_allclose(found, [[1 / length, rare / length], [1, 0]])


def test_all_measures_of_a_set():
    captions = ["a red ring", "a red ring", "a blue disc", "two blue discs"]
    concepts = np.array([[1, 0, 0, 0], [1, 0, 0, 0], [0, 1, 0, 0], [0, 2, 0, 0]])
    embeddings = np.array([[0.0], [0.0], [9.0], [9.0]])
    found = diversity(captions, concepts, embeddings, 2, np.random.default_rng(0))
    assert found == pytest.approx((0.75, 0.5, 0.5, 1.0))
    concepts[3] = [0, 0, 1, 0]  # Three of four, one of them twice.
    found = diversity(captions, concepts, embeddings, 2, np.random.default_rng(0))
    entropy = 1.5 * np.log(2) / np.log(4)
    assert found == pytest.approx((0.75, 0.75, entropy, 1.0))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: share_distinct([]), "no captions: must be at least one"),
        (lambda: normalised_entropy(np.array([3])), r"counts of shape \(1,\)"),
        (lambda: normalised_entropy(np.zeros(3)), "not all 0"),
        (lambda: normalised_entropy(np.array([1, -1])), "from 0 on"),
        (
            lambda: k_means(np.ones((3, 2)), 4, np.random.default_rng(0)),
            "num_clusters=4: must be from 2 to 3",
        ),
        (
            lambda: k_means(np.full((3, 2), np.nan), 2, np.random.default_rng(0)),
            "embeddings that are not finite",
        ),
    ],
)
def test_what_has_no_diversity_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
