"""Stand-ins for ViZDoom: who fails, who is replaced, and what is made of what they tell."""

from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles.mazes import loop_labels

from tolman.envs.doom import DoomSettings, DoomVector
from tolman.envs.doom.engine import Sight
from tolman.envs.doom.engines import Engines
from tolman.envs.host import EnvironmentFault
from tolman.envs.maze import Maze, task
from tolman.envs.maze.depth_target import depth_classes, target_pixels
from tolman.envs.maze.motion import ACTIONS, SPEED, at_rest

FORWARD, BACKWARD, LEFT = (
    list(ACTIONS).index(name) for name in ("forward", "backward", "turn left")
)


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
    """An engine whose body goes east or west, whatever its heading.

    Attributes:
      broken: calls that fail.
      stride: cells a decision.
      velocity: that it tells.
      items: what it was told of them last.
    """

    broken: ClassVar[list[str]] = []
    stride: ClassVar[float] = 0.5
    velocity: ClassVar[tuple[float, float]] = (0.0, 0.0)
    items: ClassVar[dict[int, Any]] = {}

    def __init__(self, wad, height, image_size, has_depth):
        self.position, self._heading = np.zeros(2, np.float32), np.float32(0)
        self._looks, self._size = 0, image_size
        ramp = np.geomspace(0.1, 4.0, image_size**2, dtype=np.float32)
        self._depth = ramp.reshape(image_size, image_size) if has_depth else None

    def _call(self, name):
        if name in self.broken:
            self.broken.remove(name)
            raise RuntimeError(f"no {name}")

    def enter(self, maze):
        self._call("enter")

    def act(self, action, num_tics):
        self._call("act")
        ahead = (action == FORWARD) - (action == BACKWARD)
        self.position = self.position + np.float32([self.stride * ahead, 0])

    def put_body(self, position, heading):
        self._call("put_body")
        self.position, self._heading = np.float32(position), np.float32(heading)

    def put_items(self, places):
        self._call("put_items")
        self.items.update(places)

    def look(self):
        self._looks += 1
        rgb = np.full((self._size, self._size, 3), self._looks, np.uint8)
        velocity = np.float32(self.velocity)
        return Sight(rgb, self._depth, self.position, self._heading, velocity)

    def close(self):
        pass


@pytest.fixture
def make_way(tmp_path, monkeypatch):
    """Makes vectors of one on a way of some cells."""
    monkeypatch.setattr("tolman.envs.doom.vector.Engine", Walker)
    monkeypatch.setattr(Walker, "broken", [])
    monkeypatch.setattr(Walker, "items", {})
    vectors = []

    def made(cells, fields=("rgb", "pose", "respawned"), **settings):
        file, edge = tmp_path / "way.txt", "*" * (2 * len(cells) + 1)
        file.write_text(f"{edge}\n*{' '.join(cells)}*\n{edge}\n")
        settings = {"num_frames": 80, "image_size": 8, **settings}
        doom = DoomSettings(layout=str(file), fields=fields, **settings)
        vectors.append(DoomVector("doom/layout", doom, 1, 0, "restart"))
        return vectors[-1]

    yield made
    for vector in vectors:
        vector.close()


@pytest.fixture
def way(make_way):
    """Of three cells: the fourth decision finds the goal."""
    return make_way("> G")


def went(vector, times, action=FORWARD):
    return [vector.step(np.array([action])) for _ in range(times)]


def rewards(rows):
    return [float(row.reward[0]) for row in rows]


def test_an_engine_that_finds_the_goal_puts_the_body_back(way):
    way.reset()
    rows = went(way, 4)
    assert rewards(rows) == [0, 0, 0, 10]
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
    assert rewards(rest) == [0, 0, 0, 10]
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


def test_what_lies_on_the_way_of_a_decision_is_picked_up_until_the_goal(
    make_way, monkeypatch
):
    """From 2.1 to 2.9, the four frames of which lie 0.2 apart, past the apple at 2.5."""
    monkeypatch.setattr(Walker, "stride", 0.8)
    vector = make_way("> A G", reward_scale=0.5)
    vector.reset()
    assert rewards(went(vector, 5)) == [0, 0, 0.5, 0, 5]
    monkeypatch.setattr(Walker, "stride", 2.0)  # Over the goal to the apple beyond.
    vector = make_way(">GA")
    vector.reset()
    assert rewards(went(vector, 2)) == [10, 10]


def test_the_first_row_of_an_episode_pays_nothing(make_way, monkeypatch):
    """Episodes of one decision, of which some end with the body on a new apple or goal."""
    monkeypatch.setattr(Walker, "stride", 1.0)
    vector = make_way("AG", num_frames=4)
    paid = rewards([vector.reset(), *went(vector, 39)])
    assert paid[::2] == [0] * 20 and 10 in paid[1::2]


def test_what_was_picked_up_is_put_away_until_the_goal(make_way):
    vector = make_way("> A G")
    vector.reset()
    apple, goal = np.array([2.5, 0.5]), np.array([4.5, 0.5])
    seen = []
    for _ in range(8):
        (row,) = went(vector, 1)
        np.testing.assert_array_equal(Walker.items[1], goal)
        seen.append(Walker.items[0] is not None)
        if row.observation["respawned"][0]:
            np.testing.assert_array_equal(Walker.items[0], apple)
    # Picked up at 2.5, the fourth place; back with the eighth, where the goal is.
    assert seen == [True] * 3 + [False] * 4 + [True]


def test_starts_are_the_ray_casters(make_way, tmp_path):
    """One seed: at each reset and at each find, in the decision that leads to it."""
    vector = make_way("P PG", ("pose", "respawned"), num_frames=160)
    maze = Maze(
        layout=str(tmp_path / "way.txt"), num_frames=160, fields=("pose", "respawned")
    )
    reset, step, starts = jax.jit(maze.reset), jax.jit(maze.step), []
    key = jax.random.split(jax.random.split(jax.random.PRNGKey(0), 3)[2], 1)[0]
    at_goal = at_rest(task.Pose(jnp.float32([3.5, 0.5]), jnp.float32(0.0)))
    for _ in range(2):
        key, used = jax.random.split(key)
        (state, first), row = reset(used), vector.reset()
        starts.append((row, first))
        for time in range(40):
            (row,) = went(vector, 1)
            if row.reward[0]:
                here = state._replace(body=at_goal, time=jnp.int32(time))
                starts.append((row, step(here, jnp.int32(0))[1]))
        assert int(row.step_type[0]) == 2
    for row, ours in starts:
        np.testing.assert_allclose(
            row.observation["pose"][0], ours.observation["pose"], atol=1e-6
        )
        assert row.observation["respawned"][0] and ours.observation["respawned"]
    places = np.stack([row.observation["pose"][0] for row, _ in starts])
    assert len(places) > 8 and set(places[:, 0]) == {0.5, 2.5}
    assert len(set(places[:, 2])) == len(places)  # Headings are drawn, too.


def test_loops_are_those_of_the_slow_loop_and_end_with_the_episode(make_way):
    vector = make_way(">    G", ("pose", "loop_closure"), num_frames=40)
    rows = [vector.reset(), *went(vector, 5), *went(vector, 5, BACKWARD)]
    path = [tuple(row.observation["pose"][0, :2]) for row in rows]
    labels = [bool(row.observation["loop_closure"][0]) for row in rows]
    assert labels == loop_labels(path) == [False] * 9 + [True] * 2
    assert int(rows[-1].step_type[0]) == 2
    (first,) = went(vector, 1)
    assert int(first.step_type[0]) == 0 and not first.observation["loop_closure"][0]


@pytest.mark.parametrize("field", ["depth", "depth_classes", "rgbd"])
def test_depth_is_told_as_a_map_as_classes_and_as_a_channel(make_way, field):
    row = make_way("> G", (field,), image_size=32).reset().observation
    depth = np.geomspace(0.1, 4.0, 32**2).reshape(32, 32)
    wanted = {
        "depth": depth,
        "depth_classes": depth_classes(depth[np.ix_(*target_pixels(32, 32))]),
        "rgbd": np.dstack([np.full((32, 32, 3), 1), 255 * (1 - 0.04 / depth)]),
    }
    assert len(np.unique(wanted["depth_classes"])) > 4
    # A byte is what is left of a number without its fraction.
    off = 1.0 if field == "rgbd" else 0.0
    np.testing.assert_allclose(row[field][0], wanted[field], rtol=1e-6, atol=off)


def test_velocity_is_told_ahead_and_to_the_right(make_way, monkeypatch):
    """Looking south, on the way to the south and half as fast to the east."""
    monkeypatch.setattr(Walker, "velocity", (0.5 * SPEED, SPEED))
    vector = make_way("v G", ("velocity",))
    rows = [vector.reset(), *went(vector, 1, LEFT)]
    told = [row.observation["velocity"][0] for row in rows]
    np.testing.assert_allclose(told[0], [1, -0.5, 0, 0, 0, 0], atol=1e-6)
    np.testing.assert_allclose(told[1], [1, -0.5, 0, -1, 0, 0], atol=1e-6)
