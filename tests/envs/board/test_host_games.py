"""Rules in plain Python and in JAX, played as host games; what the check finds in them."""

import random

import numpy as np
import pytest
from plain_games import PlainTicTacToe

from tolman.envs.board.conformance import check_game
from tolman.envs.board.game import GameInfo, HostGame
from tolman.envs.board.jax_as_host import JaxAsHost
from tolman.envs.board.openspiel_games import openspiel_game
from tolman.envs.board.small import ConnectFour, TicTacToe
from tolman.envs.checks import ConformanceError
from tolman.launchers.arena.host_games import make_host_game


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (PlainTicTacToe, "tic_tac_toe"),
        (lambda: JaxAsHost(TicTacToe()), "tic_tac_toe"),
        (lambda: JaxAsHost(ConnectFour()), "connect_four"),
    ],
    ids=["python", "jax", "jax_connect_four"],
)
def test_three_back_ends_in_lockstep(make, name):
    rng = random.Random(0)
    for _ in range(12):
        one, other = make(), openspiel_game(name)
        assert isinstance(one, HostGame) and one.info == other.info
        while True:
            assert list(one.legal_actions()) == other.legal_actions()
            assert one.to_play() == other.to_play() and one.is_over() == other.is_over()
            assert tuple(one.outcome()) == other.outcome()
            np.testing.assert_array_equal(one.observe(), other.observe())
            assert one.observation_spec() == other.observation_spec()
            if one.is_over():
                break
            action = rng.choice(other.legal_actions())
            one.step(action)
            other.step(action)


@pytest.mark.parametrize(
    "make",
    [
        PlainTicTacToe,
        lambda: JaxAsHost(TicTacToe()),
        lambda: openspiel_game("connect_four"),
        lambda: openspiel_game("go", size=5),
    ],
)
def test_sound_rules_pass(make):
    checked = check_game(make())
    assert len(checked) == 7 and checked[-1].startswith("outcomes are zero-sum")


def test_a_game_that_does_not_end_is_noted():
    assert check_game(openspiel_game("chess"), num_plies=3)[-1].startswith("note: no game")


def test_jax_games_on_the_host():
    game = JaxAsHost(TicTacToe())
    game.step(4)
    twin = game.copy()
    twin.step(0)
    assert (
        game.legal_actions() == [0, 1, 2, 3, 5, 6, 7, 8] and len(twin.legal_actions()) == 7
    )
    assert game.text_to_action(game.action_to_text(8)) == 8
    for text in ("4", "x", "9"):
        with pytest.raises(ValueError, match="number of a legal action"):
            game.text_to_action(text)
    with pytest.raises(ValueError, match="not legal"):
        game.step(4)
    assert game.new().legal_actions() == list(range(9))


class Unsorted(PlainTicTacToe):
    def legal_actions(self):
        return super().legal_actions()[::-1]


class SharedCopy(PlainTicTacToe):
    def copy(self):
        twin = self.new()
        twin.cells, twin.num_moves = self.cells, self.num_moves
        return twin


class StaleCopy(PlainTicTacToe):
    def copy(self):
        twin = super().copy()
        twin.num_moves += 1
        return twin


class NoRefusal(PlainTicTacToe):
    def step(self, action):
        self.cells[action % 9] = self.to_play()
        self.num_moves += 1


class ChangesThenRefuses(PlainTicTacToe):
    def step(self, action):
        if action not in self.legal_actions():
            self.num_moves += 1
            raise ValueError("no")
        super().step(action)


class NotZeroSum(PlainTicTacToe):
    def outcome(self):
        return (1.0, 0.0) if self.winner() == 0 else super().outcome()


class MovesAfterEnd(PlainTicTacToe):
    def legal_actions(self):
        return [cell for cell in range(9) if self.cells[cell] == -1]

    def is_over(self):
        return self.winner() is not None or not self.legal_actions()


class WrongPlanes(PlainTicTacToe):
    def observe(self):
        return super().observe().astype(np.float64)


class OneText(PlainTicTacToe):
    def action_to_text(self, action):
        return "a1"


class TooFewActions(PlainTicTacToe):
    @property
    def info(self):
        return GameInfo("tic_tac_toe", 8, 8, 9, (3, 3))


class NoRender(PlainTicTacToe):
    render = None


class SecondBegins(PlainTicTacToe):
    def to_play(self):
        return 1 - super().to_play()


class Breaks(PlainTicTacToe):
    def observe(self):
        return {}["planes"]


@pytest.mark.parametrize(
    ("broken", "what"),
    [
        (Unsorted, "ascending"),
        (SharedCopy, "as it was"),
        (StaleCopy, "as it was|the same|not legal|must be"),
        (NoRefusal, "a ValueError"),
        (ChangesThenRefuses, "must be none"),
        (NotZeroSum, "outcome"),
        (MovesAfterEnd, "after the end"),
        (WrongPlanes, "dtype"),
        (OneText, "whose text that is"),
        (TooFewActions, "below 8"),
        (NoRender, "render"),
        (SecondBegins, "to_play at the start"),
        (Breaks, "KeyError"),
    ],
)
def test_broken_twins_fail_in_one_line(broken, what):
    with pytest.raises(ConformanceError, match=what) as error:
        check_game(broken())
    assert "\n" not in str(error.value)


def test_games_by_name():
    assert make_host_game("go", size=5).info.name == "go_5x5"
    assert make_host_game("openspiel/hex", size=4).info.board == (4, 4)
    assert isinstance(make_host_game("plain_games:PlainTicTacToe"), PlainTicTacToe)
    assert isinstance(make_host_game("tolman.envs.board.small:TicTacToe"), JaxAsHost)
    for name, settings, what in (
        ("ches", {}, "did you mean 'chess'"),
        ("nowhere:Game", {}, "importing nowhere failed"),
        ("plain_games:LINES", {}, "must be a class"),
        ("random:Random", {}, "must be a Game or a HostGame|random:Random"),
        ("connect_four", {"size": 3}, "size"),
        ("tolman.envs.board.small:TicTacToe", {"size": 3}, "size"),
    ):
        with pytest.raises(ValueError, match=what) as error:
            make_host_game(name, **settings)
        assert "\n" not in str(error.value)
