"""The replay of whole games, against a plain list of games."""

from itertools import chain

import numpy as np
import pytest

from tolman.agents.alphazero.self_play import Moves
from tolman.launchers.self_play.replay import Replay


def moves(last, serial, winner=0):
    """`[T, B]` moves; the position is a running number, players alternate by it."""
    last = np.array(last, bool)
    position = np.asarray(serial, np.int64).reshape(last.shape)
    outcome = np.zeros((*last.shape, 2), np.float32)
    outcome[last] = (1.0, -1.0) if winner == 0 else (-1.0, 1.0)
    player = (position % 2).astype(np.int8)
    slots = np.stack([position, position + 1], -1).astype(np.int16)
    weights = np.full((*last.shape, 2), 0.5, np.float16)
    value = np.full(last.shape, 0.5, np.float32)
    return Moves(position, slots, weights, value, player, slots[..., 0], last, outcome)


def stored(replay):
    return replay._window().position.tolist()


def test_positions_come_in_when_their_game_ends_and_know_who_won():
    replay = Replay(window_games=10)
    # Two games: one ends on its second move, the other on its third.
    ended = replay.add(moves([[0, 0], [1, 0]], [0, 100, 1, 101]), version=5)
    assert ended.lengths.tolist() == [2] and ended.outcomes.tolist() == [1.0]
    assert ended.value_errors.tolist() == [(0.25 + 2.25) / 2]
    assert stored(replay) == [0, 1] and len(replay) == 2
    ended = replay.add(moves([[0, 1], [0, 0]], [10, 102, 11, 200], winner=1), version=6)
    assert ended.lengths.tolist() == [3] and ended.outcomes.tolist() == [-1.0]
    assert ended.value_errors[0] == pytest.approx((2.25 + 0.25 + 2.25) / 3)
    assert stored(replay) == [0, 1, 100, 101, 102]
    window = replay._window()
    # Player 0, with the even numbers, won the first game and lost the second.
    assert window.outcome.tolist() == [1, -1, -1, 1, -1]
    assert window.version.tolist() == [5, 5, 5, 5, 6]
    assert replay.open_actions() == [[10, 11], [200]]


def test_the_oldest_games_leave_whole():
    replay, kept, rng = Replay(window_games=7), [], np.random.default_rng(0)
    for number in range(4000):
        length = int(rng.integers(1, 9))
        serial = 10 * number + np.arange(length)
        last = np.arange(length) == length - 1
        replay.add(moves(last[:, None], serial), version=0)
        kept = [*kept, serial.tolist()][-7:]
        if number % 500 == 3:
            assert stored(replay) == list(chain(*kept))
    assert replay.num_games == 7 and stored(replay) == list(chain(*kept))


def test_every_position_is_as_likely_as_any_other():
    """A game of nine is drawn nine times as often as a game of one."""
    replay = Replay(window_games=2)
    for length in (4, 1, 9):  # The first one has left.
        last = np.arange(length) == length - 1
        replay.add(moves(last[:, None], 100 * length + np.arange(length)), version=0)
    rows = replay.sample(np.random.default_rng(0), 20_000)
    found, counts = np.unique(rows.position, return_counts=True)
    assert found.tolist() == [100, *range(900, 909)]
    np.testing.assert_allclose(counts / 20_000, 0.1, atol=0.01)
    np.testing.assert_array_equal(rows.slots[:, 0], rows.position)


def test_saved_and_loaded_it_draws_the_same(tmp_path):
    replay = Replay(window_games=3)
    rng = np.random.default_rng(1)
    for number in range(30):
        last = rng.random((4, 2)) < 0.3
        replay.add(moves(last, 100 * number + np.arange(8)), version=number)
    replay.save(tmp_path / "r.npz")
    twin = Replay(window_games=3)
    twin.load(tmp_path / "r.npz", moves([[0]], [0]))
    assert stored(twin) == stored(replay) and twin.num_inserted == replay.num_inserted
    assert twin.open_actions() == replay.open_actions()
    for both in (replay, twin):
        both.add(moves([[1, 1]], [7, 8]), version=99)
    draws = [r.sample(np.random.default_rng(2), 50).position for r in (replay, twin)]
    np.testing.assert_array_equal(*draws)


def test_a_missing_or_broken_file_is_named_in_one_line(tmp_path):
    replay, like = Replay(window_games=3), moves([[0]], [0])
    with pytest.raises(ValueError, match="missing"):
        replay.load(tmp_path / "none.npz", like)
    (tmp_path / "torn.npz").write_bytes(b"PK torn")
    with pytest.raises(ValueError, match="broken replay"):
        replay.load(tmp_path / "torn.npz", like)
