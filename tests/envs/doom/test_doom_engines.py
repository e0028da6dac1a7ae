"""Engines side by side, with stand-ins for ViZDoom: who fails, who is replaced."""

from typing import ClassVar

import numpy as np
import pytest

from tolman.envs.doom import DoomSettings, DoomVector
from tolman.envs.doom.engine import Sight
from tolman.envs.doom.engines import Engines
from tolman.envs.host import EnvironmentFault


class StandIn:
    """An engine of a number; `closed` has those that were ended."""

    def __init__(self, number, closed):
        self.number, self._closed = number, closed

    def close(self):
        self._closed.append(self.number)
        if self.number == 1:
            raise RuntimeError("gone already")


def make(number, on_error="restart"):
    closed, numbers = [], iter(range(100))
    engines = Engines(lambda: StandIn(next(numbers), closed), number, "doom/x", on_error)
    return engines, closed


def failing(*numbers):
    def turn(engine, copy):
        if engine.number in numbers:
            raise RuntimeError(f"no {engine.number}")

    return turn


def test_turns_are_of_the_chosen():
    engines, _ = make(3)
    taken = []
    failed = engines.each(
        np.array([True, False, True]),
        lambda engine, copy: taken.append((engine.number, copy)),
        4,
    )
    assert sorted(taken) == [(0, 0), (2, 2)] and not failed.any()
    assert not engines.each(np.zeros(3, bool), failing(0, 1, 2), 5).any()


@pytest.mark.parametrize("chosen", [[False, True, False], [True, True, True]])
def test_who_fails_is_replaced_and_no_other(chosen, caplog):
    engines, closed = make(3)
    failed = engines.each(np.array(chosen), failing(1), 4)
    assert failed.tolist() == [False, True, False]
    assert [engines[copy].number for copy in range(3)] == [0, 3, 2]
    assert closed == [1] and engines.num_restarts == 1
    assert "env 'doom/x', copy 1, step 4: ViZDoom raised RuntimeError: no 1" in caplog.text


def test_by_default_a_fault_is_raised():
    engines, closed = make(2, "fail")
    with pytest.raises(EnvironmentFault, match=r"copy 0, step 9: ViZDoom raised Runtim"):
        engines.each(np.array([True, True]), failing(0), 9)
    assert closed == [] and engines[0].number == 0


def test_ten_restarts_without_an_episode_are_the_last():
    engines, _ = make(1)
    everyone, always = np.array([True]), failing(*range(100))
    for _ in range(9):
        assert engines.each(everyone, always, 1).all()
    engines.note_episodes(everyone)
    for _ in range(10):
        assert engines.each(everyone, always, 1).all()
    with pytest.raises(EnvironmentFault, match=r"restarted 10 times and completed no epi"):
        engines.each(everyone, always, 1)
    assert engines.num_restarts == 19


def test_an_engine_that_does_not_start_ends_the_others():
    closed, numbers = [], iter(range(5))

    def start():
        number = next(numbers)
        if number == 2:
            raise RuntimeError("no screen")
        return StandIn(number + 10, closed)

    with pytest.raises(EnvironmentFault, match=r"copy 2, step 0: .* no screen; must be"):
        Engines(start, 3, "doom/x", "fail")
    assert sorted(closed) == [10, 11]


def test_one_that_does_not_end_leaves_none_of_the_others_running():
    engines, closed = make(3)
    with pytest.raises(RuntimeError, match="gone already"):
        engines.close()
    assert sorted(closed) == [0, 1, 2]

    def start():
        if len(started) == 2:
            raise RuntimeError("no screen")
        started.append(StandIn(len(started), closed))
        return started[-1]

    started = []
    closed.clear()
    with pytest.raises(EnvironmentFault, match="no screen"):
        Engines(start, 3, "doom/x", "fail")
    assert sorted(closed) == [0, 1]


class Walker:
    """An engine whose body goes a half cell a decision; `broken` are calls that fail."""

    broken: ClassVar[list[str]] = []

    def __init__(self, wad, height, image_size, has_depth):
        self.position, self._looks, self._size = np.zeros(2, np.float32), 0, image_size

    def _call(self, name):
        if name in self.broken:
            self.broken.remove(name)
            raise RuntimeError(f"no {name}")

    def enter(self, maze):
        self._call("enter")

    def act(self, action, num_tics):
        self._call("act")
        self.position = self.position + np.float32([0.5 * (action == 2), 0])

    def put_body(self, position, heading):
        self._call("put_body")
        self.position = np.float32(position)

    def put_items(self, places):
        self._call("put_items")

    def look(self):
        self._looks += 1
        rgb = np.full((self._size, self._size, 3), self._looks, np.uint8)
        return Sight(rgb, None, self.position, np.float32(0), np.zeros(2, np.float32))

    def close(self):
        pass


@pytest.fixture
def way(tmp_path, monkeypatch):
    """A vector of one on a way of two cells: the fourth decision finds the goal."""
    monkeypatch.setattr("tolman.envs.doom.vector.Engine", Walker)
    file = tmp_path / "way.txt"
    file.write_text("*******\n*>   G*\n*******\n")
    settings = DoomSettings(
        layout=str(file), num_frames=80, image_size=8,
        fields=("rgb", "pose", "respawned"),
    )  # fmt: skip
    Walker.broken = []
    return DoomVector("doom/layout", settings, 1, 0, "restart")


def went(vector, times):
    return [vector.step(np.array([2])) for _ in range(times)]


def test_an_engine_that_finds_the_goal_puts_the_body_back(way):
    way.reset()
    rows = went(way, 4)
    assert [float(row.reward[0]) for row in rows] == [0, 0, 0, 10]
    assert [float(row.observation["pose"][0, 0]) for row in rows] == [1.0, 1.5, 2.0, 0.5]
    assert [bool(row.observation["respawned"][0]) for row in rows] == [False] * 3 + [True]


@pytest.mark.parametrize("call", ["put_body", "enter"])
def test_one_that_breaks_where_the_goal_is_found_pays_nothing(way, call):
    way.reset()
    before = went(way, 3)[-1]
    Walker.broken = [call]
    (cut,) = went(way, 1)
    assert (int(cut.step_type[0]), float(cut.reward[0]), float(cut.discount[0])) == (
        2,
        0,
        1,
    )
    for name, seen in cut.observation.items():
        np.testing.assert_array_equal(seen, before.observation[name])
    first, *rest = went(way, 5)
    assert int(first.step_type[0]) == 0 and bool(first.new_task[0])
    assert float(first.observation["pose"][0, 0]) == 0.5
    assert [float(row.reward[0]) for row in rest] == [0, 0, 0, 10]
    assert way.num_restarts == 1


def test_one_that_breaks_at_a_start_tries_again(way):
    Walker.broken = ["put_body", "put_items"]
    row = way.reset()
    assert int(row.step_type[0]) == 0 and way.num_restarts == 2
    assert float(row.observation["pose"][0, 0]) == 0.5


def test_episodes_that_end_are_noted(way, monkeypatch):
    noted = []
    monkeypatch.setattr(way._engines, "note_episodes", lambda over: noted.append(over[0]))
    way.reset()
    went(way, 20)
    assert noted == [False] * 20 + [True]
