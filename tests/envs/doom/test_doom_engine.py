"""Mazes in ViZDoom beside the ray-caster: what is seen, what is paid, the same bytes."""

import dataclasses
import shutil
import subprocess
import sys
import time
import unittest
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from dm_env import test_utils

pytest.importorskip("vizdoom")

from tolman.envs.conformance import check_environment
from tolman.envs.doom import DoomEnvironment, DoomSettings, DoomVector
from tolman.envs.host import EnvironmentFault
from tolman.envs.maze import Maze, render, task
from tolman.envs.maze.environment import generated
from tolman.envs.maze.layout import make_layout
from tolman.envs.maze.layouts import named_layouts
from tolman.envs.maze.motion import ACTIONS, SPEED, TURN
from tolman.launchers.catalog.environments import EnvironmentSource
from tolman.launchers.catalog.names import ENV, find

FIELDS = (
    "rgb", "rgbd", "depth", "depth_classes", "pose", "velocity", "respawned", "loop_closure"
)  # fmt: skip
EVERY = DoomSettings(num_frames=120, fields=FIELDS)
NAMES = list(ACTIONS)
WALK = """
***********
*P A A   G*
* ******* *
*    A   S*
***********
"""


@pytest.fixture
def walk(tmp_path):
    file = tmp_path / "walk.txt"
    file.write_text(WALK)
    return str(file)


@pytest.fixture(scope="module")
def vector():
    made = DoomVector("doom/static_1", EVERY, 1, 0)
    yield made
    made.close()


class TestContract(test_utils.EnvironmentTestMixin, unittest.TestCase):
    def make_object_under_test(self):
        return DoomEnvironment("doom/tiny", EVERY)

    def make_action_sequence(self):
        return iter([0, 2, 6] * 20)


def test_it_passes_the_checks_of_environments():
    environment = DoomEnvironment("doom/tiny", EVERY)
    assert check_environment(environment, 60, 0)
    environment.close()


def test_it_sees_what_the_ray_caster_sees(vector):
    vector.reset()
    layout, rules = named_layouts()["static_1"], vector._maze.rules
    engine, rng, view = (
        vector._engines[0],
        np.random.default_rng(0),
        render.full_view(84, 84),
    )
    cells = np.append(rules.fruit[0], layout.marked("G")[0])
    items = render.Items(
        task.centre(jnp.asarray(cells), layout.width),
        rules.kinds,
        jnp.ones(len(cells), bool),
    )
    draw = jax.jit(
        lambda pose: (lambda seen: (
            render.colours(seen, pose, view), render.depth(seen, view),
            render._is_item(seen, view),
        ))(render.look(jax.tree.map(jnp.asarray, layout.arrays), pose, items, view))
    )  # fmt: skip
    same, off, off_items = [], [], []
    for _ in range(40):
        cell = rng.integers([layout.width, layout.height]) + rng.uniform(0.2, 0.8, 2)
        heading = float(rng.uniform(-np.pi, np.pi))
        engine.put_body(cell, heading)
        engine.act(None, 1)
        sight = engine.look()
        np.testing.assert_allclose(sight.position, cell, atol=1e-4)
        np.testing.assert_allclose(sight.heading, heading, atol=2e-4)
        rgb, depth, is_item = draw(task.Pose(jnp.float32(cell), jnp.float32(heading)))
        is_same = (np.asarray(rgb) == sight.rgb).all(-1)  # Not so at edges, by a pixel.
        same.append(is_same.mean())
        is_near = is_same & (np.asarray(depth) < 4.0)  # Levels end at 4.5 cells.
        error = np.abs(sight.depth - np.asarray(depth))
        off.append(error[is_near & ~np.asarray(is_item)])
        off_items.append(error[is_near & np.asarray(is_item)])
    level = 4.5 / 64
    assert np.mean(same) > 0.9 and min(same) > 0.75
    # Half a level, and what two pixels of a slanted wall differ by.
    assert np.median(np.concatenate(off)) < level / 2
    assert np.percentile(np.concatenate(off), 99) < 2 * level
    assert len(np.concatenate(off_items)) > 100
    assert np.percentile(np.concatenate(off_items), 95) < 2 * level


def test_generated_mazes_are_the_ray_casters():
    """One seed: the same mazes, one drawn for each episode, the same starts and walls."""
    some = {"num_mazes": 2, "height": 3, "width": 4, "split": "held_out", "num_frames": 8}
    fields = ("rgb", "pose")
    maze = generated(fields=fields, **some)
    key = jax.random.split(jax.random.split(jax.random.PRNGKey(2), 3)[2], 1)[0]
    reset, seen = jax.jit(maze.reset), set()
    vector = DoomVector("doom/generated", DoomSettings(fields=fields, **some), 1, 2)
    for _ in range(4):
        key, used = jax.random.split(key)
        state, first = reset(used)
        ours, row = first.observation, vector.reset().observation
        np.testing.assert_allclose(row["pose"][0], ours["pose"], atol=2e-3)
        assert (row["rgb"][0] == np.asarray(ours["rgb"])).all(-1).mean() > 0.75
        assert vector._engines[0]._maze == int(state.task.maze)
        seen.add(int(state.task.maze))
        for _ in range(3):  # Two decisions, and a row of a new episode.
            vector.step(np.array([2]))
        key = jax.random.split(key)[0]  # Of the episode that began there.
    vector.close()
    assert seen == {0, 1}


def test_actions_move_as_in_the_maze(vector):
    def done(name, times):
        vector._engines[0].put_body(np.array([2.5, 2.5]), 0.3)
        vector._engines[0].act(None, 1)
        for _ in range(times):
            before = vector._engines[0].look()
            vector._engines[0].act(NAMES.index(name), 4)
        return before, vector._engines[0].look()

    turned = {"turn left": -1, "turn right": 1, "forward and turn left": -1}
    for name, sign in turned.items():
        before, after = done(name, 1)
        assert after.heading - before.heading == pytest.approx(4 * TURN * sign, abs=1e-3)
    ahead = np.array([np.cos(0.3), np.sin(0.3)])
    right = np.array([-ahead[1], ahead[0]])
    for name, way in (
        ("forward", ahead),
        ("backward", -ahead),
        ("left", -right),
        ("right", right),
    ):
        before, after = done(name, 1)
        moved = after.position - before.position
        assert moved @ way > 0.04 and abs(moved @ np.array([-way[1], way[0]])) < 0.01
        # Full speed is 4 SPEED a decision, and comes with 1 - 0.90625^n of n tics.
        wanted = SPEED * (4 - sum(0.90625**n for n in range(1, 5)))
        assert moved @ way == pytest.approx(wanted, rel=0.03), name


def oracle(layout, goal, pose):
    """The action of one who knows the way: the next cell's middle, one turn at a time."""
    x, y, heading = pose
    cell = int(y) * layout.width + int(x)
    distance, bits = layout.arrays.distance[:, goal], int(layout.arrays.faces[cell])
    shifts = (-1, 1, -layout.width, layout.width)  # As `WEST` and the others.
    near = [cell + shift for face, shift in enumerate(shifts) if not bits >> face & 1]
    following = min(near, key=lambda other: distance[other]) if cell != goal else goal
    row, column = divmod(following, layout.width)
    angle = np.arctan2(row + 0.5 - y, column + 0.5 - x) - heading
    angle = (angle + np.pi) % (2 * np.pi) - np.pi
    if abs(angle) > 0.2:
        return NAMES.index("turn right" if angle > 0 else "turn left")
    return NAMES.index("forward")


def paid(environment, layout, goal, observation, step, num_steps):
    rewards = []
    for _ in range(num_steps):
        action = oracle(layout, goal, np.asarray(observation["pose"]))
        observation, reward = step(action)
        rewards.append(float(reward))
    return [reward for reward in rewards if reward]


def test_who_knows_the_way_is_paid_the_same_in_both_engines(walk):
    layout, fields = make_layout(WALK), ("pose",)
    maze, goal = Maze(layout=walk, fields=fields), layout.marked("G")[0]
    key = jax.random.split(jax.random.split(jax.random.PRNGKey(5), 3)[2], 1)[0]
    state, first = jax.jit(maze.reset)(jax.random.split(key)[1])
    advance, states = jax.jit(maze.step), [state]

    def on_device(action):
        states[0], row = advance(states[0], action)
        return row.observation, row.reward

    ours = paid(maze, layout, goal, first.observation, on_device, 300)
    settings = DoomSettings(layout=walk, fields=fields)
    vector = DoomVector("doom/layout", settings, 1, 5)

    def on_host(action):
        row = vector.step(np.array([action]))
        return {"pose": row.observation["pose"][0]}, row.reward[0]

    start = vector.reset().observation["pose"][0]
    np.testing.assert_allclose(start, first.observation["pose"], atol=1e-3)
    theirs = paid(maze, layout, goal, {"pose": start}, on_host, 300)
    vector.close()
    # Two apples on the way and the goal; then all of it again.
    assert ours[:6] == [1.0, 1.0, 10.0] * 2
    num = min(len(ours), len(theirs))
    assert num >= 9 and ours[:num] == theirs[:num]
    assert abs(len(ours) - len(theirs)) <= 3


def play(num_envs, seed, num_steps=60):
    vector = DoomVector("doom/random_goal_1", EVERY, num_envs, seed)
    rng, rows = np.random.default_rng(0), [vector.reset()]
    for _ in range(num_steps):
        rows.append(vector.step(rng.integers(0, 8, num_envs)))
    vector.close()
    return rows


def test_the_same_seed_gives_the_same_bytes():
    first, second, other = play(2, 1), play(2, 1), play(2, 2)
    for one, two in zip(first, second, strict=True):
        jax.tree.map(np.testing.assert_array_equal, one, two)
    assert not np.array_equal(first[0].observation["pose"], other[0].observation["pose"])
    # The copies are not alike, and an episode of 30 decisions starts anew after its end.
    assert not np.array_equal(*first[0].observation["pose"])
    kinds = [int(row.step_type[0]) for row in first]
    assert kinds == [0] + [1] * 29 + [2] + [0] + [1] * 29
    assert all((row.discount == 1).all() for row in first)
    assert (first[31].reward == 0).all() and first[31].observation["respawned"].all()
    assert not np.array_equal(first[31].observation["pose"], first[0].observation["pose"])


def test_it_leaves_nothing_in_the_current_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    DoomVector("doom/tiny", DoomSettings(image_size=8), 1, 0).close()
    assert list(tmp_path.iterdir()) == []


STARTS_ONE = """
import time
from pathlib import Path
from tolman.envs.doom import DoomSettings, DoomVector
vector = DoomVector("doom/tiny", DoomSettings(image_size=8), 1, 0)
told = Path("/proc/self/task").glob("*/children")
print(*[pid for one in told for pid in one.read_text().split()], flush=True)
time.sleep(60)
"""


@pytest.mark.skipif(shutil.which("setpriv") is None, reason="needs setpriv")
def test_an_engine_ends_with_the_process_that_is_killed():
    program = [sys.executable, "-c", STARTS_ONE]
    with subprocess.Popen(program, stdout=subprocess.PIPE, text=True) as process:
        (engine,) = process.stdout.readline().split()
        assert _runs(engine)
        process.kill()
    deadline = time.monotonic() + 10
    while _runs(engine) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _runs(engine)


def _runs(process):
    try:
        return "State:\tZ" not in Path("/proc", process, "status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_one_copy_whose_engine_died_is_named_or_replaced():
    name, settings = "doom/random_goal_1", dataclasses.replace(EVERY, image_size=16)

    def played(on_error, is_broken):
        source = EnvironmentSource(find(ENV, name), settings, on_error=on_error)
        vector = source.make_vector(3, 2)
        rows = [vector.reset()]
        try:
            for step in range(9):
                if is_broken and step == 5:
                    vector._engines[1]._game.close()
                rows.append(vector.step(np.array([2, 6])))
        finally:
            vector.close()
        return vector, rows

    with pytest.raises(EnvironmentFault, match=r"'doom/random_goal_1', copy 1, step 7: V"):
        played("fail", True)
    _, whole = played("restart", False)
    vector, mended = played("restart", True)
    assert vector.num_restarts == 1
    assert [int(row.step_type[1]) for row in mended] == [0, 1, 1, 1, 1, 1, 2, 0, 1, 1]
    cut, before = mended[6], mended[5]
    assert cut.reward[1] == 0 and cut.discount[1] == 1
    for field in FIELDS:
        np.testing.assert_array_equal(
            cut.observation[field][1], before.observation[field][1]
        )
    assert not np.array_equal(mended[7].observation["rgb"][1], cut.observation["rgb"][1])
    for one, two in zip(whole, mended, strict=True):  # The other notices nothing.
        others = (jax.tree.map(lambda leaf: leaf[0], row) for row in (one, two))
        jax.tree.map(np.testing.assert_array_equal, *others)


def test_fields_are_those_of_the_mazes(vector):
    row, maze = vector.reset(), Maze(num_frames=120, fields=FIELDS)
    assert list(row.observation) == list(FIELDS)
    for name, spec in maze.observation_spec().items():
        assert row.observation[name].shape == (1, *spec.shape)
        spec.validate(row.observation[name][0])


def test_a_wrong_action_is_refused(vector):
    vector.reset()
    with pytest.raises(ValueError, match=r"action 8: must lie in \[0, 8\)."):
        vector.step(np.array([8]))
    with pytest.raises(ValueError, match=r"action of shape \(2,\): must be \(1,\)."):
        vector.step(np.array([0, 0]))


def test_velocity_is_the_bodys_own(vector):
    vector.reset()
    vector._engines[0].put_body(np.array([2.5, 2.5]), 0.3)
    vector._engines[0].act(None, 1)
    seen = vector.step(np.array([NAMES.index("right")])).observation["velocity"][0]
    # Each of four tics adds 0.32 units and keeps 0.90625; 3.41 are full speed.
    share = 0.32 * sum(0.90625**n for n in range(1, 5)) / (64 * SPEED)
    np.testing.assert_allclose(seen, [0, share, 0, 0, 0, 0], atol=0.01)
    seen = vector.step(np.array([NAMES.index("turn left")])).observation["velocity"][0]
    assert seen[3] == -1


def test_no_loop_is_closed_in_thirty_decisions_of_chance():
    assert not any(row.observation["loop_closure"].any() for row in play(1, 1, 29))
