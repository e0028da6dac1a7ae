"""Chess against python-chess, and rules that change who wins."""

import random
from pathlib import Path

import jax
import numpy as np
import pgx
import pytest
from board_games import compiled, legal_actions, perft

from tolman.envs.board.chess import Chess, pgx_rules
from tolman.envs.board.chess_board import pgx_labels
from tolman.envs.board.chess_moves import (
    action_to_uci,
    move_table,
    num_planes,
    uci_to_action,
)
from tolman.envs.board.fen import chess_from_fen, chess_to_fen
from tolman.envs.data import data_folder

chess = pytest.importorskip("chess")

START = chess.STARTING_FEN
KIWIPETE = "r3k2r/p1ppqpb1/bn2pnp1/3PN3/1p2P3/2N2Q1p/PPPBBPPP/R3K2R w KQkq - 0 1"
PAWNS = "8/2p5/3p4/KP5r/1R3p1k/8/4P1P1/8 w - - 0 1"
PROMOTIONS = "n1n5/PPPk4/8/8/8/8/4Kppp/5N1N b - - 0 1"
FULL = "r4rk1/1pp1qppp/p1np1n2/2b1p1B1/2B1P1b1/P1NP1N2/1PP1QPPP/R4RK1 w - - 0 10"


def numbered(board):
    """python-chess's legal moves by our numbers."""
    return {uci_to_action(move.uci(), not board.turn): move for move in board.legal_moves}


def is_drawn(board):
    return (
        board.is_stalemate()
        or board.is_insufficient_material()
        or board.halfmove_clock >= 100
        or board.is_repetition(3)
        or board.ply() >= 512
    )


def check_same(state, board, game):
    """Legal moves both ways through the encoding, end and outcome."""
    is_over = board.is_checkmate() or is_drawn(board)
    assert bool(game.is_over(state)) == is_over, board.fen()
    if is_over:
        score = (1.0 if board.turn else -1.0) if board.is_checkmate() else 0.0
        assert game.outcome(state).tolist() == [-score, score]
        return None
    moves = numbered(board)
    assert legal_actions(state) == sorted(moves), board.fen()
    for action, move in moves.items():
        is_pawn = board.piece_type_at(move.from_square) == chess.PAWN
        assert action_to_uci(action, not board.turn, is_pawn) == move.uci()
    return moves


def play_random_game(seed):
    """Returns the plies played and the kinds of move that there were to encode."""
    rng = random.Random(seed)
    chosen = compiled(Chess())
    state, board = chosen.start(), chess.Board()
    kinds = {"castling": 0, "en_passant": 0, "promotion": 0, "moves": 0}
    while (moves := check_same(state, board, chosen.game)) is not None:
        kinds["moves"] += len(moves)
        kinds["promotion"] += sum(move.promotion is not None for move in moves.values())
        kinds["castling"] += sum(map(board.is_castling, moves.values()))
        kinds["en_passant"] += sum(map(board.is_en_passant, moves.values()))
        # Mostly forward, so that pawns arrive and games end.
        action = rng.choice(sorted(moves))
        pawns = [a for a, m in moves.items() if board.piece_type_at(m.from_square) == 1]
        if pawns and rng.random() < 0.3:
            action = rng.choice(pawns)
        board.push(moves[action])
        state = chosen.step(state, np.int32(action))
        if rng.random() < 0.02:
            assert chess_to_fen(state) == board.fen(en_passant="fen")
    return board.ply(), kinds


def test_random_games_agree_and_every_move_round_trips():
    totals = {}
    for seed in range(4):
        _, kinds = play_random_game(seed)
        totals = {name: totals.get(name, 0) + count for name, count in kinds.items()}
    assert min(totals.values()) > 0, totals


@pytest.mark.slow
def test_many_random_games():
    totals = {"plies": 0}
    for seed in range(150):
        plies, kinds = play_random_game(10_000 + seed)
        totals["plies"] += plies
        for name, count in kinds.items():
            totals[name] = totals.get(name, 0) + count
    print(totals)
    assert totals["moves"] > 500_000


@pytest.mark.slow
def test_every_move_of_a_thousand_games_round_trips():
    num_moves = 0
    for seed in range(1000):
        rng, board = random.Random(seed), chess.Board()
        while not board.is_checkmate() and not is_drawn(board):
            moves = numbered(board)
            assert len(moves) == board.legal_moves.count()
            for action, move in moves.items():
                is_pawn = board.piece_type_at(move.from_square) == chess.PAWN
                assert action_to_uci(action, not board.turn, is_pawn) == move.uci()
            num_moves += len(moves)
            board.push(rng.choice(list(moves.values())))
    print(f"{num_moves} moves")
    assert num_moves > 5_000_000


@pytest.mark.parametrize(
    ("fen", "counts"),
    [
        (START, [20, 400, 8902]),
        (KIWIPETE, [48, 2039]),
        (PAWNS, [14, 191, 2812]),
        (PROMOTIONS, [24, 496, 9483]),
        (FULL, [46, 2079]),
    ],
)
def test_perft(fen, counts):
    assert perft(Chess(), chess_from_fen(Chess(), fen), len(counts)) == counts


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fen", "counts"),
    [(START, [20, 400, 8902, 197281]), (KIWIPETE, [48, 2039, 97862])],
)
def test_deep_perft(fen, counts):
    assert perft(Chess(), chess_from_fen(Chess(), fen), len(counts)) == counts


def suite():
    """Lines of the perft suite: a FEN and its counts by depth; none without the data."""
    path = (data_folder() or Path()) / "chess" / "epd-mit" / "perftsuite.epd"
    if not path.is_file():
        return []
    return path.read_text().splitlines()


def check_suite(lines, most):
    """Compares the counts up to `most`; returns how many there were."""
    num_checked = 0
    for line in lines:
        fen, *fields = line.split(";")
        counts = [int(field.split()[1]) for field in fields]
        counts = [count for count in counts if count <= most]
        board = chess.Board(fen)
        if chess.popcount(board.occupied) <= 5:  # A draw by material may come in time.
            counts = [plain_perft(board, 1 + depth) for depth in range(min(len(counts), 3))]
        if counts and counts[0]:
            state = chess_from_fen(Chess(), fen)
            assert perft(Chess(), state, len(counts)) == counts, fen
            num_checked += len(counts)
    return num_checked


def plain_perft(board, depth):
    """By python-chess, where a drawn game has no moves."""
    if is_drawn(board):
        return 0
    if depth == 1:
        return board.legal_moves.count()
    total = 0
    for move in board.legal_moves:
        board.push(move)
        total += plain_perft(board, depth - 1)
        board.pop()
    return total


@pytest.mark.skipif(not suite(), reason="needs the perft suite; see TOLMAN_DATA")
def test_perft_suite():
    assert check_suite(suite()[::12], most=500) > 15


@pytest.mark.slow
@pytest.mark.skipif(not suite(), reason="needs the perft suite; see TOLMAN_DATA")
def test_whole_perft_suite():
    checked = check_suite(suite(), most=20_000)
    print(f"{checked} counts")
    assert checked > 300


def play_uci(moves, game=None, fen=None):
    chosen = compiled(game or Chess())
    state = chess_from_fen(chosen.game, fen) if fen else chosen.start()
    board = chess.Board(fen or START)
    for text in moves.split():
        action = uci_to_action(text, not board.turn)
        state = chosen.play(state, [action])
        board.push_uci(text)
    return state, board


KNIGHTS = "g8f6 g1f3 f6g8 f3g1"


def test_a_dead_en_passant_square_does_not_hide_a_repetition():
    """After 1. e4 no pawn can take en passant: the position is there for the third time
    when both knights have gone and come twice. Stock pgx sees it a ply later."""
    state, board = play_uci(f"e2e4 {KNIGHTS} {KNIGHTS}")
    assert board.is_repetition(3)
    assert bool(Chess().is_over(state))
    assert Chess().outcome(state).tolist() == [0.0, 0.0]
    planes = np.asarray(compiled(Chess()).observe(state))
    assert planes[..., 12:14].all()  # There once before, and twice.

    env = pgx.make("chess")
    step = jax.jit(env.step)
    stock = env.init(jax.random.PRNGKey(0))
    replayed = chess.Board()
    labels, _ = pgx_labels(8, np.asarray(pgx_rules().TO_PLANE))
    for text in f"e2e4 {KNIGHTS} {KNIGHTS}".split():
        action = uci_to_action(text, not replayed.turn)
        stock = step(stock, labels[action])
        replayed.push_uci(text)
    assert not stock.terminated


def test_a_live_en_passant_square_counts():
    """With a black pawn on d4, d4xe3 was possible the first time, and not later."""
    fen = "rnbqkbnr/ppp1pppp/8/8/3p4/8/PPPPPPPP/RNBQKBNR w KQkq - 0 1"
    state, board = play_uci(f"e2e4 {KNIGHTS} {KNIGHTS}", fen=fen)
    assert not board.is_repetition(3)
    assert not Chess().is_over(state)
    state, board = play_uci(f"e2e4 {KNIGHTS} {KNIGHTS} g8f6", fen=fen)
    assert board.is_repetition(3)
    assert bool(Chess().is_over(state))


def test_a_position_of_the_other_side_to_move_is_another():
    """Both kings lose a move in turn. After five plies Black is to move in the position of
    the start, which is its own mirror image."""
    fen = "1k5r/8/8/8/8/8/8/1K5R w - - 0 1"
    cycle = "b1b2 b8b7 b2a1 b7b8 a1b1 b8b7 b1b2 b7a8 b2b1 a8b8"
    state, board = play_uci(cycle, fen=fen)
    assert board.is_repetition(2)
    assert not board.is_repetition(3)
    assert not Chess().is_over(state)
    state, board = play_uci(f"{cycle} b1b2 b8b7 b2b1 b7b8", fen=fen)
    assert board.is_repetition(3)
    assert bool(Chess().is_over(state))


def test_a_right_to_castle_that_was_lost_counts():
    moves = "e2e4 e7e5 e1e2 e8e7 e2e1 e7e8"  # Same pieces as after two plies.
    state, board = play_uci(f"{moves} g1f3 g8f6 f3g1 f6g8")
    assert board.is_repetition(2)
    assert not board.is_repetition(3)
    assert not Chess().is_over(state)


@pytest.mark.parametrize(
    "rook_and_back",
    [
        "h1g1 c6b8 g1h1 b8c6",
        "a1b1 c6b8 b1a1 b8c6",
        "c3b1 h8g8 b1c3 g8h8",
        "c3b1 a8b8 b1c3 b8a8",
    ],
)
def test_each_right_to_castle_counts(rook_and_back):
    fen = "r3k2r/8/2n5/8/8/2N5/8/R3K2R w KQkq - 0 1"
    state, board = play_uci(f"{rook_and_back} c3b1 c6b8 b1c3 b8c6", fen=fen)
    assert board.is_repetition(2)
    assert not board.is_repetition(3)
    assert not Chess().is_over(state)


@pytest.mark.parametrize(
    ("fen", "is_over", "white"),
    [
        ("7k/5QQ1/8/8/8/8/8/K7 b - - 0 1", True, 1.0),  # Mate.
        ("k7/2Q5/8/8/8/8/8/K7 b - - 0 1", True, 0.0),  # Stalemate.
        ("8/8/4k3/8/8/3NK3/8/8 w - - 0 1", True, 0.0),
        ("8/8/4k3/8/8/2NNK3/8/8 w - - 0 1", False, 0.0),
        ("8/8/4k1b1/8/8/3BK3/8/8 w - - 0 1", True, 0.0),  # Bishops of one colour.
        ("8/8/4kb2/8/8/3BK3/8/8 w - - 0 1", False, 0.0),
        ("8/8/4k3/8/8/3RK3/8/8 w - - 99 80", False, 0.0),
        ("8/8/4k3/8/8/3RK3/8/8 w - - 100 80", True, 0.0),  # Fifty moves.
        ("7k/5QQ1/8/8/8/8/8/K7 b - - 100 90", True, 1.0),  # Mate comes first.
        ("8/8/4k3/8/8/3RK3/8/8 w - - 0 257", True, 0.0),  # 512 plies.
    ],
)
def test_the_end(fen, is_over, white):
    game = Chess()
    state = chess_from_fen(game, fen)
    assert bool(game.is_over(state)) == is_over
    assert game.outcome(state).tolist() == [white, -white]
    assert bool(state.legal.any()) != is_over


def test_planes_are_those_of_the_paper():
    chosen = compiled(Chess())
    state, _ = play_uci("e2e4 a7a6")
    planes = np.asarray(chosen.observe(state))
    assert planes.shape == (8, 8, 119)
    assert planes[4, 4, 0] == 1  # The pawn on e4: fourth rank from below, fifth file.
    assert planes[..., 0].sum() == 8
    assert planes[2, 0, 6] == 1  # Black's on a6.
    assert planes[7, 4, 5] == 1  # White's king on e1.
    assert planes[6, 4, 14 * 2] == 1  # Two plies ago the pawn stood on e2.
    assert planes[..., 14 * 3 : 14 * 8].sum() == 0  # Before the game.
    assert planes[..., 112].sum() == 0  # White moves.
    np.testing.assert_allclose(planes[..., 113], 2 / 512)
    assert planes[..., 114:118].all()
    assert planes[..., 118].sum() == 0

    state, _ = play_uci("e2e4 a7a6 e4e5")
    planes = np.asarray(chosen.observe(state))
    assert planes[2 + 3, 0, 0] == 1  # Black looks from the other side: a6 lies low.
    assert planes[4, 4, 6] == 1  # White's pawn on e5.
    assert planes[..., 112].all()

    state, _ = play_uci(KNIGHTS.split()[1] + " g8f6 f3g1 f6g8 g1f3")
    planes = np.asarray(chosen.observe(state))
    assert planes[..., 12].all()  # There once before,
    assert not planes[..., 13].any()  # not twice.
    np.testing.assert_allclose(planes[..., 118], 5 / 100)


def test_black_sees_what_white_sees_in_the_mirror():
    chosen = compiled(Chess())
    rng = random.Random(0)
    board = chess.Board()
    for _ in range(12):
        board.push(rng.choice(list(board.legal_moves)))
        twin = board.mirror()
        planes, mirrored = (
            np.asarray(chosen.observe(chess_from_fen(chosen.game, position.fen())))
            for position in (board, twin)
        )
        different = np.flatnonzero((planes != mirrored).any(axis=(0, 1)))
        assert set(different) <= {112, 113}  # Colour, and plies, which differ by one.
        states = (chess_from_fen(chosen.game, p.fen()) for p in (board, twin))
        legal = [legal_actions(state) for state in states]
        assert legal[0] == legal[1]


def test_moves_have_the_paper_s_planes():
    assert num_planes(8) == 73
    assert num_planes(5) == 49
    table = move_table(8)
    assert len(table.origin) == 4672
    # 1792 moves of queens and knights, and 22 promotions to each of three pieces.
    assert (table.target >= 0).sum() == 1792 + 3 * 22
    assert uci_to_action("a7a8", False) == (1 * 8 + 0) * 73
    assert action_to_uci(73 * 8, False, True) == "a7a8q"
    assert action_to_uci(73 * 8, True, False) == "a2a1"


@pytest.mark.parametrize("text", ["", "e2", "e2e9", "e2e4k", "a1b4", "e7e8n8"])
def test_a_bad_move_is_named(text):
    with pytest.raises(ValueError, match="must be two squares"):
        uci_to_action(text, False)


BARE = "8/8/8/8/8/8/R6K/7k"


def test_move_0_is_the_first():
    for side in "wb":
        states = [chess_from_fen(Chess(), f"{BARE} {side} - - 3 {move}") for move in (0, 1)]
        for zero, one in zip(*map(jax.tree.leaves, states), strict=True):
            np.testing.assert_array_equal(zero, one)


@pytest.mark.parametrize(
    "fen",
    [
        *("", "8/8/8/8/8/8/8/8 w - - 0 1", "8/8 w - - 0 1", "x"),
        *(f"{BARE} w - - -5 1", f"{BARE} w - - 0 -1"),
    ],
)
def test_a_bad_fen_is_named(fen):
    with pytest.raises(ValueError, match="must"):
        chess_from_fen(Chess(), fen)


@pytest.mark.parametrize(("field", "wanted"), [("HAha", "KQkq"), ("Ha", "Kq"), ("-", "-")])
def test_castling_by_the_files_of_the_rooks(field, wanted):
    fen = "r3k2r/8/8/8/8/8/8/R3K2R w {} - 0 1"
    state = chess_from_fen(Chess(), fen.format(field))
    assert chess_to_fen(state) == fen.format(wanted)
    plain = chess_from_fen(Chess(), fen.format(wanted))
    assert legal_actions(state) == legal_actions(plain)


@pytest.mark.parametrize("field", ["KK", "B", "HK", "x", "K-"])
def test_castling_that_cannot_be_is_refused(field):
    with pytest.raises(ValueError, match="FEN"):
        chess_from_fen(Chess(), f"r3k2r/8/8/8/8/8/8/R3K2R w {field} - 0 1")
