"""OpenSpiel's rules against the JAX games of the same name, position by position."""

import random

import jax
import numpy as np
import pytest
from board_games import compiled

from tolman.envs.board.game import HostGame
from tolman.envs.board.openspiel_games import OPENSPIEL_GAMES, openspiel_game
from tolman.launchers.catalog.names import GAME, registered

GAMES = registered(GAME)

# Games that are played in both back ends, as many as take a few seconds.
NUM_GAMES = {
    "tic_tac_toe": 20,
    "connect_four": 10,
    "othello": 4,
    "hex": 3,
    "go_9x9": 3,
    "chess": 2,
    "shogi": 1,
}


def play_both(name, num_games, seed):
    """Yields the host game, and what the JAX game of that name shows in its place."""
    chosen = compiled(GAMES[name]())
    rng = random.Random(seed)
    for _ in range(num_games):
        host, state = openspiel_game(name), chosen.start()
        while True:
            shown = *chosen.rules(state), chosen.game.to_play(state), chosen.observe(state)
            yield host, jax.device_get(shown)
            if host.is_over():
                break
            action = rng.choice(host.legal_actions())
            host.step(action)
            state = chosen.step(state, np.int32(action))


@pytest.mark.parametrize("name", NUM_GAMES)
def test_equals_the_jax_game(name):
    assert openspiel_game(name).info == GAMES[name]().info
    spec = openspiel_game(name).observation_spec()
    assert spec == GAMES[name]().observation_spec()
    for host, (legal, is_over, outcome, to_play, planes) in play_both(
        name, NUM_GAMES[name], seed=4
    ):
        assert host.legal_actions() == np.flatnonzero(legal).tolist()
        assert host.to_play() == to_play and host.is_over() == is_over
        assert host.outcome() == tuple(outcome)
        shown = host.observe()
        assert shown.dtype == planes.dtype
        # The compiler divides counts by their scale in another way.
        np.testing.assert_allclose(shown, planes, rtol=3e-7, atol=0)


@pytest.mark.parametrize("name", OPENSPIEL_GAMES)
def test_texts_name_the_moves(name):
    game, rng = openspiel_game(name), random.Random(3)
    assert isinstance(game, HostGame)
    num_moves = 0
    while not game.is_over() and num_moves < 60:
        legal = game.legal_actions()
        assert legal == sorted(set(legal))
        some = rng.sample(legal, min(len(legal), 20))
        texts = [game.action_to_text(action) for action in some]
        assert [game.text_to_action(text) for text in texts] == some
        game.step(rng.choice(legal))
        num_moves += 1


@pytest.mark.parametrize("name", OPENSPIEL_GAMES)
def test_a_copy_feels_nothing(name):
    game = openspiel_game(name)
    game.step(game.legal_actions()[0])
    twin, before = game.copy(), (game.observe(), game.legal_actions(), game.to_play())
    twin.step(twin.legal_actions()[-1])
    np.testing.assert_array_equal(game.observe(), before[0])
    assert (game.legal_actions(), game.to_play()) == before[1:]
    game.step(game.legal_actions()[-1])
    np.testing.assert_array_equal(game.observe(), twin.observe())
    assert game.new().to_play() == 0 and not game.new().is_over()


def test_mistakes_are_refused_in_one_line():
    with pytest.raises(
        ValueError, match="'checkers' is not one of OpenSpiel's here"
    ) as error:
        openspiel_game("checkers")
    assert "\n" not in str(error.value)
    with pytest.raises(ValueError, match="connect_four"):
        openspiel_game("connect_four", size=1)
    game = openspiel_game("tic_tac_toe")
    game.step(4)
    for action in (4, 9, -1):
        with pytest.raises(ValueError, match="not legal"):
            game.step(action)
    with pytest.raises(ValueError, match="move 'b2' of tic_tac_toe"):
        game.text_to_action("b2")


def play_texts(game, texts):
    for text in texts.split():
        game.step(game.text_to_action(text))
    return game


def test_chess_mate_draws_and_castling():
    game = play_texts(openspiel_game("chess"), "f2f3 e7e5 g2g4 d8h4")
    assert game.is_over() and game.outcome() == (-1.0, 1.0) and game.legal_actions() == []

    knights = "g1f3 g8f6 f3g1 f6g8 "
    game = play_texts(openspiel_game("chess"), knights)
    assert game.observe()[0, 0, 12:14].tolist() == [1, 0] and not game.is_over()
    play_texts(game, knights)
    assert game.is_over() and game.outcome() == (0.0, 0.0)
    assert game.observe()[0, 0, 12:14].tolist() == [1, 1]

    game = play_texts(openspiel_game("chess"), "e2e4 e7e5 g1f3 g8f6 f1c4 f8c5 e1g1 e8g8")
    assert game.render().splitlines()[0].split() == list("8rnbq.rk.")
    # Nobody may castle any more; two white and black men are as they were.
    assert not game.observe()[..., 114:118].any()

    game = openspiel_game("chess", max_num_moves=3)
    play_texts(game, "e2e4 e7e5 g1f3")
    assert game.is_over() and game.outcome() == (0.0, 0.0)


def test_go_captures_ko_and_area():
    game = openspiel_game("go", size=5)
    # Black surrounds a stone, White may not take back at once.
    play_texts(game, "b3 c3 c4 d4 c2 d2 a1 e3 d3")
    rows = [line.split()[1:] for line in game.render().splitlines()]
    assert rows[2] == [".", "X", ".", "X", "O"]
    with pytest.raises(ValueError):
        game.text_to_action("c3")
    play_texts(game, "pass pass")
    assert game.is_over()

    game = play_texts(openspiel_game("go_9x9"), "e5 pass pass")
    assert game.outcome() == (1.0, -1.0)  # 81 points against 7.5.
    game = play_texts(openspiel_game("go_9x9"), "pass pass")
    assert game.outcome() == (-1.0, 1.0)


@pytest.mark.parametrize("size", [2, 3, 5])
def test_go_may_not_come_back_to_an_earlier_board(size):
    """Superko, against trying out every move."""
    pass_action, rng = size * size, random.Random(0)
    num_barred = 0
    for _ in range(60 if size < 5 else 10):
        game, seen = openspiel_game("go", size=size), set()
        while not game.is_over():
            seen.add(game.render())
            barred = {pass_action}
            for action in range(pass_action):
                move = game.rules.to_openspiel(game.state, action)
                if move not in game.state.legal_actions():
                    barred.add(action)
                    continue
                twin = game.copy()
                twin.state.apply_action(move)
                barred |= {action} if twin.render() in seen else set()
                num_barred += twin.render() in seen
            legal = game.legal_actions()
            assert set(range(pass_action)) - set(legal) == barred - {pass_action}
            game.step(rng.choice(legal[:-1] or legal))
    assert num_barred > 0 or size == 5
