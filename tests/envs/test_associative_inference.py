"""Paired associative inference: only inference solves it, and the splits are apart."""

import dataclasses
import functools

import jax
import numpy as np
import pytest

from tolman.envs.reasoning.associative_inference import AssociativeInference

SMALL = AssociativeInference(
    chain_length=4, num_sequences=5, min_sequences=5, num_classes=24, item_size=6,
    num_exemplars=10,
)  # fmt: skip
BATCH = 600


@functools.cache
def _load(task, split):
    return task.load(split)


@functools.cache
def _sampler(task, batch_size):
    return jax.jit(lambda data, key: task.sample(data, key, batch_size))


def _examples(task=SMALL, split="train", seed=0, batch_size=BATCH):
    sample = _sampler(task, batch_size)
    return jax.device_get(sample(_load(task, split), jax.random.PRNGKey(seed)))


def _sequences(facts):
    """The sequences of one memory, by following its pairs; items as tuples."""
    after = {tuple(left): tuple(right) for left, right in facts}
    firsts = set(after) - set(after.values())
    sequences = []
    for item in firsts:
        sequence = [item]
        while sequence[-1] in after:
            sequence.append(after[sequence[-1]])
        sequences.append(sequence)
    return sequences


def _places(sequences):
    """Item to (sequence, place)."""
    return {
        item: (number, place)
        for number, sequence in enumerate(sequences)
        for place, item in enumerate(sequence)
    }


@pytest.fixture(scope="module")
def examples():
    return _examples()


def test_shapes_and_kinds(examples):
    assert examples.facts.shape == (BATCH, 15, 2, 6)
    assert examples.query.shape == (BATCH, 3, 6)
    assert examples.fact_mask.shape == (BATCH, 15) and examples.fact_mask.all()
    assert examples.target.shape == (BATCH, 1)
    assert SMALL.kinds == ("A-B", "B-C", "C-D", "A-C", "B-D", "A-D")
    assert SMALL.distances == (1, 1, 1, 2, 2, 3)


def test_a_memory_is_all_neighbours_of_whole_sequences(examples):
    for facts in examples.facts[:50]:
        sequences = _sequences(facts)
        assert sorted(map(len, sequences)) == [4] * 5
        assert len(_places(sequences)) == 20


def test_cue_match_and_lure_stand_where_they_must(examples):
    """The cue comes first; the lure has the match's place in another sequence."""
    match_first = []
    for number in range(BATCH):
        places = _places(_sequences(examples.facts[number]))
        cue, *choices = (places[tuple(item)] for item in examples.query[number])
        own = [sequence == cue[0] for sequence, _ in choices]
        assert sum(own) == 1
        match, lure = choices[own.index(True)], choices[own.index(False)]
        assert match[1] == lure[1]
        kind = f"{'ABCD'[cue[1]]}-{'ABCD'[match[1]]}"
        assert SMALL.kinds[examples.kind[number]] == kind
        match_first.append(own[0])
    assert 0.44 < np.mean(match_first) < 0.56


def test_the_target_is_the_class_of_the_match():
    task = dataclasses.replace(SMALL, exemplar_noise=0.0)  # An item is its prototype.
    prototypes = np.asarray(task.load("train").items[:, 0])
    examples = _examples(task, batch_size=100)
    for number in range(100):
        places = _places(_sequences(examples.facts[number]))
        cue = places[tuple(examples.query[number, 0])]
        (match,) = (
            item for item in examples.query[number, 1:] if places[tuple(item)][0] == cue[0]
        )
        np.testing.assert_array_equal(prototypes[examples.target[number, 0]], match)


def test_half_of_every_batch_is_direct():
    distances = np.array(SMALL.distances)
    kinds = [_examples(seed=seed).kind for seed in range(7)]
    for kind in kinds:
        assert (distances[kind] == 1).sum() == BATCH / 2
    kind = np.concatenate(kinds)
    assert abs((distances[kind] == 2).mean() - 0.25) < 0.03  # As frequent as distance 3.
    direct = np.bincount(kind, minlength=6)[:3]
    assert direct.min() > 0.9 * direct.mean()


def test_neither_place_in_batch_nor_row_tells_anything(examples):
    direct = np.stack(
        [np.array(SMALL.distances)[_examples(seed=s, batch_size=8).kind] == 1
         for s in range(300)]
    )  # fmt: skip
    assert np.abs(direct.mean(0) - 0.5).max() < 0.12
    rows = []  # Of the fact that begins with the cue, where there is one.
    for number in range(BATCH):
        starts = (examples.facts[number, :, 0] == examples.query[number, 0]).all(-1)
        rows.append(starts.argmax())
    counts = np.bincount(rows, minlength=15)
    assert counts.min() > 0.4 * BATCH / 15 and counts.max() < 1.8 * BATCH / 15


def test_splits_share_classes_and_no_exemplar():
    train, test, validation = (
        np.asarray(SMALL.load(split).items) for split in ("train", "test", "validation")
    )
    assert train.shape[:2] == (24, 10) and test.shape[1] == 2 and validation.shape[1] == 1
    seen = {tuple(item) for item in train.reshape(-1, 6)}
    for split in (test, validation):
        assert not seen & {tuple(item) for item in split.reshape(-1, 6)}
    np.testing.assert_array_equal(train, SMALL.load("train").items)
    many = dataclasses.replace(SMALL, num_exemplars=4000)
    apart = np.asarray(many.load("train").items.mean(1) - many.load("test").items.mean(1))
    assert np.abs(apart).max() < 0.1  # The prototypes.
    examples = _examples(split="test")
    known = {tuple(item) for item in test.reshape(-1, 6)}
    assert {tuple(item) for item in examples.facts.reshape(-1, 6)} <= known


def test_items_of_a_memory_are_of_different_classes():
    task = dataclasses.replace(SMALL, num_classes=20, exemplar_noise=0.0)
    prototypes = {tuple(item) for item in np.asarray(task.load("train").items[:, 0])}
    for facts in _examples(task, batch_size=20).facts:
        assert {tuple(item) for item in facts.reshape(-1, 6)} == prototypes


def test_memories_of_mixed_sizes_are_whole_and_half_of_them_full():
    task = dataclasses.replace(SMALL, min_sequences=2)
    examples = _examples(task)
    sizes = []
    for number in range(BATCH):
        mask = examples.fact_mask[number]
        assert not examples.facts[number, ~mask].any()
        sequences = _sequences(examples.facts[number, mask])
        assert all(len(sequence) == 4 for sequence in sequences)
        places = _places(sequences)
        assert all(tuple(item) in places for item in examples.query[number])
        sizes.append(len(sequences))
    share = np.bincount(sizes, minlength=6) / BATCH
    np.testing.assert_allclose(share[2:], [1 / 8, 1 / 8, 1 / 8, 5 / 8], atol=0.06)


@pytest.mark.parametrize("length", [2, 3])
def test_short_sequences(length):
    task = dataclasses.replace(SMALL, chain_length=length)
    kinds = {2: ("A-B",), 3: ("A-B", "B-C", "A-C")}[length]
    assert task.kinds == kinds
    kind = _examples(task).kind
    shares = np.bincount(kind, minlength=len(kinds)) / BATCH
    expected = [1.0] if length == 2 else [0.25, 0.25, 0.5]
    np.testing.assert_allclose(shares, expected, atol=0.08)


def test_too_few_classes_are_refused_before_any_are_drawn():
    too_few = dataclasses.replace(SMALL, num_classes=19)
    with pytest.raises(ValueError, match=r"num_classes=19: must be at least .* = 20"):
        too_few.load("train")


def test_an_unknown_split_is_refused():
    with pytest.raises(ValueError, match="split 'dev': use one of train, validation, test"):
        SMALL.load("dev")
