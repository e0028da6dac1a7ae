"""Pictures: where they come from, and the file that they go to."""

import signal
import subprocess
import sys
from types import SimpleNamespace

import dm_env
import gymnasium
import numpy as np
import pytest
from dm_env import specs
from films import read, shades

from tolman.envs.host import EnvironmentFault
from tolman.launchers.catalog.environments import find_environments
from tolman.launchers.film.camera import FilmedSource, observed_picture
from tolman.launchers.film.writer import Film


def plain(shade, height=20, width=30):
    return np.full((height, width, 3), shade, np.uint8)


def test_every_picture_is_in_the_file_in_order(tmp_path):
    path = tmp_path / "new" / "a.mp4"
    with Film(path, fps=12.5) as film:
        for shade in range(0, 200, 10):
            film.add(plain(shade))
            assert not path.exists()
    fps, frames = read(path)
    assert fps == 12.5
    assert frames.shape == (20, 16 * 20, 16 * 30, 3)  # 16 times as large: 320 high.
    np.testing.assert_allclose(shades(frames), np.arange(0, 200, 10), atol=3)
    assert list(path.parent.iterdir()) == [path]


def test_colours_and_sides_are_kept_and_odd_sizes_padded(tmp_path):
    picture = np.zeros((401, 333, 3), np.uint8)
    picture[:200, :, 0] = picture[200:, :166, 1] = picture[200:, 166:, 2] = 200
    with Film(tmp_path / "a.mp4") as film:
        film.add(picture)
    fps, (frame,) = read(tmp_path / "a.mp4")
    assert fps == 15.0 and frame.shape == (402, 334, 3)
    np.testing.assert_allclose(frame[100, 50], [200, 0, 0], atol=8)
    np.testing.assert_allclose(frame[300, 50], [0, 200, 0], atol=8)
    np.testing.assert_allclose(frame[300, 300], [0, 0, 200], atol=8)


def test_what_is_broken_off_leaves_nothing(tmp_path):
    with pytest.raises(KeyError), Film(tmp_path / "a.mp4") as film:
        while not any(tmp_path.iterdir()):  # Until ffmpeg has begun.
            film.add(plain(1, 500, 500))
        raise KeyError
    assert list(tmp_path.iterdir()) == []


def test_what_ctrl_c_ends_is_kept(tmp_path):
    path = tmp_path / "a.mp4"
    with pytest.raises(KeyboardInterrupt, match=r"a\.mp4 holds what was filmed\.$"):  # noqa: SIM117
        with Film(path) as film:
            for shade in range(0, 50, 10):
                film.add(plain(shade))
            raise KeyboardInterrupt
    np.testing.assert_allclose(shades(read(path)[1]), np.arange(0, 50, 10), atol=3)
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_cannot_be_written_is_told_at_its_end(tmp_path):
    path = tmp_path / f"{'a' * 250}.mp4"  # Too long with `.unfinished`.
    with pytest.raises(ValueError, match=r"could not be written \(.*too long\)\.$"):  # noqa: SIM117
        with Film(path) as film:
            for _ in range(200):
                film.add(plain(1, 500, 500))


@pytest.mark.parametrize("fps", [0.0, -3.0, 1001.0, float("nan")])
def test_rates(fps, tmp_path):
    with pytest.raises(ValueError, match=r"^fps=.*must lie in \(0, 1000\]\. Set --fps\.$"):
        Film(tmp_path / "a.mp4", fps)


def test_paths(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "folder.mp4").mkdir()
    for name in ("a.avi", "folder.mp4"):
        with pytest.raises(ValueError, match=r"must be a file that ends in \.mp4"):
            Film(tmp_path / name)
    with pytest.raises(ValueError, match=r"file cannot be written to\. Set another --out"):
        Film(tmp_path / "file" / "below" / "a.mp4")


class Plain(dm_env.Environment):
    """Episodes of three steps; its picture is as bright as `brightness`."""

    brightness = 0

    def reset(self):
        self.brightness += 50
        return dm_env.restart(np.zeros(2, np.float32))

    def step(self, action):
        self.brightness += 1
        if self.brightness % 50 == 3:
            self.brightness -= 3
            return dm_env.termination(1.0, np.zeros(2, np.float32))
        return dm_env.transition(0.0, np.zeros(2, np.float32))

    def observation_spec(self):
        return specs.Array((2,), np.float32)

    def action_spec(self):
        return specs.DiscreteArray(2)


class WithFrame(Plain):
    frames_per_second = 7.0

    def frame(self):
        return plain(self.brightness)


class WithPhysics(Plain):
    @property
    def physics(self):
        return SimpleNamespace(render=lambda: plain(self.brightness))


class WithRender(Plain):
    def render(self):
        return plain(self.brightness)


class WithObservation(Plain):
    def _seen(self, timestep):
        return timestep._replace(
            observation={"a": timestep.observation, "screen": plain(self.brightness)}
        )

    def reset(self):
        return self._seen(super().reset())

    def step(self, action):
        return self._seen(super().step(action))

    def observation_spec(self):
        spec = specs.BoundedArray((20, 30, 3), np.uint8, 0, 255)
        return {"a": super().observation_spec(), "screen": spec}


class Changing(Plain):
    """Its picture grows."""

    def render(self):
        return plain(0, height=20 + self.brightness)


class Floating(Plain):
    def render(self):
        return plain(0) / 255


class Drawn(gymnasium.Env):
    """Draws only where it was told so when it was made, as Gymnasium's own."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 40}  # noqa: RUF012
    observation_space = gymnasium.spaces.Box(-1, 1, (2,))
    action_space = gymnasium.spaces.Discrete(2)

    def __init__(self, render_mode=None):
        self.render_mode = render_mode
        self.environment = WithFrame()

    def reset(self, seed=None, options=None):
        return self.environment.reset().observation, {}

    def step(self, action):
        timestep = self.environment.step(action)
        return timestep.observation, timestep.reward or 0.0, timestep.last(), False, {}

    def render(self):
        return self.environment.frame()


class Blind(Drawn):
    metadata = {"render_modes": []}  # noqa: RUF012

    def __init__(self):
        super().__init__()


gymnasium.register("TolmanDrawn-v0", Drawn)
gymnasium.register("TolmanBlind-v0", Blind)
HERE = sys.modules[__name__]


@pytest.fixture
def shoot(tmp_path, monkeypatch):
    """Films two episodes of a name; returns what `read` does."""
    monkeypatch.setitem(sys.modules, "pictured", HERE)

    def shoot(name, fps=None):
        with Film(tmp_path / "a.mp4", fps) as film:
            vector = FilmedSource(find_environments(name), 0, 2).roll(film)
            rows = [vector.reset(), *(vector.step(np.zeros(1)) for _ in range(9))]
            vector.close()
        assert [int(row.step_type[0]) for row in rows] == [0, 1, 1, 2, 0, 1, 1, 2, 0, 1]
        assert [bool(row.new_task[0]) for row in rows] == [
            row.step_type[0] == 0 for row in rows
        ]
        return read(tmp_path / "a.mp4")

    return shoot


@pytest.mark.parametrize(
    "name, fps",
    [
        ("pictured:WithFrame", 7),
        ("pictured:WithPhysics", 15),
        ("pictured:WithRender", 15),
        ("pictured:WithObservation", 15),
        ("pictured:Drawn", 40),
        ("TolmanDrawn-v0", 40),
    ],
)
def test_where_pictures_come_from(name, fps, shoot):
    film = shoot(name)
    assert film.fps == fps
    # Two episodes of four rows, and not the third's; the last step of each goes back.
    expected = [50, 51, 52, 50, 100, 101, 102, 100]
    np.testing.assert_allclose(shades(film.frames), expected, atol=2)


def test_a_game_drawn_by_pygame_leaves_signals_alone():
    """SDL would take SIGTERM for a window that is closed, and the process would go on."""
    filming = """
import signal, sys, time
from tolman.launchers.catalog.environments import find_environments
from tolman.launchers.film.camera import Camera, make_drawing
camera = Camera("", make_drawing(find_environments("CartPole-v1", None), 0), 1)
camera.picture(camera.reset())
print("drawn", flush=True)
time.sleep(60)
"""
    process = subprocess.Popen([sys.executable, "-c", filming], stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"drawn\n"
    process.terminate()
    assert process.wait(30) == -signal.SIGTERM


def test_fps_that_was_asked_for_wins(shoot):
    assert shoot("pictured:WithFrame", fps=21).fps == 21


@pytest.mark.parametrize("name", ["pictured:Plain", "pictured:Blind", "TolmanBlind-v0"])
def test_nothing_to_see(name, shoot, tmp_path):
    with pytest.raises(ValueError, match=f"^env '{name}': there is nothing to see. Give"):
        shoot(name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "name, got", [("Changing", r"uint8 \[71, 30, 3\]"), ("Floating", "float64")]
)
def test_pictures_that_are_none(name, got, shoot, tmp_path):
    with pytest.raises(EnvironmentFault, match=f"picture: got {got}.*; must be uint8"):
        shoot(f"pictured:{name}")
    assert list(tmp_path.iterdir()) == []


def test_the_picture_is_found_in_rows_of_nests():
    spec = WithObservation().observation_spec()
    rows = {"a": np.zeros((5, 2)), "screen": np.ones((5, 20, 30, 3), np.uint8)}
    assert observed_picture(spec)(rows).shape == (5, 20, 30, 3)
    assert observed_picture(spec["a"]) is None
    assert observed_picture(specs.Array((84, 84, 4), np.uint8)) is None
