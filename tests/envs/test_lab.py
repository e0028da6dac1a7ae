"""DeepMind Lab's levels against a stand-in that is as strict as the engine's module."""

import dataclasses
import sys
import unittest

import numpy as np
import pytest
from dm_env import test_utils
from fake_lab import GOAL, install

from tolman.envs.conformance import check_environment
from tolman.envs.lab import LabEnvironment, LabSettings
from tolman.envs.maze import Maze
from tolman.envs.maze.motion import ACTIONS
from tolman.launchers.catalog.environments import find_environments
from tolman.launchers.settings.bounds import check_settings

NAME = "lab/nav_maze_static_01"
FIELDS = (
    "rgb", "rgbd", "depth", "depth_classes", "pose", "velocity", "respawned", "loop_closure"
)  # fmt: skip
EVERY = LabSettings(image_size=16, fields=FIELDS, width=10, height=10)
NAMES = list(ACTIONS)


@pytest.fixture(autouse=True)
def lab(monkeypatch):
    return install(monkeypatch)


def put(environment, x, y, yaw):
    """Stands the body at a place in units, y to the north, yaw to the left."""
    environment._lab.position, environment._lab.yaw = np.array([x, y]), yaw
    environment._place = np.array([x / 100, 10 - y / 100])


def walk(environment, name, times=1):
    for _ in range(times):
        timestep = environment.step(NAMES.index(name))
    return timestep


class TestContract(test_utils.EnvironmentTestMixin, unittest.TestCase):
    def make_object_under_test(self):
        return LabEnvironment(NAME, EVERY)

    def make_action_sequence(self):
        return iter([0, 2, 6] * 20)


def test_it_passes_the_checks_of_environments(lab):
    assert check_environment(LabEnvironment(NAME, EVERY), 60, 0)


def test_fields_are_those_of_the_mazes():
    maze = Maze(layout="tiny", image_size=16, fields=FIELDS)
    ours, theirs = LabEnvironment(NAME, EVERY).observation_spec(), maze.observation_spec()
    assert list(ours) == list(theirs) == list(FIELDS)
    for name, spec in ours.items():
        assert type(spec) is type(theirs[name])
        assert (spec.shape, spec.dtype) == (theirs[name].shape, theirs[name].dtype)


@pytest.mark.parametrize("field", FIELDS)
def test_a_field_alone_is_as_among_all(field):
    rows = []
    for fields in ((field,), FIELDS):
        environment = LabEnvironment(NAME, dataclasses.replace(EVERY, fields=fields))
        rows.append([environment.reset(), walk(environment, "forward and turn left", 3)])
    for alone, among in zip(*rows, strict=True):
        assert list(alone.observation) == [field]
        np.testing.assert_array_equal(alone.observation[field], among.observation[field])


def test_what_is_asked_of_the_engine(lab):
    settings = LabSettings(image_size=20, config=("mixerSeed=7", "a=b=c"))
    environment = LabEnvironment(NAME, settings, seed=3)
    environment.reset()
    config = {"width": "20", "height": "20", "mixerSeed": "7", "a": "b=c"}
    assert lab.log[0] == ("made", "nav_maze_static_01", config, "software")
    assert environment._lab._wanted == ["RGB_INTERLEAVED", "VEL.TRANS", "VEL.ROT"]


def test_an_episode_ends_by_either_clock_as_a_truncation():
    for settings in (
        LabSettings(num_frames=26, fields=("rgb",), image_size=8),
        LabSettings(fields=("rgb",), image_size=8, config=("frames=26",)),
    ):
        environment = LabEnvironment(NAME, settings)
        rows = [environment.reset(), *(environment.step(0) for _ in range(8))]
        assert [int(row.step_type) for row in rows] == [0, 1, 1, 1, 1, 1, 1, 2, 0]
        assert rows[7].discount == 1.0 and rows[7].reward == 0.0
        assert environment.new_task
        # Where the engine has ended, what it showed last; green is the frame.
        ended_first = settings.num_frames > 26
        greens = [int(row.observation["rgb"][0, 0, 1]) for row in rows]
        assert greens == [0, 4, 8, 12, 16, 20, 24, 24 if ended_first else 28, 0]


def test_actions_move_as_they_are_named():
    environment = LabEnvironment(NAME, EVERY)
    turned = 8.4  # Degrees in four frames.
    for name, (turn, ahead, right) in ACTIONS.items():
        environment.reset()
        put(environment, 500.0, 500.0, 90.0)  # Looks north.
        row = walk(environment, name).observation
        heading = np.deg2rad(-90.0 + turned * turn)  # 0 is east, grows to the right.
        x, y, now = row["pose"]
        assert now == pytest.approx(heading, abs=1e-5)
        np.testing.assert_allclose(
            row["velocity"], [ahead, right, 0, turn, 0, 0], atol=1e-6
        )
        length = 320 / 100 * 4 / 60
        if turn == 0:  # North is up, towards smaller y.
            np.testing.assert_allclose(
                [x - 5, y - 5], [length * right, -length * ahead], atol=1e-5
            )


def test_poses_keep_within_the_bounds_of_their_spec():
    environment = LabEnvironment(NAME, EVERY)
    environment.reset()
    place, angles = np.array([1_010.0, -5.0, 40.0]), np.array([0.0, 270.0, 0.0])
    told = environment._observe_place(place, angles, True)
    # Looks south: three quarters to the left are one to the right.
    np.testing.assert_allclose(told["pose"], [10, 10, np.pi / 2], rtol=1e-6)


def test_depth_and_its_classes_by_hand():
    environment = LabEnvironment(NAME, LabSettings(image_size=256, fields=FIELDS))
    row = environment.reset().observation
    depth = row["depth"][:, 0]  # The stand-in's buffer holds the number of the row.
    np.testing.assert_allclose(depth[[0, 51, 204]], [0.04, 0.05, 0.2], rtol=1e-5)
    assert depth[255] == 64.0  # Infinitely far in the buffer.
    # Rows 80, 112, 144, 176 of 256: (row / 255) ** 10 is far below 0.05.
    assert row["depth_classes"].max() == 0
    np.testing.assert_array_equal(row["rgbd"][..., :3], row["rgb"])
    np.testing.assert_array_equal(row["rgbd"][:, 3, 3], np.arange(256))
    # Of 360 rows, 112, 157, 202 and 247: powers 0.000, 0.008, 0.097 and 0.727.
    environment = LabEnvironment(NAME, LabSettings(image_size=360, fields=FIELDS))
    classes = environment.reset().observation["depth_classes"]
    np.testing.assert_array_equal(classes, np.repeat([[0], [0], [1], [6]], 16, axis=1))


def test_the_goal_is_a_respawn_and_so_is_a_jump():
    environment = LabEnvironment(NAME, EVERY)
    assert environment.reset().observation["respawned"]
    put(environment, GOAL[0], GOAL[1] + 55.0, -90.0)  # Looks south, at the goal.
    row = walk(environment, "forward")
    assert row.reward == 10.0 and row.observation["respawned"]
    scaled = LabEnvironment(NAME, dataclasses.replace(EVERY, reward_scale=0.5))
    scaled.reset()
    put(scaled, GOAL[0], GOAL[1] + 55.0, -90.0)
    row = walk(scaled, "forward")
    assert row.reward == 5.0 and row.observation["respawned"]
    assert not walk(environment, "turn left").observation["respawned"]
    for units, is_jump in ((40.0, False), (60.0, True)):  # At most 21 are walked.
        environment._lab.position = environment._lab.position + np.array([units, 0.0])
        assert walk(environment, "turn left").observation["respawned"] == is_jump


def test_a_goal_that_puts_the_agent_near_is_a_respawn_too(monkeypatch):
    environment = LabEnvironment(NAME, EVERY)
    environment.reset()

    def stay_near():
        environment._lab.position = GOAL + np.array([0.0, 41.0])

    monkeypatch.setattr(environment._lab, "_put", stay_near)
    put(environment, GOAL[0], GOAL[1] + 45.0, -90.0)
    row = walk(environment, "forward")
    assert row.reward >= 10.0 and row.observation["respawned"]


def test_a_way_that_led_nowhere_far_closes_no_loop():
    environment, labels = LabEnvironment(NAME, EVERY), []
    environment.reset()
    put(environment, 100.0, 800.0, 0.0)
    environment._place = None  # The path begins here.
    for name in ("forward",) * 7 + ("backward",) * 7:  # 1.5 cells out.
        labels.append(bool(walk(environment, name).observation["loop_closure"]))
    assert not any(labels)


def test_a_loop_far_enough_is_closed():
    settings = LabSettings(
        image_size=8, fields=("loop_closure", "respawned"), height=10, width=10,
        config=("frames=400",),
    )  # fmt: skip
    environment = LabEnvironment(NAME, settings)
    environment.reset()
    environment._lab.position, environment._lab.yaw = np.array([100.0, 800.0]), 0.0
    labels = []
    for name in ("forward",) * 12 + ("backward",) * 12:
        labels.append(bool(walk(environment, name).observation["loop_closure"]))
    # The path begins where the body was found. Its 11 further steps of 0.2133 cells lead
    # 2.35 away; 10 steps back it is within 0.35 of the start, and 2 from the far end.
    assert labels.index(True) == 21
    assert labels[-1]
    for place in ((900.0, 200.0), (100.0, 800.0)):  # Where it has been put begins a path.
        environment._lab.position = np.array(place)
        assert not walk(environment, "turn left").observation["loop_closure"]


def test_same_seed_same_rows_and_another_seed_others(lab):
    def play(seed):
        environment = LabEnvironment(NAME, EVERY, seed)
        rows = [environment.reset(), *(environment.step(step % 8) for step in range(40))]
        return [row.observation["pose"].tolist() for row in rows]

    assert play(1) == play(1) != play(2)
    seeds = [entry[1] for entry in lab.log if entry[0] == "reset"]
    assert len(set(seeds)) == len(seeds) // 3 * 2  # Episodes differ, too.


def test_generated_levels_are_compiled_once(lab, tmp_path):
    settings = LabSettings(image_size=8, level_cache=str(tmp_path / "levels"))
    for seed in range(3):
        environment = LabEnvironment("lab/contributed/generated", settings, seed)
        for _ in range(3):
            environment.reset()
    kinds = [entry[0] for entry in lab.log]
    assert kinds.count("compiled") == len(list((tmp_path / "levels").iterdir())) == 2
    assert kinds.count("fetched") == 7


def test_it_is_found_by_its_name_and_stepped_as_a_vector():
    source = find_environments(NAME, LabSettings(image_size=8, fields=("velocity",)))
    vector = source.make_vector(seed=0, num_envs=2)
    vector.reset()
    row = vector.step(np.array([NAMES.index("forward")] * 2))
    np.testing.assert_allclose(row.observation["velocity"][:, 0], 1.0)
    vector.close()


@pytest.mark.parametrize(
    ("name", "settings", "words"),
    [
        ("lab/nav_maze", {}, "Invalid levelName flag 'nav_maze' - \"no such level\""),
        (NAME, {"fields": ()}, "fields"),
        (NAME, {"config": ("fast",)}, "KEY=VALUE"),
        (NAME, {"config": ("width=3",)}, "image_size"),
    ],
)
def test_mistakes_are_one_line(name, settings, words):
    with pytest.raises(ValueError, match=r"^[^\n]*$") as error:
        made = LabSettings(**settings)
        check_settings(made)
        LabEnvironment(name, made)
    assert words in str(error.value)


def test_without_the_module_a_line_says_how_to_get_it(monkeypatch):
    monkeypatch.delitem(sys.modules, "deepmind_lab")
    with pytest.raises(ValueError, match=r"python/pip_package") as error:
        find_environments(NAME)
    assert "\n" not in str(error.value)
