"""Matches of a study: a side searches its own games, and finds what it would in all."""

from __future__ import annotations

from dataclasses import replace

import jax
import numpy as np
import pytest

from tolman.agents.alphazero import AlphaZero, GumbelAlphaZeroConfig
from tolman.envs.board.openspiel_games import openspiel_game
from tolman.envs.board.small import TicTacToe
from tolman.launchers.arena.match import PlayerSide
from tolman.launchers.arena.player import IllegalMove, PlayerFault, Resigned
from tolman.launchers.arena.players.perfect import PerfectTicTacToe
from tolman.launchers.arena.players.uniform import RandomPlayer
from tolman.launchers.arena.recorded import RecordedGame
from tolman.launchers.studies.alphazero.matches import AgentSide, play_match, score

NUM_GAMES = 6


@pytest.fixture(scope="module")
def side() -> AgentSide:
    config = replace(GumbelAlphaZeroConfig(), num_filters=4, num_blocks=1, value_units=4)
    agent = AlphaZero(config, TicTacToe())
    return AgentSide(agent, agent.init(jax.random.PRNGKey(0)).params, num_simulations=4)


def test_the_moves_of_some_games_are_those_of_all(side):
    side.start(NUM_GAMES, seed=0)
    side.follow(np.arange(NUM_GAMES, dtype=np.int32))
    games = [RecordedGame(openspiel_game("tic_tac_toe")) for _ in range(NUM_GAMES)]
    which = np.array([1, 4])
    chosen = side.choose(games, which)
    everywhere = side.moves(side._state)
    assert chosen == everywhere[which].tolist()
    assert (chosen != which).all()  # The square that is taken.


def test_random_play_against_itself_is_even_and_loses_to_perfect_play():
    start = openspiel_game("tic_tac_toe")
    random, perfect = PlayerSide(RandomPlayer()), PlayerSide(PerfectTicTacToe())
    assert 0.4 < score(play_match(random, random, start, 200, seed=0)) < 0.6
    assert score(play_match(perfect, random, start, 40, seed=0)) > 0.85
    assert score(play_match(random, perfect, start, 40, seed=0)) < 0.15
    assert score(play_match(perfect, perfect, start, 10, seed=0)) == 0.5


@pytest.mark.parametrize("error", [PlayerFault("hung"), IllegalMove("z9"), Resigned()])
def test_who_fails_loses_that_game_and_the_others_go_on(side, error):
    class Failing(RandomPlayer):
        """Fails when it is asked for the n-th time, and ever after if n is 1."""

        def __init__(self, number):
            super().__init__()
            self.number, self.asked = number, 0

        def choose(self, game):
            self.asked += 1
            if self.asked == self.number or self.number == 1:
                raise error
            return super().choose(game)

    start = openspiel_game("tic_tac_toe")
    always = PlayerSide(Failing(1))
    assert (play_match(side, always, start, NUM_GAMES, seed=0) == 1.0).all()
    assert (play_match(always, side, start, NUM_GAMES, seed=0) == -1.0).all()
    once, perfect = Failing(4), PlayerSide(PerfectTicTacToe())
    results = play_match(perfect, PlayerSide(once), start, NUM_GAMES, seed=0)
    assert (results == 1.0).any() and once.asked > 4


def test_an_agent_plays_both_colours_to_the_end(side):
    start = openspiel_game("tic_tac_toe")
    results = play_match(side, PlayerSide(RandomPlayer()), start, NUM_GAMES, 0, 2)
    assert results.shape == (NUM_GAMES,) and set(results) <= {-1.0, 0.0, 1.0}
