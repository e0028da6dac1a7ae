"""Players that need no training: exact ones against brute force, others by what they do."""

import random
from collections import Counter

import pytest

from tolman.envs.board.openspiel_games import openspiel_game
from tolman.launchers.arena.match import play_game
from tolman.launchers.arena.players import connect_four_board as bits
from tolman.launchers.arena.players.connect_four_solver import SearchTooLong, Solver
from tolman.launchers.arena.players.minimax import MinimaxPlayer
from tolman.launchers.arena.players.perfect import (
    ConnectFourSolverPlayer,
    PerfectTicTacToe,
    tic_tac_toe_values,
)
from tolman.launchers.arena.players.rollouts import RolloutPlayer
from tolman.launchers.arena.players.solved_positions import (
    load_positions,
    make_positions,
    solve,
    value_preserving_rate,
)
from tolman.launchers.arena.players.uniform import RandomPlayer
from tolman.launchers.arena.recorded import RecordedGame
from tolman.launchers.arena.specs import make_player


def play_texts(name, texts):
    game = RecordedGame(openspiel_game(name))
    for text in texts:
        game.step(game.text_to_action(text))
    return game


def random_position(name, num_moves, rng):
    while True:
        game = RecordedGame(openspiel_game(name))
        while not game.is_over() and len(game.texts) < num_moves:
            game.step(rng.choice(game.legal_actions()))
        if not game.is_over():
            return game


def brute_force(game):
    """The value for the player to move: the rules and nothing else."""
    best = -1
    for action in game.legal_actions():
        after = game.copy()
        after.step(action)
        player = game.to_play()
        value = after.outcome()[player] if after.is_over() else -brute_force(after)
        best = max(best, value)
    return best


def test_bitboards_are_the_board():
    game = play_texts("connect_four", "4435")
    own, mask = bits.from_planes(game.observe())
    # Column 4 (index 3) holds both players' stones, 3 the first's, 5 the second's.
    assert own == 1 << 21 | 1 << 14 and mask == own | 1 << 22 | 1 << 28
    assert bits.next_cells(mask) & bits.COLUMNS[3] == 1 << 23


def test_winning_cells_are_those_that_win():
    rng = random.Random(0)
    for _ in range(60):
        game = random_position("connect_four", rng.randint(8, 30), rng)
        own, mask = bits.from_planes(game.observe())
        wins = bits.winning_cells(own, mask) & bits.next_cells(mask)
        for action in game.legal_actions():
            after = game.copy()
            after.step(action)
            won = after.outcome()[game.to_play()] == 1
            assert won == bool(wins & bits.COLUMNS[action])


def test_solver_equals_brute_force():
    rng, solver = random.Random(1), Solver()
    values = Counter()
    for _ in range(60):
        game = random_position("connect_four", rng.randint(33, 38), rng)
        own, mask = bits.from_planes(game.observe())
        values[solver.value(own, mask)] += 1
        assert solver.value(own, mask) == brute_force(game), game.texts
        best = max(solver.action_values(game).values())
        assert best == brute_force(game)
    assert min(values[-1], values[0], values[1]) >= 3


def test_solver_stops_at_its_limit():
    game = openspiel_game("connect_four")
    with pytest.raises(SearchTooLong):
        Solver(100).action_values(game)
    player = ConnectFourSolverPlayer(RandomPlayer(), num_nodes=100)
    assert player.choose(game) in game.legal_actions()


def test_the_fixed_positions_are_what_their_seed_makes():
    positions = load_positions()
    assert len(positions) == 300 and len(set(positions)) == 300
    solver = Solver()
    late = [one for one in positions if len(one.moves) >= 22][:40]
    for position in late:
        assert solve(play_texts("connect_four", position.moves), solver) == position
    for position in positions:
        assert 0 < len(position.keeping) < 7 - position.values.count(".")


def test_positions_repeat_by_seed():
    late = (20, 26)
    made = make_positions(3, 5, late)
    assert made == make_positions(3, 5, late) != make_positions(3, 6, late)
    assert all(20 <= len(position.moves) <= 26 for position in made)


def test_value_preserving_rate_is_the_share_of_moves_that_keep_it():
    game, positions = openspiel_game("connect_four"), load_positions()
    late = [one for one in positions if len(one.moves) >= 22]
    solver = ConnectFourSolverPlayer(RandomPlayer())
    assert value_preserving_rate(solver, late[:30], game) == 1.0
    expected = sum(
        len(one.keeping) / (7 - one.values.count(".")) for one in positions
    ) / len(positions)
    measured = value_preserving_rate(RandomPlayer(), positions, game, seed=1)
    assert abs(measured - expected) < 4 * (0.25 / len(positions)) ** 0.5


def test_perfect_tic_tac_toe_never_loses_and_varies():
    assert set(tic_tac_toe_values(openspiel_game("tic_tac_toe")).values()) == {0}
    # An X in a corner is answered in the centre only.
    game = play_texts("tic_tac_toe", ["a1"])
    values = tic_tac_toe_values(game)
    assert [action for action in values if values[action] == 0] == [4]

    perfect, rng = PerfectTicTacToe(), RandomPlayer()
    scores = {0: [], 1: []}
    for seed in range(100):
        for side, players in enumerate(((perfect, rng), (rng, perfect))):
            record = play_game(openspiel_game("tic_tac_toe"), players, seed=seed)
            scores[side].append(record.outcome[side])
    assert min(scores[0]) >= 0 and min(scores[1]) >= 0
    # Exactly 0.968 as X and 0.778 as O.
    assert abs(scores[0].count(1.0) / 100 - 0.968) < 0.08
    assert abs(scores[1].count(1.0) / 100 - 0.778) < 0.15
    records = {
        play_game(openspiel_game("tic_tac_toe"), (perfect, perfect), seed=seed).moves
        for seed in range(20)
    }
    assert len(records) > 10
    with pytest.raises(ValueError, match="tic_tac_toe only"):
        perfect.choose(openspiel_game("connect_four"))


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_minimax_takes_a_win_and_stops_one(depth):
    player = MinimaxPlayer(depth)
    # The mover completes a column; the other has three in a row beside it.
    game = play_texts("connect_four", "171717")
    assert player.choose(game) == 0
    if depth > 1:
        game = play_texts("connect_four", "17171")
        assert player.choose(game) == 0
    game = play_texts("tic_tac_toe", ["a1", "b2", "b1", "c3"])
    assert player.choose(game) == 2


def test_minimax_on_bitboards_equals_the_generic_one():
    """The same heuristic through planes, with the search that knows no bitboards."""
    from tolman.launchers.arena.players import minimax
    from tolman.launchers.arena.players.heuristics import open_fours

    rng = random.Random(2)
    for _ in range(12):
        game = random_position("connect_four", rng.randint(4, 36), rng)
        for depth in (1, 2, 3):
            fast = minimax._connect_four_values(game, depth)
            slow = MinimaxPlayer(depth, heuristic=open_fours)._values(game)
            best = max(slow.values())
            assert max(fast.values()) == pytest.approx(best)
            assert {a for a in fast if fast[a] == max(fast.values())} == {
                a for a in slow if slow[a] == best
            }


def test_minimax_knows_material():
    # The queen hangs: 1.e4 d5 2.Nc3 Qg5??, seen by White.
    game = play_texts("chess", "d2d4 e7e5 a2a3 d8g5".split())
    assert game.action_to_text(MinimaxPlayer(1).choose(game)) == "c1g5"
    mate = play_texts("chess", "f2f3 e7e5 g2g4".split())
    assert mate.action_to_text(MinimaxPlayer(1).choose(mate)) == "d8h4"
    with pytest.raises(ValueError, match="depth=0"):
        MinimaxPlayer(0)


class Plain:
    """Hides that a game is OpenSpiel's, so that the search in Python plays it."""

    def __init__(self, game):
        self.game = game

    def __getattr__(self, name):
        return getattr(self.game, name)

    def copy(self):
        return Plain(self.game.copy())


@pytest.mark.parametrize("wrap", [lambda game: game, Plain], ids=["c++", "python"])
def test_rollouts_find_a_win_and_a_block(wrap):
    player = RolloutPlayer(2000)
    for texts, wanted in (("171717", 0), ("17171", 0), ("4141414", 3)):
        game = play_texts("connect_four", texts[:-1] if wanted == 3 else texts)
        player.reset(1)
        assert player.choose(wrap(game)) == wanted
    game = play_texts("tic_tac_toe", ["a1"])
    player.reset(0)
    assert player.choose(wrap(game)) == 4  # The only move that does not lose.


def test_players_by_name():
    for spec in (
        "random",
        "greedy",
        "minimax:3",
        "mcts:50",
        "perfect",
        "solver",
        "solver:9",
    ):
        assert make_player(spec).name in (spec, "solver:200000")
    for spec, what in (
        ("rnd", "must be one of .*random"),
        ("mcts:", "whole number"),
        ("minimax:x", "whole number"),
        ("random:3", "random stands alone"),
        ("uci:", "must name a program after the colon"),
        ("uci:x?nodes=many", "is no number"),
        ("usi:x?noodles=1", "'noodles' is unknown"),
        ("usi:x?nodes=0", "must be above 0"),
        ("usi:x?nodes", "KEY=VALUE"),
        ("gtp:x?nodes=5", "GTP knows no nodes"),
        ("run@best", "RUN@CHECKPOINT"),
        ("run@last?simulations=0", "simulations='0' must be a whole number, at least 1"),
        ("run@last?simulations=", "simulations='' must be a whole number, at least 1"),
        ("run@last?simulations=9x", "simulations='9x' must be a whole number"),
        ("no_module:Player", "importing no_module failed"),
        ("json:JSONDecoder", "is a JSONDecoder; needs a name"),
    ):
        with pytest.raises(ValueError, match=what) as error:
            make_player(spec)
        assert "\n" not in str(error.value)
    assert (
        make_player("tolman.launchers.arena.players.uniform:RandomPlayer").name == "random"
    )
    with pytest.raises(FileNotFoundError, match="runs/mine: no such run"):
        make_player("runs/mine@500?simulations=32")
