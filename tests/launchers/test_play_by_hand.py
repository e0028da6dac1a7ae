"""A person plays by keys: what each key does, what is filmed, drawn and earned."""

import io
import sys

import numpy as np
import pytest
from films import read, shades

from tolman.envs.adapters import DmEnvAdapter
from tolman.envs.maze import Maze
from tolman.envs.maze.motion import ACTIONS
from tolman.launchers.cli import main
from tolman.launchers.film.by_hand import half_blocks, keys_of, play_by_hand

MODULE = '''
import dm_env
import gymnasium
import numpy as np
from dm_env import specs


class Walk(dm_env.Environment):
    """Three steps; the action pays itself, and is the brightness of the picture."""

    def __init__(self, num_actions: int = 3):
        self.num_actions = num_actions

    def reset(self):
        self.time = 0
        return dm_env.restart(self.picture(0))

    def step(self, action):
        self.time += 1
        end = dm_env.termination if self.time == 3 else dm_env.transition
        return end(float(action), self.picture(action))

    def picture(self, action):
        return np.full((16, 16, 3), 60 * action, np.uint8)

    def observation_spec(self):
        return specs.BoundedArray((16, 16, 3), np.uint8, 0, 255, "observation")

    def action_spec(self):
        return specs.DiscreteArray(self.num_actions)


class Drawn(gymnasium.Env):
    """Draws only where it was told so when it was made, and counts its drawings."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 40}
    observation_space = gymnasium.spaces.Box(-1, 1, (2,))
    action_space = gymnasium.spaces.Discrete(3)
    num_drawn = 0

    def __init__(self, render_mode: str | None = None):
        self.render_mode, self.action = render_mode, 0

    def reset(self, seed=None, options=None):
        return np.zeros(2, np.float32), {}

    def step(self, action):
        self.action = int(action)
        return np.zeros(2, np.float32), 1.0, False, False, {}

    def render(self):
        Drawn.num_drawn += 1
        return np.full((16, 16, 3), 60 * self.action, np.uint8)


class Floating(Walk):
    def render(self):
        return np.zeros((16, 16, 3))


class Deaf(Walk):
    def __init__(self):
        super().__init__(40)
'''
NAME = "walk_by_hand:Walk"


@pytest.fixture(autouse=True)
def _module(tmp_path, monkeypatch):
    (tmp_path / "walk_by_hand.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)


def brightness(path):
    return [round(shade / 60) for shade in shades(read(path).frames)]


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_keys_are_actions_and_every_row_is_filmed(tmp_path):
    out = tmp_path / "film.mp4"
    # Episodes 2 1 0 and 1 2 2; what is no key does nothing, and what follows is not read.
    played = play_by_hand(NAME, 2, out=out, keyboard=io.StringIO("2?1\n0 122000"))
    assert played == (out, [3.0, 5.0], [3, 3])
    assert brightness(out) == [0, 2, 1, 0, 0, 1, 2, 2]


@pytest.mark.parametrize("keys", ["22x1", "22"])  # By the key that stops, by the end.
def test_an_episode_that_is_left_is_filmed_so_far(keys, tmp_path):
    played = play_by_hand(NAME, keyboard=io.StringIO(keys), out=tmp_path / "a.mp4")
    assert (played.returns, played.lengths) == ([4.0], [2])
    assert brightness(played.film) == [0, 2, 2]


def test_a_terminal_shows_picture_return_and_keys(tmp_path):
    screen = Terminal()
    play_by_hand(NAME, keyboard=io.StringIO("21x"), screen=screen, out=tmp_path / "a.mp4")
    drawn = screen.getvalue().split("\x1b[H")[1:]
    assert len(drawn) == 3
    assert "return 3 " in drawn[2] and "keys: 0 1 2; x stops" in drawn[2]
    assert "120;120;120" in drawn[1] and "120;120;120" not in drawn[0]


def test_an_environment_of_gymnasium_is_made_to_draw_once_a_row(tmp_path):
    name = "walk_by_hand:Drawn"
    played = play_by_hand(name, keyboard=io.StringIO("21x"), out=tmp_path / "a.mp4")
    assert (played.returns, brightness(played.film)) == ([2.0], [0, 2, 1])
    assert read(played.film).fps == 40
    assert sys.modules["walk_by_hand"].Drawn.num_drawn == 3


def test_a_picture_that_is_none_is_told_in_one_line(tmp_path):
    name, keyboard = "walk_by_hand:Floating", io.StringIO("1")
    with pytest.raises(ValueError, match=r"picture: got float64 .*; must be uint8"):
        play_by_hand(name, keyboard=keyboard, out=tmp_path / "a.mp4")
    assert not (tmp_path / "a.mp4").exists()


def test_half_blocks_hold_two_pixels_each():
    picture = np.zeros((4, 2, 3), np.uint8)
    picture[1, 0], picture[2, 1] = (1, 2, 3), (4, 5, 6)
    first, second = half_blocks(picture, 80, 40).split("\n")
    black = "0;0;0m"
    pixel = "\x1b[38;2;{}\x1b[48;2;{}▀"
    expected = pixel.format(black, "1;2;3m") + pixel.format(black, black) + "\x1b[0m"
    assert first == expected
    assert second.startswith(pixel.format(black, black) + pixel.format("4;5;6m", black))
    assert len(half_blocks(np.zeros((84, 84, 3), np.uint8), 50, 60).split("\n")) == 21


def test_a_maze_is_walked_by_its_own_keys():
    keys = keys_of(DmEnvAdapter(Maze(layout="tiny"), 0))
    names = list(ACTIONS)
    assert {key: names[action] for key, action in keys.items()} == {
        "a": "turn left", "d": "turn right", "w": "forward", "s": "backward",
        "q": "left", "e": "right", "r": "forward and turn left",
        "f": "forward and turn right",
    }  # fmt: skip


def test_by_the_command(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr("sys.stdin", io.StringIO("221"))
    assert main(["play", NAME, "--out", str(tmp_path / "b.mp4")]) == 0
    assert (
        capsys.readouterr().out == f"episode 1: return 5, length 3\n{tmp_path / 'b.mp4'}\n"
    )


def test_ctrl_c_keeps_the_film_and_says_so(capsys, monkeypatch, tmp_path):
    class Keyboard(io.StringIO):
        def read(self, size):
            key = super().read(size)
            if not key:
                raise KeyboardInterrupt
            return key

    monkeypatch.setattr("sys.stdin", Keyboard("22"))
    path = tmp_path / "b.mp4"
    assert main(["play", NAME, "--out", str(path)]) == 130
    told = f"tolman: error: interrupted. {path} holds what was filmed.\n"
    assert capsys.readouterr().err == told
    assert len(read(path)[1]) == 3  # The start, and two steps.


def test_the_environments_settings_stand_behind_it(capsys, monkeypatch, tmp_path):
    """A fourth action, of a setting, pays 3."""
    monkeypatch.setattr("sys.stdin", io.StringIO("32x"))
    words = ["--env.num-actions", "4", "--out", str(tmp_path / "c.mp4")]
    assert main(["play", NAME, *words]) == 0
    assert capsys.readouterr().out.startswith("episode 1: return 5, length 2\n")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([NAME, "--env.num-actoins", "4"], "did you mean '--env.num-actions'?"),
        ([NAME, "--env.num-actions", "four"], "num_actions='four': must be a whole"),
        ([NAME, "--seed", "-1"], "seed=-1"),
        ([NAME, "--greedy"], "Leave --greedy out"),
        ([NAME, "--num-episodes", "0"], "num_episodes=0"),
        (["walk_by_hand:Deaf"], "only up to 35 numbered ones"),
        (["cartpole"], "nothing to see"),
        (["maze/tinny"], "maze/tinny"),
    ],
)
def test_mistakes_are_one_line(words, told, capsys):
    assert main(["play", *words]) == 2
    error = capsys.readouterr().err
    assert told in error and error.count("\n") == 1
