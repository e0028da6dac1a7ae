"""The environment around task, motion and view: rewards, clocks, labels, same bytes."""

from typing import get_args

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles.mazes import loop_labels

from tolman.envs.environment import FIRST, LAST, is_target
from tolman.envs.maze import Maze
from tolman.envs.maze.depth_target import depth_classes, target_pixels
from tolman.envs.maze.environment import find_layouts
from tolman.envs.maze.fields import Field
from tolman.envs.maze.motion import ACTIONS, SPEED, at_rest
from tolman.envs.maze.render import ITEM_COLOURS
from tolman.envs.maze.task import Pose
from tolman.launchers.cli import main
from tolman.launchers.settings.bounds import check_settings

NAMES = list(ACTIONS)
SMALL = {"image_size": 16, "fields": ("pose", "velocity", "respawned", "loop_closure")}


def play(maze, seed, actions):
    """States and time steps, the first included."""
    state, timestep = jax.jit(maze.reset)(jax.random.PRNGKey(seed))
    step, states, timesteps = jax.jit(maze.step), [state], [timestep]
    for action in actions:
        state, timestep = step(state, jnp.int32(action))
        states.append(state)
        timesteps.append(timestep)
    return states, timesteps


def test_time_ends_an_episode_and_is_a_truncation():
    maze = Maze(layout="tiny", num_frames=10, action_repeat=4, **SMALL)
    _, rows = play(maze, 0, [0, 0, 0])
    assert maze.num_decisions == 3  # 10 frames are two decisions and a half.
    assert [int(row.step_type) for row in rows] == [FIRST, 1, 1, LAST]
    assert float(rows[-1].discount) == 1.0 and not bool(rows[-1].new_task)


def test_the_goal_pays_and_puts_the_agent_elsewhere():
    maze = Maze(layout="tiny", reward_scale=0.5, **SMALL)  # Its goal is in cell 0.
    state, _ = jax.jit(maze.reset)(jax.random.PRNGKey(0))
    before = Pose(jnp.float32([0.5, 0.85]), jnp.float32(-np.pi / 2))
    state = state._replace(body=at_rest(before))
    step, rewards = jax.jit(maze.step), []
    for _ in range(3):
        state, row = step(state, jnp.int32(NAMES.index("forward and turn left")))
        rewards.append(float(row.reward))
        if rewards[-1]:
            break
        assert not bool(row.observation["respawned"])
    assert rewards[-1] == 5.0  # 10, scaled.
    assert bool(row.observation["respawned"]) and bool(state.task.is_there.all())
    np.testing.assert_array_equal(row.observation["velocity"], np.zeros(6))
    found = row.observation["pose"]
    place = np.asarray(found[:2])
    np.testing.assert_allclose(place % 1, 0.5)  # The middle of a cell.
    assert int(state.task.path_length) == 1
    away = Pose(jnp.float32([2.5, 1.5]), jnp.float32(0.0))
    state, row = step(state._replace(body=at_rest(away)), jnp.int32(0))
    assert not bool(row.observation["respawned"]) and float(row.reward) == 0.0
    # The next find leads to a start of its own.
    _, row = step(state._replace(body=at_rest(before)), jnp.int32(NAMES.index("forward")))
    assert bool(row.observation["respawned"])
    assert float(row.observation["pose"][2]) != float(found[2])


def test_the_goal_ends_a_decision(tmp_path):
    """Sixty frames lead three cells on, over the goal to the apple, were it not for it."""
    path = tmp_path / "way.txt"
    path.write_text("***********\n*> G A    *\n***********\n")
    maze = Maze(layout=str(path), action_repeat=60, **SMALL)
    _, rows = play(maze, 0, [NAMES.index("forward")])
    assert float(rows[1].reward) == 10.0
    path.write_text("***********\n*> A A   G*\n***********\n")
    maze = Maze(layout=str(path), action_repeat=60, **SMALL)
    _, rows = play(maze, 0, [NAMES.index("forward")] * 2)
    assert [float(row.reward) for row in rows[1:]] == [2.0, 10.0]


def test_velocity_is_the_agents_own():
    maze = Maze(layout="static_2", **SMALL)
    state, _ = jax.jit(maze.reset)(jax.random.PRNGKey(0))
    for heading in (0.0, 1.0, -2.0):
        # Cell (6, 2) of the maze is open to the east; four frames lead nowhere near a wall.
        pose = Pose(jnp.float32([6.5, 1.5]), jnp.float32(heading))
        moved, row = jax.jit(maze.step)(
            state._replace(body=at_rest(pose)), jnp.int32(NAMES.index("right"))
        )
        ahead, right, _, turning, _, _ = np.asarray(row.observation["velocity"])
        shift = np.asarray(moved.body.pose.position - pose.position)
        if np.linalg.norm(shift) > 0.1:
            assert abs(ahead) < 1e-5 and turning == 0.0
            assert right == pytest.approx(1 - 0.7**4, rel=1e-4)
    _, row = jax.jit(maze.step)(state, jnp.int32(NAMES.index("forward and turn left")))
    assert float(row.observation["velocity"][3]) == -1.0
    assert SPEED > 0


def test_loop_closure_reaches_back_to_the_last_respawn_and_no_further():
    """Labels of a random walk are the slow loop's over its path since the respawn."""
    maze = Maze(layout="tiny", num_frames=4 * 400, **SMALL)
    rng = np.random.default_rng(1)
    actions = np.repeat(rng.choice([2, 2, 6, 7, 0], 80), 5)
    _, rows = play(maze, 3, actions)
    path = [np.asarray(row.observation["pose"][:2]).tolist() for row in rows]
    found = [bool(row.observation["loop_closure"]) for row in rows]
    starts = [time for time, row in enumerate(rows) if bool(row.observation["respawned"])]
    assert len(starts) == 3
    slow = []
    for start, end in zip(starts, [*starts[1:], len(rows)], strict=True):
        slow += loop_labels(path[start:end])
    assert found == slow and any(slow)
    # Of a path that went on through respawns many loops would be false, and none missed.
    false = np.array(loop_labels(path)) & ~np.array(slow)
    assert false.sum() > 20 and not (np.array(slow) & ~np.array(loop_labels(path))).any()


def test_same_key_same_bytes():
    maze = Maze(layout="random_goal_1", fruit_density=0.1, image_size=24,
                fields=("rgb", "depth", "rgbd", "depth_classes"))  # fmt: skip
    actions = np.random.default_rng(0).integers(0, 8, 20)
    first, second = (play(maze, 5, actions)[1][-1] for _ in range(2))
    other = play(maze, 6, actions)[1][-1]
    for name, value in first.observation.items():
        np.testing.assert_array_equal(value, second.observation[name])
    assert not np.array_equal(first.observation["rgb"], other.observation["rgb"])
    buffer = np.asarray(first.observation["rgbd"])[..., 3].astype(int)
    depth = np.asarray(first.observation["depth"])
    np.testing.assert_allclose(buffer, 255 * (1 - 0.04 / depth), atol=1)
    np.testing.assert_array_equal(
        first.observation["rgbd"][..., :3], first.observation["rgb"]
    )


def test_depth_classes_are_those_of_the_map():
    maze = Maze(layout="random_goal_1", fruit_density=1.0, image_size=24,
                fields=("depth", "depth_classes"))  # fmt: skip
    _, rows = play(maze, 5, np.random.default_rng(0).integers(0, 8, 20))
    depths, classes = zip(*(row.observation.values() for row in rows), strict=True)
    rows, columns = target_pixels(24, 24)
    coarse = np.stack(depths)[:, rows][..., columns]
    np.testing.assert_array_equal(np.stack(classes), depth_classes(coarse))
    for axis in (1, 2):  # Fruit is below the horizon alone, so that no side is another.
        assert not np.array_equal(classes, np.flip(classes, axis))


def test_what_was_picked_up_is_seen_no_more(tmp_path):
    path = tmp_path / "way.txt"
    path.write_text("***********\n*>   A   G*\n***********\n")
    maze = Maze(layout=str(path), image_size=48, fields=("rgb",))
    red, green = ITEM_COLOURS[[1, 0]]
    state, row = jax.jit(maze.reset)(jax.random.PRNGKey(0))
    shown = [row]
    for there in (True, False):
        gone = state.task._replace(is_there=jnp.array([there, True]))
        shown.append(jax.jit(maze.step)(state._replace(task=gone), jnp.int32(0))[1])
    packed = [np.asarray(one.observation["rgb"]) @ [1, 1 << 8, 1 << 16] for one in shown]
    assert [(one == red).any() for one in packed] == [True, True, False]
    assert [(one == green).any() for one in packed] == [False, False, True]


def test_all_but_what_a_body_can_sense_are_targets():
    spec = Maze(fields=get_args(Field)).observation_spec()
    inputs = [name for name, one in spec.items() if not is_target(one)]
    assert inputs == ["rgb", "rgbd", "velocity"] and len(spec) == 8


@pytest.mark.parametrize("field", get_args(Field))
def test_a_field_alone_is_as_among_all(field):
    rows = []
    for fields in ((field,), get_args(Field)):
        maze = Maze(layout="tiny", image_size=16, fields=fields)
        rows.append(jax.jit(maze.reset)(jax.random.PRNGKey(0))[1].observation)
    assert list(rows[0]) == [field]
    np.testing.assert_array_equal(rows[0][field], rows[1][field])


def test_a_film_has_the_clock_of_the_decisions():
    assert Maze(action_repeat=4).frames_per_second == 15


def test_generated_mazes_of_the_two_splits_differ():
    train = find_layouts(Maze(layout="generated", num_mazes=20, height=4, width=5))
    held_out = find_layouts(
        Maze(layout="generated", num_mazes=20, height=4, width=5, split="held_out")
    )
    assert len(set(train)) == len(set(held_out)) == 20
    assert not set(train) & set(held_out)


def test_a_maze_of_a_file(tmp_path):
    path = tmp_path / "mine.txt"
    path.write_text("*****\n*G P*\n*****\n")
    maze = Maze(layout=str(path), **SMALL)
    _, rows = play(maze, 0, [])
    np.testing.assert_allclose(rows[0].observation["pose"][:2], [1.5, 0.5])
    path.write_bytes(b"\xef\xbb\xbf***\r\n*G*\r\n***\r\n")  # As some editors begin and end.
    assert find_layouts(Maze(layout=str(path)))[0].marked("G") == (0,)
    path.write_bytes(b"***\n*\x90*\n***\n")
    with pytest.raises(ValueError, match=r"marks .* are unknown"):
        check_settings(Maze(layout=str(path)), "env.")
    path.write_text("*****\n*G*P*\n*****\n")
    with pytest.raises(ValueError, match="no way leads to the mark 'P'"):
        check_settings(Maze(layout=str(path)), "env.")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"layout": "static_9"}, "layout='static_9': is neither a file nor one of tiny"),
        (
            {"layout": "generated", "num_mazes": 10_000, "height": 32, "width": 32},
            "width=32: must be at most 256 mazes of this size",
        ),
        ({"action_repeat": 0}, "action_repeat"),
        ({"image_size": 4}, "image_size"),
        ({"fields": ()}, "fields"),
        ({"num_frames": 0}, "num_frames"),
        ({"fruit_density": 1.5}, "fruit_density"),
    ],
)
def test_bad_settings_in_one_line(settings, words):
    with pytest.raises(ValueError) as caught:
        check_settings(Maze(**settings), "env.")
    assert words.replace("_", "-") in str(caught.value).replace("_", "-")
    assert "\n" not in str(caught.value)


def test_settings_are_explained_by_help(capsys):
    """Of a maze that is made by a function: its flags have the words of `Maze`."""
    assert main(["check-env", "maze/random_goal_1", "--help"]) == 0
    told = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "apples drawn for each episode, as a share of the open cells." in told
    assert "steps from a start to the goal, at least. (default: 5)" in told
    assert "--env.layout" not in told
