"""What an agent's data ask for is what every replay does."""

import collections
import threading
import time
from dataclasses import replace

import numpy as np
import pytest
from replays import Writer, fill, layout_of, next_with
from scipy import stats

from tolman.agents.agent import DataSpec

PRIORITIZED = DataSpec(
    1, 2, replay="prioritized", capacity=3, min_size=2, samples_per_insert=4.0,
    priority_exponent=2.0,
)  # fmt: skip
FREELY = {"capacity": 50, "min_size": 1, "samples_per_insert": 1e6}


def test_a_queue_is_read_in_its_order(open_replay):
    data = DataSpec(1, 3)
    replay = open_replay(data, layout_of(3))
    fill(replay, np.ones(6))
    assert [replay.next(20.0).versions.tolist() for _ in range(2)] == [[0, 1, 2], [3, 4, 5]]
    assert replay.next(0.1) is None


def test_a_full_queue_waits_and_loses_nothing(open_replay):
    """Of batches of 2, two fit and two may be on their way to the learner."""
    replay, inserted = open_replay(DataSpec(1, 2), layout_of()), []
    writer = Writer(replay)

    def write():
        for version in range(40):
            writer.insert(version)
            inserted.append(version)

    thread = threading.Thread(target=write, daemon=True)
    thread.start()
    time.sleep(1.0)
    assert 4 <= len(inserted) < 20
    read = [replay.next(20.0).versions.tolist() for _ in range(20)]
    thread.join(20.0)
    assert np.concatenate(read).tolist() == list(range(40)) == inserted
    writer.close()


def test_a_writer_that_waits_is_released(open_replay):
    replay = open_replay(DataSpec(1, 1), layout_of(1))
    writer = Writer(replay)
    thread = threading.Thread(target=lambda: [writer.insert(v) for v in range(99)])
    thread.start()
    time.sleep(0.5)
    assert thread.is_alive()
    replay.release()
    thread.join(20.0)
    assert not thread.is_alive()
    writer.close()


def test_a_replay_forgets_the_oldest_and_tells_probabilities(open_replay):
    """Of priorities 5, 1, 2, 3 the first is gone; squared, the others are 1, 4 and 9."""
    replay = open_replay(PRIORITIZED, layout_of())
    fill(replay, (5.0, 1.0, 2.0, 3.0))
    assert replay.num_items() == 3
    next_with(replay, np.array([np.nan, 1, 4, 9]) / 14)


@pytest.mark.parametrize(
    "replay_kind, exponent", [("uniform", 0.6), ("prioritized", 0.6), ("prioritized", 0.0)]
)
def test_draws_are_as_frequent_as_they_should_be(replay_kind, exponent, open_replay):
    """Chi-squared over 20 items, after half of their priorities were set anew."""
    data = DataSpec(1, 100, replay=replay_kind, priority_exponent=exponent, **FREELY)
    replay = open_replay(data, layout_of(100))
    priorities = 0.1 + np.arange(20.0)
    fill(replay, priorities)
    batch = replay.next(20.0)
    low = batch.versions < 10
    while low.any():  # All items, by their keys.
        chosen = batch._replace(keys=batch.keys[low], versions=batch.versions[low])
        replay.set_priorities(chosen, 30.0 + chosen.versions)
        priorities[chosen.versions] = 30.0 + chosen.versions
        if (priorities[:10] >= 30.0).all():
            break
        batch = replay.next(20.0)
        low = batch.versions < 10
    weights = priorities**exponent if replay_kind == "prioritized" else np.ones(20)
    counts, expected = collections.Counter(), weights / weights.sum()
    for _ in range(6):  # What each reader drew before is gone.
        next_with(replay, expected)
    for _ in range(100):
        batch = replay.next(20.0)
        counts.update(batch.versions.tolist())
        np.testing.assert_allclose(batch.probability, expected[batch.versions], rtol=1e-5)
    observed = np.array([counts[version] for version in range(20)])
    assert stats.chisquare(observed, 10_000 * expected).pvalue > 1e-4


def test_all_items_are_there_once_their_writer_is_closed(open_replay):
    """Reverb keeps the last of a writer in about one of four until it is told to send."""
    data = DataSpec(1, 50, replay="uniform", **FREELY)
    for _ in range(12):
        replay = open_replay(data, layout_of(50))
        fill(replay, 1.0 + np.arange(20.0))
        assert replay.num_items() == 20


def test_priorities_of_what_is_gone_change_nothing(open_replay):
    data = replace(PRIORITIZED, batch_size=4)
    replay = open_replay(data, layout_of())
    writer = Writer(replay)
    for version in range(2):
        writer.insert(version, 1.0)
    batch = replay.next(20.0)
    for version in range(2, 5):
        writer.insert(version, 2.0)
    writer.close()  # Those of Reverb may be on their way.
    replay.set_priorities(batch, np.array([50.0, 50.0]))
    next_with(replay, np.array([np.nan, np.nan, 1, 1, 1]) / 3)


def test_what_is_saved_comes_back(open_replay, tmp_path):
    data = DataSpec(1, 60, replay="prioritized", priority_exponent=1.0, **FREELY)
    layout = layout_of(50)
    replay = open_replay(data, layout)
    fill(replay, 1.0 + np.arange(60.0))
    replay.save(tmp_path / "saved" / "0")
    replay.release()
    again = open_replay(data, layout, saved=tmp_path / "saved" / "0")
    assert again.num_items() == 50
    batch = again.next(20.0)
    expected = (1.0 + np.arange(60.0)) / (1.0 + np.arange(60.0))[10:].sum()
    assert batch.versions.min() >= 10 and len(np.unique(batch.versions)) > 10
    np.testing.assert_allclose(batch.probability, expected[batch.versions], rtol=1e-5)
