"""Games by name, and the check of one of one's own."""

import textwrap

import pytest

from tolman.envs.checks import ConformanceError
from tolman.launchers.catalog.games import make_game
from tolman.launchers.catalog.listing import list_names
from tolman.launchers.catalog.names import GAME, find
from tolman.launchers.check_env import check_named


@pytest.fixture
def my_rules(tmp_path, monkeypatch):
    (tmp_path / "my_rules.py").write_text(
        textwrap.dedent(
            '''
            from dataclasses import dataclass

            import jax.numpy as jnp
            from tolman.envs.board.small import TicTacToe


            @dataclass(frozen=True)
            class Mine(TicTacToe):
                """Three in a row, again."""


            class Unsound(Mine):
                def outcome(self, state):
                    return jnp.ones(2)


            def make(num_players: int = 2):
                return "no game"
            '''
        )
    )
    monkeypatch.syspath_prepend(tmp_path)


def test_by_name():
    assert make_game("go_9x9").info.name == "go_9x9"
    settings = find(GAME, "go_9x9").settings_type(komi=6.5)
    assert make_game("go_9x9", settings).komi == 6.5
    assert find(GAME, "go").default_settings().size == 19
    assert "connect_four" in list_names("games")["games"]


@pytest.mark.usefixtures("my_rules")
def test_by_module_and_attribute():
    assert make_game("my_rules:Mine").info.num_actions == 9
    with pytest.raises(ValueError, match="is a str; must be a Game or a HostGame"):
        make_game("my_rules:make")


@pytest.mark.usefixtures("my_rules")
def test_check_finds_games_and_environments():
    assert any("a finished game stays" in line for line in check_named("my_rules:Mine"))
    assert any("FIRST" in line for line in check_named("two_step"))
    with pytest.raises(ConformanceError, match="outcome"):
        check_named("my_rules:Unsound")


MY_ENVIRONMENT = """
import dm_env
import numpy as np
from dm_env import specs

closed = []


class Walk(dm_env.Environment):
    def __init__(self, is_sound: bool = True):
        self.is_sound = is_sound

    def reset(self):
        self.is_over = False
        return dm_env.restart(np.int32(0))

    def step(self, action):
        if self.is_over:
            return self.reset()
        self.is_over = True
        return dm_env.termination(1.0, np.int32(0)) if self.is_sound else None

    def observation_spec(self):
        return specs.DiscreteArray(2, name="observation")

    def action_spec(self):
        return specs.DiscreteArray(2, name="action")

    def close(self):
        closed.append(self.is_sound)


def unsound() -> Walk:
    return Walk(False)
"""


def test_what_was_checked_is_closed(tmp_path, monkeypatch):
    (tmp_path / "walk_and_close.py").write_text(MY_ENVIRONMENT)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConformanceError, match="step"):
        check_named("walk_and_close:unsound")
    import walk_and_close

    assert walk_and_close.closed == [False]
    check_named("walk_and_close:Walk")
    assert walk_and_close.closed == [False, True]


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("conect_four", None, "game 'conect_four' is unknown .did you mean 'connect_four'"),
        ("no_module:Game", None, "importing no_module failed"),
    ],
)
def test_an_unknown_game_is_named(name, settings, message):
    with pytest.raises(ValueError, match=message) as caught:
        make_game(name, settings)
    assert "\n" not in str(caught.value)
