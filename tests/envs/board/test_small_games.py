"""Small games against OpenSpiel's, counts that are known, and repetition by hand."""

import random

import jax
import numpy as np
import pgx
import pytest
from board_games import compiled, legal_actions, perft
from oracles.animal_shogi import PlainAnimalShogi
from oracles.gardner import PlainGardner

from tolman.envs.board.animal_shogi import AnimalShogi, _labels
from tolman.envs.board.chess_moves import uci_to_action
from tolman.envs.board.gardner_chess import GardnerChess
from tolman.envs.board.small import ConnectFour, Hex, Othello, TicTacToe

pyspiel = pytest.importorskip("pyspiel")

# Ours, OpenSpiel's, games to play, and the action that OpenSpiel's rules lack.
PAIRS = [
    (TicTacToe(), "tic_tac_toe", 30, None),
    (ConnectFour(), "connect_four", 20, None),
    (Othello(), "othello", 8, None),
    (Hex(), "hex", 4, 121),
]


@pytest.mark.parametrize(
    ("game", "name", "num_games", "lacking"), PAIRS, ids=[pair[1] for pair in PAIRS]
)
def test_random_games_agree_with_open_spiel(game, name, num_games, lacking):
    rng = random.Random(0)
    rules = pyspiel.load_game(name)
    chosen = compiled(game)
    for _ in range(num_games):
        state, other = chosen.start(), rules.new_initial_state()
        while not other.is_terminal():
            legal = [action for action in legal_actions(state) if action != lacking]
            assert legal == other.legal_actions()
            assert int(game.to_play(state)) == other.current_player()
            action = rng.choice(legal)
            state = chosen.step(state, np.int32(action))
            other.apply_action(action)
            if name == "othello" and passes_twice(state, other):
                break  # OpenSpiel ends there; ours after the two passes.
        else:
            assert bool(game.is_over(state))
        while not bool(game.is_over(state)):
            assert legal_actions(state) == [64]
            state = chosen.step(state, np.int32(64))
        assert game.outcome(state).tolist() == other.returns()


def passes_twice(state, other):
    return other.is_terminal() and legal_actions(state) == [64]


def test_hex_swaps():
    game = Hex()
    chosen = compiled(game)
    state = chosen.play(chosen.start(), [1])
    assert bool(state.legal[121])
    state = chosen.play(state, [121])
    assert not state.legal[121]
    assert not state.legal[11]  # The stone of row 0, column 1 is in row 1, column 0 now,
    assert bool(state.legal[1])
    planes = np.asarray(game.observe(state))
    assert planes[1, 0, 1] == 1  # and the other player's.


def test_a_chain_across_wins_at_hex():
    game = Hex(size=3)
    chosen = compiled(game)
    state = chosen.play(chosen.start(), [1, 0, 4, 2, 7])  # Player 0 goes down column 1.
    assert bool(game.is_over(state))
    assert game.outcome(state).tolist() == [1.0, -1.0]
    state = chosen.play(chosen.start(), [0, 3, 1, 4, 2, 5])  # Player 1 along row 1.
    assert game.outcome(state).tolist() == [-1.0, 1.0]


@pytest.mark.parametrize(
    ("game", "counts"),
    [
        (TicTacToe(), [9, 72, 504, 3024]),
        (ConnectFour(), [7, 49, 343, 2401]),
        (Othello(), [4, 12, 56, 244, 1396]),  # Known for Othello.
    ],
    ids=["tic_tac_toe", "connect_four", "othello"],
)
def test_perft(game, counts):
    assert perft(game, compiled(game).start(), len(counts)) == counts


@pytest.mark.parametrize("seed", range(3))
def test_random_games_of_gardner_chess(seed):
    rng = random.Random(seed)
    game = GardnerChess()
    chosen = compiled(game)
    state, plain = chosen.start(), PlainGardner()
    while (outcome := plain.outcome()) is None:
        is_black = plain.num_plies % 2 == 1
        moves = {uci_to_action(text, is_black, 5): text for text in plain.moves()}
        assert legal_actions(state) == sorted(moves)
        action = rng.choice(sorted(moves))
        plain.play(moves[action])
        state = chosen.step(state, np.int32(action))
    assert bool(game.is_over(state))
    assert game.outcome(state).tolist() == [outcome, -outcome]


def test_a_third_time_draws_at_gardner_chess():
    game = GardnerChess()
    chosen = compiled(game)
    moves = ["b1c3", "b5a3", "c3b1", "a3b5"]
    cycle = [uci_to_action(move, ply % 2 == 1, 5) for ply, move in enumerate(moves)]
    state = chosen.play(chosen.start(), cycle)
    assert not game.is_over(state)
    state = chosen.play(state, cycle)
    assert bool(game.is_over(state))
    assert game.outcome(state).tolist() == [0.0, 0.0]


@pytest.mark.parametrize("seed", range(6))
def test_random_games_of_animal_shogi(seed):
    rng = random.Random(seed)
    game = AnimalShogi()
    chosen = compiled(game)
    state, plain = chosen.start(), PlainAnimalShogi()
    while legal := plain.legal():
        assert legal_actions(state) == legal
        action = rng.choice(legal)
        plain.play(action)
        state = chosen.step(state, np.int32(action))
    assert bool(game.is_over(state))
    expected = 0 if plain.is_drawn() else -1
    assert game.outcome(state)[plain.num_plies % 2] == expected


# Found by search: four plies, then three moves of each lion that lead back.
OPENING, LAP = [121, 121, 77, 110], [112, 80, 128, 127, 81, 110]


def test_a_third_time_draws_at_animal_shogi_and_stock_pgx_misses_it():
    """The key of pgx changes with three moves of each side that change nothing."""
    game = AnimalShogi()
    chosen = compiled(game)
    state = chosen.play(chosen.start(), OPENING + LAP)
    assert not game.is_over(state)
    state = chosen.play(state, LAP)
    assert bool(game.is_over(state))
    assert game.outcome(state).tolist() == [0.0, 0.0]

    env = pgx.make("animal_shogi")
    step = jax.jit(env.step)
    stock = env.init(jax.random.PRNGKey(0))
    for action in OPENING + LAP * 2:
        stock = step(stock, _labels()[action])
    assert not stock.terminated
