"""The replay in memory, beside a slow one in plain Python; its parts by hand."""

import threading
import time
from collections import deque

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from replays import Writer, layout_of

from tolman.agents.agent import DataSpec
from tolman.launchers.host.memory import size
from tolman.launchers.host.memory.items import Items
from tolman.launchers.host.memory.limiter import RateLimiter
from tolman.launchers.host.memory.replay import MemoryReplay
from tolman.launchers.host.memory.rows import RowRing
from tolman.launchers.host.memory.size import check_memory, sizes_of
from tolman.launchers.host.memory.sum_tree import SumTree
from tolman.launchers.host.replay import Limits, limits_of


class SlowReplay:
    """Every sequence a copy of its own, in a list; the same random numbers."""

    def __init__(self, data, seed):
        self.data, self.items, self.key = data, deque(maxlen=data.capacity), 0
        self.random = np.random.default_rng(seed)

    def insert(self, rows, priority):
        self.items.append([self.key, rows, priority**self.data.priority_exponent])
        self.key += 1

    def draw(self):
        if self.data.replay == "uniform":
            first, number = self.items[0][0], self.data.batch_size
            return [
                self.items[key - first][1]
                for key in self.random.integers(first, self.key, number)
            ]
        # In the order of their places in the ring.
        ring = sorted(self.items, key=lambda item: item[0] % self.data.capacity)
        total = sum(weight for _, _, weight in ring)
        drawn = []
        for point in self.random.random(self.data.batch_size) * total:
            for _, rows, weight in ring:  # noqa: B007
                point -= weight
                if point < 0:
                    break
            drawn.append(rows)
        return drawn


@pytest.mark.parametrize("replay", ["uniform", "prioritized"])
@pytest.mark.parametrize("length, period", [(1, 1), (3, 1), (3, 3), (4, 3), (2, 5)])
def test_batches_are_those_of_a_slow_replay(replay, length, period):
    """Two writers of two and one streams; items of all lengths and periods."""
    data = DataSpec(length, 3, replay=replay, period=period, capacity=11, min_size=2)
    slow = SlowReplay(data, 5)
    ours = MemoryReplay(data, layout_of(3, length), num_streams=3, seed=5)
    ours.limiter = RateLimiter(Limits(11, 2, 1.0, slack=1e9))
    chance = np.random.default_rng(0)
    priority = {"now": 1.0}
    writers, histories = [], []
    for num_envs in (2, 1):
        writers.append(ours.writer(num_envs, lambda: priority["now"]))
        histories.append([[] for _ in range(num_envs)])
    for t in range(60):
        for index in chance.permutation(2):
            history, priority["now"] = histories[index], float(chance.integers(1, 9))
            nothing = np.zeros((len(history), 0))
            version = 1000 * (index + 1) + t
            states = 10 * version + np.arange(len(history))
            decision = nothing if t else None
            writers[index].append(nothing, decision, version, states.astype(np.int32))
            for stream, rows in enumerate(history):
                rows.append((version, int(states[stream])))
                start = t - length
                if start >= 0 and start % period == 0:
                    slow.insert(rows[-length - 1 :], priority["now"])
        if slow.key >= 3:
            expected, batch = slow.draw(), ours.next(0.0)
            versions = ours._layout.row.read(batch.items["row"])[2]
            states = ours._layout.actor_state.read(batch.items["actor_state"])
            assert versions[:, 1:].tolist() == [
                [row[0] for row in rows[1:]] for rows in expected
            ]
            assert states.tolist() == [rows[0][1] for rows in expected]
    assert ours.num_items() == 11 < slow.key


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 9000), st.integers(0, 2**32 - 1))
def test_a_sum_tree_finds_what_running_sums_find(number, seed):
    chance = np.random.default_rng(seed)
    tree, weights = SumTree(number), np.zeros(number)
    for _ in range(3):
        places = chance.integers(0, number, 50)
        values = np.round(chance.exponential(size=50) * 64) / 64  # Sums are exact.
        values *= chance.random(50) < 0.8
        tree.set(places, values)
        for place, value in zip(places, values, strict=True):
            weights[place] = value
    weights[chance.integers(number)] = 1.0
    tree.set(np.arange(number), weights)
    assert tree.total == weights.sum()
    np.testing.assert_array_equal(tree.get(np.arange(number)), weights)
    points = np.floor(chance.random(200) * tree.total * 64) / 64
    expected = np.searchsorted(weights.cumsum(), points, side="right")
    np.testing.assert_array_equal(tree.find(points), expected)


def test_no_point_of_a_sum_tree_finds_a_weight_of_0():
    """At the upper end, where sums of sums do not round alike."""
    chance = np.random.default_rng(0)
    for _ in range(200):
        weights = chance.random(5000) ** 8
        weights[-70:] = 0.0
        tree = SumTree(5000)
        tree.set(np.arange(5000), weights)
        points = np.array([np.nextafter(tree.total, 0.0), tree.total, 0.0])
        assert (tree.get(tree.find(points)) > 0.0).all()


def test_what_is_told_of_an_item_that_is_gone_changes_nothing():
    """Neither of one in whose place another lies, nor of one that was dropped."""
    items = Items(DataSpec(1, 2, replay="prioritized", priority_exponent=1.0), 4)
    items.insert(
        np.zeros((6, 2)), np.arange(6), np.arange(6), 1.0
    )  # Keys 2 to 5 are there.
    items.drop(3)
    items.set_priorities(np.array([0, 2, 3]), np.array([7.0, 8.0, 9.0]))
    # Places 0 to 3 hold the keys 4, 5, none and 3.
    assert items.weights.get(np.arange(4)).tolist() == [1.0, 1.0, 0.0, 9.0]


def test_items_go_with_their_rows_and_with_their_state():
    items = Items(DataSpec(1, 2, replay="uniform"), 8)
    items.insert(np.zeros((5, 2)), np.array([0, 3, 4, 5, 6]), np.arange(5), 1.0)
    for first_row, first_state, left in ((1, 0, 1), (1, 4, 2), (4, 5, 4)):
        items.drop_overwritten(first_row, first_state)
        assert items.keys().tolist() == list(range(left, 5))


def test_a_draw_tells_its_probability():
    items = Items(DataSpec(1, 2, replay="prioritized", priority_exponent=0.5), 4)
    items.insert(np.zeros((2, 2)), np.arange(2), np.arange(2), items.weigh(1.0))
    items.set_priorities(np.array([1]), np.array([9.0]))  # Weights 1 and 3.
    keys, probability = items.draw(2000, np.random.default_rng(0))
    np.testing.assert_array_equal(probability, np.where(keys == 1, 0.75, 0.25))
    assert keys.mean() == pytest.approx(0.75, abs=4 * np.sqrt(0.1875 / 2000))


def test_how_many_items_may_be_inserted_and_drawn():
    """Two draws an insert, from 10 items on, give or take a batch of 4, so 8 draws."""
    data = DataSpec(1, 4, replay="uniform", min_size=10, samples_per_insert=2.0)
    limits = limits_of(data, num_items=4)
    assert limits == Limits(100_000, 10, 2.0, 8.0)
    limiter = RateLimiter(limits)
    assert limiter.inserts_allowed(0) == 14  # 28 - 0 <= 20 + 8.
    limiter.num_inserted = 9
    assert not limiter.allows_draws(9, 1)
    limiter.num_inserted = 10
    assert limiter.allows_draws(10, 8) and not limiter.allows_draws(10, 9)
    limiter.num_drawn = 8  # 20 - 8 >= 20 - 8.
    assert not limiter.allows_draws(10, 1) and limiter.inserts_allowed(10) == 8
    limiter.num_inserted = 18
    assert limiter.inserts_allowed(18) == 0 and limiter.allows_draws(18, 16)
    # Fewer than the least, where others are gone, may always be filled up.
    assert limiter.inserts_allowed(7) == 3


def test_a_rate_below_one_neither_stops_nor_runs_ahead():
    data = DataSpec(1, 4, replay="uniform", min_size=4, samples_per_insert=0.3)
    replay = MemoryReplay(data, layout_of(4), num_streams=1)
    writer, drawn, inserted = Writer(replay), 0, 0
    for _ in range(300):
        if replay.room():
            writer.insert(0)
            inserted += 1
        elif replay.next(0.0) is not None:
            drawn += 4
        else:
            raise AssertionError("neither may go on")
    assert abs(0.3 * (inserted - 4) - drawn) <= 4.0


def test_a_batch_wakes_the_writer_and_an_item_the_learner():
    data = DataSpec(1, 1, replay="uniform", min_size=1, samples_per_insert=1.0)
    replay = MemoryReplay(data, layout_of(1), num_streams=1)
    writer = Writer(replay)

    def write():
        for version in range(200):
            writer.insert(version)

    thread = threading.Thread(target=write, daemon=True)
    began = time.monotonic()
    thread.start()
    batches = [replay.next(60.0) for _ in range(200)]
    thread.join(60.0)
    assert None not in batches and not thread.is_alive()
    assert time.monotonic() - began < 30.0  # Nobody waits for a clock.


def test_draws_go_on_as_if_nothing_had_been_saved(tmp_path):
    data = DataSpec(
        2,
        5,
        replay="prioritized",
        period=1,
        capacity=30,
        min_size=5,
        samples_per_insert=4.0,
    )
    layout = layout_of(5, unroll_length=2)
    replay = MemoryReplay(data, layout, num_streams=2, seed=3)
    writer = Writer(replay, num_envs=2)
    for version in range(40):
        writer.insert(version, 1.0 + version % 7)
        while replay.limiter.inserts_allowed(len(replay.items)) < 2:
            batch = replay.next(0.0)
            replay.set_priorities(batch, 0.5 + batch.versions.astype(float))
    replay.save(tmp_path / "saved")
    again = MemoryReplay(data, layout, num_streams=2, seed=4, saved=tmp_path / "saved")
    assert again.num_items() == 30
    for _ in range(2):
        for step in range(25):
            one, other = replay.next(0.0), again.next(0.0)
            if one is None:
                assert other is None and step > 1
                break
            for name in ("row", "actor_state"):
                np.testing.assert_array_equal(one.items[name], other.items[name])
            np.testing.assert_array_equal(one.probability, other.probability)
            for which, batch in ((replay, one), (again, other)):
                which.set_priorities(batch, 0.5 + batch.versions.astype(float))
        for which in (replay, again):  # And with the rows that come after.
            writer = Writer(which, num_envs=2)
            for version in range(100, 103):
                writer.insert(version)


def test_many_resumes_leave_rows_without_an_item_and_lose_no_row_of_one(tmp_path):
    """Each leaves three rows behind; what is overwritten is not drawn."""
    data = DataSpec(3, 4, replay="uniform", period=1, capacity=20, min_size=4)
    layout = layout_of(4, unroll_length=3)
    saved = None
    for resume in range(12):
        replay = MemoryReplay(data, layout, num_streams=1, seed=0, saved=saved)
        writer = Writer(replay)
        for step in range(5):
            while replay.limiter.inserts_allowed(len(replay.items)) < 1:
                replay.next(0.0)
            writer.insert(100 * resume + step)
        for _ in range(4):
            batch = replay.next(0.0)
            if batch is not None:
                versions = layout.row.read(batch.items["row"])[2][:, 1:]
                assert (np.diff(versions) == 1).all()
        saved = tmp_path / str(resume)
        replay.save(saved)
    assert replay.num_items() == 14  # Of 29 rows, 6 a resume.


def test_rows_go_round():
    ring = RowRing(5, 2)
    numbers = [ring.append(np.full((2, 2), t, np.uint8)) for t in range(4)]
    assert numbers == [0, 2, 4, 6] and (ring.first, ring.end) == (3, 8)
    assert ring.read(np.arange(3, 8) % 5)[:, 0].tolist() == [1, 2, 2, 3, 3]


def test_a_smaller_ring_takes_the_last_rows_of_a_file(tmp_path):
    ring = RowRing(5, 2)
    for t in range(4):
        ring.append(np.full((2, 2), t, np.uint8))
    ring.save(tmp_path / "rows.npy", ring.first)
    smaller = RowRing(3, 2)
    assert smaller.load(tmp_path / "rows.npy") == 2
    assert (smaller.first, smaller.end) == (0, 3)
    assert smaller.read(np.arange(3)).tolist() == [[2, 2], [3, 3], [3, 3]]


def test_what_a_replay_takes_is_known_before_it_starts(monkeypatch):
    """100 items of streams of 4: 26 starts, two ends of 4 rows, and 3 of a resume."""
    data = DataSpec(3, 2, replay="uniform", period=1, capacity=100, min_size=1)
    layout = layout_of(2, unroll_length=3)
    rows, states = 4 * (26 + 4 + 4), 4 * (34 + 2)
    num_bytes = rows * 4 + states * 4 + 100 * (4 * 4 + 24)
    assert sizes_of(data, layout, 4) == (100, rows, states, num_bytes)
    replay = MemoryReplay(data, layout, num_streams=4)
    assert replay.rows.size == rows and replay.states.size == states

    monkeypatch.setattr(size, "memory_of_machine", lambda: 10_000)
    check_memory(data, layout, 4)
    monkeypatch.setattr(size, "memory_of_machine", lambda: 5_000)
    with pytest.raises(ValueError) as caught:
        check_memory(data, layout, 4)
    text = str(caught.value)
    assert text.startswith(
        f"capacity=100: a replay of so many sequences takes {num_bytes:,}"
    )
    assert "must be at most 4,500, 0.9 of this machine's 5,000" in text
    most = int(text.split("to at most ")[1].rstrip("."))
    assert sizes_of(data, layout, 4, most).num_bytes <= 4_500
    assert sizes_of(data, layout, 4, most + 1).num_bytes > 4_500
    monkeypatch.setattr(size, "memory_of_machine", lambda: 300)  # No capacity helps.
    with pytest.raises(ValueError, match=r"\. Set num_envs lower\.$"):
        check_memory(data, layout, 4)


def test_the_memory_of_this_machine_is_known():
    assert 2**28 < size.memory_of_machine() < 2**50


def test_what_reverb_saved_is_refused(tmp_path):
    data = DataSpec(1, 1, replay="uniform", min_size=1)
    with pytest.raises(ValueError, match=r"was saved by --replay reverb, not memory"):
        MemoryReplay(data, layout_of(1), 1, saved=tmp_path)
