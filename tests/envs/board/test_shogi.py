"""Shogi against cshogi, and rules that pgx lacks."""

import functools
import random
from pathlib import Path

import jax
import numpy as np
import pytest
from board_games import compiled, legal_actions, perft

from tolman.envs.board import shogi_rules
from tolman.envs.board.sfen import shogi_from_sfen, shogi_to_sfen
from tolman.envs.board.shogi import Shogi, pgx_state
from tolman.envs.board.shogi_moves import (
    NUM_ACTIONS,
    action_to_usi,
    shogi_move_table,
    usi_to_action,
)
from tolman.envs.data import data_folder

START = "lnsgkgsnl/1r5b1/ppppppppp/9/9/9/PPPPPPPPP/1B5R1/LNSGKGSNL b - 1"


def numbered(board):
    """Legal moves of cshogi by our numbers."""
    import cshogi

    moves = {}
    for move in board.legal_moves:
        text = cshogi.move_to_usi(move)
        action = usi_to_action(text, board.turn == cshogi.WHITE)
        assert action_to_usi(action, board.turn == cshogi.WHITE) == text
        moves[action] = move
    return moves


def play_random_game(seed):
    """Returns the plies, the legal moves compared, and how many of them were drops."""
    cshogi = pytest.importorskip("cshogi")
    rng = random.Random(seed)
    chosen = compiled(Shogi())
    state, board = chosen.start(), cshogi.Board()
    num_moves = num_drops = ply = 0
    while not bool(chosen.game.is_over(state)):
        moves = numbered(board)
        assert legal_actions(state) == sorted(moves), board.sfen()
        assert not board.is_nyugyoku()
        num_moves += len(moves)
        num_drops += sum("*" in cshogi.move_to_usi(move) for move in moves.values())
        if rng.random() < 0.02:
            assert shogi_to_sfen(state) == board.sfen()
        action = rng.choice(sorted(moves))
        board.push(moves[action])
        state = chosen.step(state, np.int32(action))
        ply += 1
    outcome = chosen.game.outcome(state)[board.turn]
    if not board.legal_moves:
        assert outcome == -1
    elif board.is_nyugyoku():
        assert outcome == 1
    else:
        assert ply == 512 or board.is_draw() != cshogi.NOT_REPETITION
    return ply, num_moves, num_drops


def test_random_games_agree_and_every_move_round_trips():
    totals = np.sum([play_random_game(seed) for seed in (0, 9)], axis=0)
    assert totals[2] > 1000


@pytest.mark.slow
def test_many_random_games():
    totals = np.sum([play_random_game(1000 + seed) for seed in range(50)], axis=0)
    print(f"plies, moves, drops: {totals.tolist()}")
    assert totals[1] > 500_000


@pytest.mark.slow
def test_every_move_of_a_thousand_games_round_trips():
    cshogi = pytest.importorskip("cshogi")
    num_moves = 0
    for seed in range(1000):
        rng, board = random.Random(seed), cshogi.Board()
        for _ in range(512):
            moves = numbered(board)  # There and back.
            assert len(moves) == len(list(board.legal_moves))
            if not moves:
                break
            num_moves += len(moves)
            board.push(rng.choice(sorted(moves.values())))
    print(f"{num_moves} moves")
    assert num_moves > 5_000_000


def suite():
    """Position, depth and count of each line of the perft table; none without the data."""
    path = (data_folder() or Path()) / "shogi" / "perft.tsv"
    if not path.is_file():
        return []
    lines = [line.split("\t") for line in path.read_text().splitlines()]
    return [(line[0], int(line[1]), int(line[2])) for line in lines if len(line) == 3]


def check_suite(most):
    game = Shogi(with_declaration=False)
    by_position = {}
    for sfen, depth, count in suite():
        if count <= most:
            by_position.setdefault(sfen, {})[depth] = count
    num_checked = 0
    for sfen, counts in by_position.items():
        found = perft(game, shogi_from_sfen(game, sfen), max(counts))
        for depth, count in counts.items():
            assert found[depth - 1] == count, (sfen, depth)
            num_checked += 1
    return num_checked


@pytest.mark.skipif(not suite(), reason="needs the perft suite; see TOLMAN_DATA")
def test_perft_suite():
    assert check_suite(most=600) > 5


@pytest.mark.slow
@pytest.mark.skipif(not suite(), reason="needs the perft suite; see TOLMAN_DATA")
def test_deep_perft_suite():
    checked = check_suite(most=30_000)
    print(f"{checked} counts")
    assert checked >= 9


def test_perft_of_the_start():
    game = Shogi(with_declaration=False)
    assert perft(game, shogi_from_sfen(game, START), 2) == [30, 900]


@pytest.mark.parametrize(
    ("sfen", "is_legal", "is_legal_in_pgx"),
    [
        # The gold guards 2b, the silver 2c and the pawn, the rook 2a and 1a. Stock pgx sees
        # an escape beyond the edge.
        ("4R4/6G1k/9/7S1/9/9/9/9/K8 b P 1", False, True),
        ("7sl/6G1k/9/7S1/9/9/9/9/K8 b P 1", False, False),  # 1a and 2a are taken.
        ("7nl/6G1k/9/7S1/9/9/9/9/K8 b P 1", True, True),  # The knight takes the pawn.
        ("4R4/8k/9/7S1/9/9/9/9/K8 b P 1", True, True),  # The king goes to 2b,
        ("6sl1/6G1k/9/7S1/9/9/9/9/K8 b P 1", True, True),  # or to 1a.
    ],
)
def test_a_pawn_dropped_may_not_mate(sfen, is_legal, is_legal_in_pgx):
    state = shogi_from_sfen(Shogi(), sfen)
    drop = usi_to_action("P*1c", False)
    assert bool(state.legal[drop]) == is_legal
    stock = stock_legal()(pgx_state(state.rules))
    assert bool(stock[shogi_rules.labels()[drop]]) == is_legal_in_pgx


@functools.cache
def stock_legal():
    return jax.jit(shogi_rules.pgx_rules().Game().legal_action_mask)


def test_a_pawn_dropped_at_the_edge_as_in_cshogi():
    """Where cshogi forbids the drop that stock pgx allows."""
    cshogi = pytest.importorskip("cshogi")
    rng = random.Random(1)
    game = Shogi(with_declaration=False)
    num_of_stock = 0
    for sfen in edge_positions(rng, 400):
        board = cshogi.Board(sfen)
        state = shogi_from_sfen(game, sfen)
        ours = set(legal_actions(state))
        theirs = set(numbered(board))
        assert ours == theirs, sfen
        num_of_stock += int(stock_legal()(pgx_state(state.rules)).sum()) - len(ours)
    assert num_of_stock > 0


def edge_positions(rng, count):
    """Black to move with a pawn in hand, White's king at 1b or 2a and hemmed in."""
    import cshogi

    made = 0
    while made < count:
        grid = [["" for _ in range(9)] for _ in range(9)]
        king = rng.choice([(1, 8), (0, 7)])  # Row, column: 1b and 2a.
        grid[king[0]][king[1]] = "k"
        grid[8][rng.randrange(3)] = "K"
        around = [(r, c) for r in range(4) for c in range(5, 9) if not grid[r][c]]
        around.remove((king[0] + 1, king[1]))
        pieces = [*"GGSSNL", "+P", "+B", *"lnsg"]
        for piece in rng.sample(pieces, rng.randint(3, 7)):
            row, column = around.pop(rng.randrange(len(around)))
            if piece in "NL" and row < 2:
                continue
            grid[row][column] = piece
        rows = "/".join("".join(piece or "1" for piece in row) for row in grid)
        sfen = f"{rows} b P 1"
        if not cshogi.Board(f"{rows} w P 1").is_check():  # Black may not take the king.
            made += 1
            yield sfen


ROOKS = ["2h3h", "8b7b", "3h2h", "7b8b"]


def play_usi(moves, sfen=START, game=None):
    chosen = compiled(game or Shogi())
    state = shogi_from_sfen(chosen.game, sfen)
    for text in moves:
        mover = int(chosen.game.to_play(state))
        state = chosen.play(state, [usi_to_action(text, mover == 1)])
    return chosen.game, state


def test_the_fourth_time_is_a_draw():
    game, state = play_usi(ROOKS * 2 + ROOKS[:3])
    assert not game.is_over(state)
    game, state = play_usi(ROOKS * 3)
    assert bool(game.is_over(state))
    assert game.outcome(state).tolist() == [0.0, 0.0]


@pytest.mark.parametrize(
    ("sfen", "cycle", "outcome"),
    [
        # Black's rook checks the king to and fro: Black loses.
        ("8k/9/9/9/9/9/9/9/K6R1 b - 1", ["2i1i", "1a2a", "1i2i", "2a1a"], [-1.0, 1.0]),
        # The same by White.
        ("1r6k/9/9/9/9/9/9/9/K8 w - 1", ["8a9a", "9i8i", "9a8a", "8i9i"], [1.0, -1.0]),
        # One quiet move in the cycle, and it is a draw.
        ("8k/9/9/9/9/9/9/9/K6R1 b - 1", ["2i1i", "1a2a", "1i3i", "2a1a", "3i1i",
         "1a2a", "1i2i", "2a1a"], [0.0, 0.0]),
    ],
)  # fmt: skip
def test_perpetual_check_loses(sfen, cycle, outcome):
    game = Shogi()
    chosen = compiled(game)
    state = shogi_from_sfen(game, sfen)
    for ply in range(4 * len(cycle)):
        if bool(game.is_over(state)):
            break
        text = cycle[ply % len(cycle)]
        state = chosen.play(state, [usi_to_action(text, int(game.to_play(state)) == 1)])
    assert bool(game.is_over(state))
    assert game.outcome(state).tolist() == outcome


def test_checks_before_a_quiet_move_count_for_nothing():
    """Four checks and a quiet move, then a position comes four times in six moves of which
    four check: a draw."""
    before = ["2e1e", "1a2a", "1e2e", "2a1a"] * 2 + ["2e2i", "1a1b"]
    cycle = ["2i1i", "1b2b", "1i3i", "2b1b", "3i1i", "1b2b", "1i2i", "2b1b"]
    sfen = "8k/9/9/9/7R1/9/9/9/K8 b - 1"
    game, state = play_usi(before + cycle + cycle[:5], sfen)
    assert bool(game.is_over(state))
    assert game.outcome(state).tolist() == [0.0, 0.0]


@pytest.mark.parametrize(("pawn", "is_declared"), [("pS6S", False), ("1S2p3S", True)])
def test_who_is_in_check_declares_nothing(pawn, is_declared):
    """The king has entered, ten pieces and 29 points; the pawn above it gives check."""
    sfen = f"1RRBBGGGG/{pawn}/K8/9/9/9/9/9/4k4 b 3P 1"
    assert bool(Shogi().is_over(shogi_from_sfen(Shogi(), sfen))) == is_declared


# The king and ten pieces in the zone, four majors among them: 26 points and the hand.
@pytest.mark.parametrize(
    ("placement", "side"),
    [
        ("K+R+R+B+BGGGG/SS7/9/9/9/9/9/9/8k", "b"),
        ("KRRBBGGGG/S7S/9/9/9/9/9/9/4k4", "b"),
        ("KRRBBGGG1/S7S/9/9/9/9/9/9/4k4", "b"),  # Nine.
        ("1RRBBGGGG/S7S/9/K8/9/9/9/9/4k4", "b"),  # The king stands outside.
        ("8K/9/9/9/9/9/9/ss7/k+r+r+b+bgggg", "w"),
    ],
)
def test_declaration_agrees_with_cshogi(placement, side):
    cshogi = pytest.importorskip("cshogi")
    declared = []
    for hand in ("-", "P", "2P", "3P", "p", "2p"):
        text = f"{placement} {side} {hand} 1"
        board = cshogi.Board(text)
        state = shogi_from_sfen(Shogi(), text)
        assert bool(Shogi().is_over(state)) == board.is_nyugyoku(), text
        declared.append(board.is_nyugyoku())
    assert any(declared) == (
        placement.count("G") + placement.count("g") == 4 and "K8" not in placement
    )


def test_a_mated_player_loses():
    state = shogi_from_sfen(Shogi(), "4k4/4G4/4P4/9/9/9/9/9/4K4 w - 2")
    assert bool(Shogi().is_over(state))
    assert Shogi().outcome(state).tolist() == [1.0, -1.0]


@pytest.mark.parametrize("side", ["b", "w"])
def test_move_0_is_the_first(side):
    states = [
        shogi_from_sfen(Shogi(), f"4k4/9/9/9/9/9/9/9/4K4 {side} P {move}")
        for move in (0, 1)
    ]
    for zero, one in zip(*map(jax.tree.leaves, states), strict=True):
        np.testing.assert_array_equal(zero, one)


def test_planes_are_those_of_the_paper():
    chosen = compiled(Shogi())
    planes = np.asarray(chosen.observe(chosen.start()))
    assert planes.shape == (9, 9, 362)
    assert planes[6, :, 0].all()  # Own pawns on the seventh row from above.
    assert planes[7, 1, 4] == 1  # The bishop on 8h,
    assert planes[7, 7, 5] == 1  # the rook on 2h.
    assert planes[2, :, 14].all()
    assert planes[1, 1, 14 + 5] == 1  # White's rook on 8b.
    assert planes[..., 28:].sum() == 0  # No repetition, no hands, no history, Black.

    _, state = play_usi(["7g7f", "3c3d", "8h2b+"])
    planes = np.asarray(chosen.observe(state))
    assert planes[..., 360].all()
    np.testing.assert_allclose(planes[..., 361], 3 / 512)
    # White sees it turned: the horse on 2b lies on the eighth row, second from the left.
    assert planes[7, 1, 14 + 12] == 1
    assert planes[..., 31 + 7 + 4].all()  # Black holds one of two bishops.
    np.testing.assert_allclose(planes[..., 31 + 7 + 4], 0.5)
    assert planes[7, 7, 45 + 14 + 4] == 0
    assert planes[1, 7, 45 + 14 + 4] == 1  # A ply ago it was on 8h.

    _, state = play_usi(ROOKS * 2)
    planes = np.asarray(chosen.observe(state))
    assert planes[..., 28].all()
    assert planes[..., 29].all()
    assert not planes[..., 30].any()


def test_moves_are_those_of_the_paper():
    assert NUM_ACTIONS == 9 * 9 * 139
    table = shogi_move_table()
    assert (table.dropped >= 0).sum() == 81 * 7
    assert usi_to_action("9g9f", False) == (6 * 9 + 0) * 139
    assert usi_to_action("9g9f", False) == usi_to_action("1c1d", True)
    assert usi_to_action("P*5e", False) == (4 * 9 + 4) * 139 + 132
    assert usi_to_action("2b3a+", False) == (1 * 9 + 7) * 139 + 66 + 7 * 8


@pytest.mark.parametrize("text", ["", "7g", "7g7j", "7g7f=", "X*5e", "P*5e+", "1a2d"])
def test_a_bad_move_is_named(text):
    with pytest.raises(ValueError, match="must be two squares"):
        usi_to_action(text, False)


@pytest.mark.parametrize("sfen", ["", "9/9 b - 1", START.replace("b", "x"), "9 w 3K 1"])
def test_a_bad_sfen_is_named(sfen):
    with pytest.raises(ValueError, match="must"):
        shogi_from_sfen(Shogi(), sfen)
