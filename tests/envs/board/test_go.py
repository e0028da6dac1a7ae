"""Go against a plain second implementation, and positions worked out by hand."""

import random

import jax
import numpy as np
import pytest
from board_games import compiled, legal_actions
from oracles.go import PlainGo

from tolman.envs.board.go import Go, pgx_rules, pgx_state


def play_both(size, komi, seed, num_moves, pass_rate):
    """A random game on both, compared at every move; returns the kinds of move it had."""
    rng = random.Random(seed)
    game = compiled(Go(size, komi))
    state, plain = game.start(), PlainGo(size, komi)
    counts = {"moves": 0, "captures": 0, "superko": 0}
    for _ in range(num_moves):
        points = plain.legal()
        wanted = [row * size + column for row, column in points] + [size * size]
        assert legal_actions(state) == wanted
        counts["superko"] += num_superko(plain, points)
        num_stones = len(plain.stones)
        point = None if rng.random() < pass_rate or not points else rng.choice(points)
        plain.play(point)
        counts["captures"] += len(plain.stones) < num_stones
        counts["moves"] += 1
        action = size * size if point is None else point[0] * size + point[1]
        state = game.step(state, np.int32(action))
        board = np.zeros((size, size))
        for (row, column), colour in plain.stones.items():
            board[row, column] = -1 if colour else 1
        np.testing.assert_array_equal(state.rules.boards[0].reshape(size, size), board)
        is_over = plain.num_passes == 2 or plain.num_moves == 2 * size * size
        assert bool(game.game.is_over(state)) == is_over
        if is_over:
            assert game.game.outcome(state)[0] == np.sign(plain.margin())
            break
    return counts


def num_superko(plain, points):
    """How many points are forbidden because a board would come back, by ko or superko."""
    forbidden = 0
    for point in plain.points():
        if point in plain.stones or point in points:
            continue
        stones = plain.after(point)
        forbidden += stones is not None
    return forbidden


@pytest.mark.parametrize(("size", "num_games"), [(3, 12), (5, 6), (9, 2)])
def test_random_games_agree(size, num_games):
    totals = {"moves": 0, "captures": 0, "superko": 0}
    for seed in range(num_games):
        for name, count in play_both(size, 0.5, seed, 2 * size * size, 0.02).items():
            totals[name] += count
    assert totals["captures"] > 0
    if size < 9:
        assert totals["superko"] > 0


@pytest.mark.slow
@pytest.mark.parametrize(("size", "num_games"), [(3, 200), (5, 200), (9, 60), (19, 3)])
def test_many_random_games_agree(size, num_games):
    for seed in range(num_games):
        play_both(size, 0.5 if seed % 2 else 7.0, 1000 + seed, 10**6, 0.02)


def test_a_ko_may_not_be_taken_back_at_once():
    game = compiled(Go(5, 0.5))
    # . B W . .
    # B . B W .   White 1-1 takes 1-2; Black may not take back.
    # . B W . .
    black, white = [1, 5, 11, 7], [2, 8, 12, 20]
    order = [move for pair in zip(black, white, strict=True) for move in pair]
    state = game.play(game.start(), [*order, 24, 6])
    board = np.asarray(state.rules.boards[0]).reshape(5, 5)
    assert board[1, 1] == -1
    assert board[1, 2] == 0
    assert not state.legal[7]
    assert bool(game.play(state, [4, 9]).legal[7])


@pytest.mark.parametrize("is_another", [False, True])
def test_a_chain_touched_on_two_sides_is_taken_once(is_another):
    """Three stones that a corner captures, which stood there alone before.

    Black at 0, 10, 11, 2 and 7; White takes 0 by 5 and 1, joins them by 6, and may lose all
    three at 0 only where the board is another than before, for a white stone at 24.
    """
    game, skip = compiled(Go(5, 0.5)), 25
    black = [10, skip, 11, skip, 2, skip, 7, skip, 0]
    white = [5, skip, 1, skip, 6]
    state = game.play(game.start(), black + white + [skip, 24] * is_another)
    board = np.asarray(state.rules.boards[0])
    assert (board[[0, 1, 5, 6]] == [0, 1, 1, 1]).all() or (
        board[[0, 1, 5, 6]] == [0, -1, -1, -1]
    ).all()
    assert bool(state.legal[0]) == is_another


def test_superko_forbids_what_simple_ko_allows():
    """Where a board of more than two plays ago would come back; stock pgx lets it."""
    game = compiled(Go(3, 0.5))
    stock = jax.jit(
        lambda rules: pgx_rules().Game(size=3).legal_action_mask(pgx_state(rules))
    )
    found = 0
    for seed in range(40):
        rng = random.Random(seed)
        state, plain = game.start(), PlainGo(3, 0.5)
        boards = [frozenset()]
        for _ in range(18):
            points = plain.legal()
            for point in plain.points():
                if point in plain.stones or point in points:
                    continue
                stones = plain.after(point)
                if stones is not None and frozenset(stones.items()) not in boards[-2:]:
                    found += 1
                    action = point[0] * 3 + point[1]
                    assert not state.legal[action]
                    assert stock(state.rules)[action]
            point = rng.choice(points) if points else None
            plain.play(point)
            boards.append(frozenset(plain.stones.items()))
            action = 9 if point is None else point[0] * 3 + point[1]
            state = game.step(state, np.int32(action))
            if bool(game.game.is_over(state)):
                break
    assert found > 0


@pytest.mark.parametrize(("komi", "winner"), [(24.5, 0), (25.0, None), (8.5, 0)])
def test_one_stone_owns_the_board(komi, winner):
    game = compiled(Go(5, komi))
    state = game.play(game.start(), [12, 25, 25])
    expected = {0: [1.0, -1.0], None: [0.0, 0.0]}[winner]
    np.testing.assert_array_equal(game.game.outcome(state), expected)


def test_dame_belong_to_nobody():
    # Black holds the left two columns' wall, White the right two's; the middle is open.
    game = compiled(Go(5, 0.5))
    black, white = [1, 6, 11, 16, 21], [3, 8, 13, 18, 23]
    order = [move for pair in zip(black, white, strict=True) for move in pair]
    state = game.play(game.start(), [*order, 25, 25])
    np.testing.assert_array_equal(game.game.outcome(state), [-1.0, 1.0])  # 10 - 10 - 0.5.


def test_planes():
    game = compiled(Go(5, 0.5))
    state = game.play(game.start(), [12, 0])
    planes = game.observe(state)
    assert planes.shape == (5, 5, 17)
    own, other = planes[..., 0], planes[..., 1]
    assert own[2, 2] == 1
    assert own.sum() == 1
    assert other[0, 0] == 1
    assert planes[..., 2].sum() == 1  # Black's stone a move ago.
    assert planes[..., 3].sum() == 0
    assert planes[..., 16].all()  # Black to move.
    assert not game.observe(game.play(state, [24]))[..., 16].any()


def test_a_long_game_is_scored():
    game = compiled(Go(5, 0.5, max_num_moves=3))
    state = game.play(game.start(), [0, 1, 2])
    assert bool(game.game.is_over(state))
    assert abs(game.game.outcome(state)[0]) == 1
