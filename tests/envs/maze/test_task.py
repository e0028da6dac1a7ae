"""Goals, fruit, starts and labels, by hand and against slow loops."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles.mazes import loop_labels

from tolman.envs.maze import task
from tolman.envs.maze.layout import from_blocks, make_layout
from tolman.envs.maze.layouts import draw, named_layouts

ROOM = make_layout("*******\n*G   A*\n*     *\n*S    *\n*******")


def begin(rules, seed, max_path=1):
    return task.begin(rules, jax.random.PRNGKey(seed), max_path)


def test_fixed_marks_stay_and_starts_are_drawn_from_all_cells():
    rules = task.make_rules([ROOM])
    assert rules.kinds.tolist() == [1, 2, 0]
    starts = set()
    for seed in range(60):
        drawn, pose = begin(rules, seed)
        assert drawn.cells.tolist() == [2, 3, 0]
        assert drawn.is_there.all()
        starts.add(tuple(np.floor(np.asarray(pose.position)).astype(int)))
    assert starts == {(x, y) for x in range(3) for y in range(2)}


def test_starts_keep_their_distance_to_the_goal():
    layout = named_layouts()["random_goal_1"]
    rules = task.make_rules([layout], min_start_distance=5)
    drawn, poses = jax.vmap(lambda key: task.begin(rules, key, 1))(
        jax.random.split(jax.random.PRNGKey(0), 500)
    )
    position = np.floor(np.asarray(poses.position)).astype(int)
    start, goal = position @ [1, layout.width], np.asarray(drawn.cells)[:, -1]
    apart = layout.arrays.distance[start, goal]
    assert apart.min() == 5
    assert len(set(goal.tolist())) == 50  # Every cell is some time the goal.
    heading = np.asarray(poses.heading)
    assert np.abs(heading).max() <= np.pi and heading.std() == pytest.approx(1.81, abs=0.1)
    # Drawn with one number, start and goal would go hand in hand; far apart, they do not.
    assert np.corrcoef(start, goal)[0, 1] < 0.1


def test_a_room_too_small_for_the_distance_takes_any_start():
    rules = task.make_rules([ROOM], min_start_distance=30)
    _, pose = begin(rules, 0)
    assert np.isfinite(np.asarray(pose.position)).all()


def test_cells_that_are_shut_in_are_no_places_to_be_at():
    """Two cells to the left of a wall, one to its right: nothing is ever there."""
    for text, starts, goals in (
        ("*******\n*P  * *\n*******", [True, False, False], [True, True, False]),
        ("*******\n*G  * *\n*******", [True, True, False], [True, False, False]),
    ):
        rules = task.make_rules([make_layout(text)], fruit_density=1.0)
        assert rules.starts.tolist() == [starts] and rules.goals.tolist() == [goals]
        drawn, poses = jax.vmap(lambda key, of=rules: task.begin(of, key, 1))(
            jax.random.split(jax.random.PRNGKey(0), 50)
        )
        assert np.asarray(poses.position)[:, 0].max() < 2.0
        assert np.asarray(drawn.cells).max() == 1 and (drawn.cells[:, -1] >= 0).all()


def test_starts_in_reach_of_the_goal_are_taken_of_those_that_may_be():
    """Were a cell beyond the wall a start, it would be far enough from any goal."""
    rules = task.make_rules([make_layout("*******\n*G  * *\n*******")], 0.0, 1)
    rules = rules._replace(starts=np.ones_like(rules.starts))
    for seed in range(8):
        _, pose = begin(rules, seed)
        np.testing.assert_allclose(pose.position, [1.5, 0.5])


def test_the_i_maze_starts_in_its_middle_and_draws_an_alcove():
    layout = named_layouts()["i_maze"]
    rules = task.make_rules([layout])
    goals = set()
    for seed in range(40):
        drawn, pose = begin(rules, seed)
        np.testing.assert_allclose(pose.position, [2.5, 4.5])
        assert float(pose.heading) == pytest.approx(-np.pi / 2)
        goals.add(int(drawn.cells[-1]))
    assert goals == set(layout.marked("G"))


def test_drawn_apples_are_in_cells_of_their_own():
    layout = named_layouts()["random_goal_1"]
    rules = task.make_rules([layout], fruit_density=0.1)
    assert rules.kinds.tolist() == [1] * 5 + [0]
    counts = np.zeros(50)
    for seed in range(100):
        drawn, _ = begin(rules, seed)
        cells = drawn.cells.tolist()
        assert len(set(cells)) == 6 and min(cells) >= 0
        counts[cells[:-1]] += 1
    assert (counts > 0).sum() == 50  # 500 apples in 50 cells.


def test_apples_are_a_share_of_the_open_cells():
    maze = make_layout(from_blocks("  *\n  *"))  # Four of six.
    assert task.make_rules([maze], fruit_density=0.5).kinds.tolist() == [1, 1, 0]


def test_more_apples_than_cells_are_not_there():
    rules = task.make_rules([ROOM], fruit_density=1.0)
    drawn, _ = begin(rules, 0)
    cells = np.asarray(drawn.cells)
    assert len(cells) == 2 + 6 + 1 and (cells[2:8] >= 0).sum() == 3
    # What is nowhere is touched from nowhere.
    _, reward, _ = task.collect(rules, drawn._replace(cells=jnp.full(9, -1)), jnp.zeros(2))
    assert float(reward) == 0.0


def test_rewards_by_hand():
    rules = task.make_rules([ROOM])
    drawn, _ = begin(rules, 0)
    at = {"apple": [2.5, 0.5], "strawberry": [0.5, 1.5], "goal": [0.5, 0.5]}
    for name, reward, reach in (
        ("apple", 1.0, 0.25),
        ("strawberry", 2.0, 0.25),
        ("goal", 10.0, 0.3),
    ):
        place = jnp.float32(at[name])
        after, got, is_goal = task.collect(rules, drawn, place)
        assert float(got) == reward and bool(is_goal) is (name == "goal")
        assert int(after.is_there.sum()) == 2
        _, got, is_goal = task.collect(rules, after, place)
        assert float(got) == 0.0 and not bool(is_goal)
        near, far = (place + jnp.float32([reach + off, 0.0]) for off in (-0.01, 0.01))
        assert float(task.collect(rules, drawn, near)[1]) == reward
        assert float(task.collect(rules, drawn, far)[1]) == 0.0


def test_the_goal_puts_fruit_back_and_starts_a_new_path():
    rules = task.make_rules([ROOM])
    drawn, pose = begin(rules, 0, max_path=9)
    drawn, _, _ = task.collect(rules, drawn, jnp.float32([2.5, 0.5]))
    drawn = task.walk(drawn, jnp.float32([2.5, 0.5]))
    assert int(drawn.path_length) == 2 and int(drawn.is_there.sum()) == 2
    again, pose = task.respawn(rules, drawn, jax.random.PRNGKey(4))
    assert int(again.path_length) == 1 and again.is_there.all()
    np.testing.assert_allclose(again.path[0], pose.position)


def labels_of(path):
    """The labels of a path, one place after another."""
    rules = task.make_rules([ROOM])
    now, _ = begin(rules, 0, max_path=len(path))
    now = now._replace(path=now.path.at[0].set(path[0]))
    found = [bool(task.closes_loop(now))]
    for place in path[1:]:
        now = task.walk(now, jnp.float32(place))
        found.append(bool(task.closes_loop(now)))
    return found


def test_loops_by_hand():
    still = [(1.0, 1.0)] * 5
    assert labels_of(still) == [False] * 5
    near = [(x, 0.0) for x in (0, 0.5, 1, 1.5, 1, 0.5, 0)]
    assert not any(labels_of(near))  # Out 1.5 and back.
    far = [(x, 0.0) for x in (0, 1, 2, 3, 2, 1, 0)]
    # At 1 on the way back the path was at 0 to 2 before it was at 3, 2 away from 1.
    assert labels_of(far) == [False] * 5 + [True] * 2
    # Exactly 1 from the first place, and 2 from the one between.
    assert labels_of([(x, 0.0) for x in (0, 3, 1)]) == [False, False, True]
    moved = [(x + 7.0, 4.0) for x, _ in far]
    assert labels_of(moved) == labels_of(far)


def test_loops_are_those_of_a_slow_loop():
    rng = np.random.default_rng(0)
    for _ in range(5):
        path = np.cumsum(rng.normal(0, 0.6, (60, 2)), 0).astype(np.float32)
        found = labels_of(path)
        assert found == loop_labels(path.tolist())
        assert 5 < sum(found) < 60


def test_each_maze_is_drawn_as_often():
    layouts = [draw(seed, 3, 3) for seed in range(4)]
    rules = task.make_rules(layouts, fruit_density=0.2)
    drawn, _ = jax.vmap(lambda key: task.begin(rules, key, 1))(
        jax.random.split(jax.random.PRNGKey(0), 2000)
    )
    counts = np.bincount(np.asarray(drawn.maze), minlength=4)
    assert (np.abs(counts - 500) < 4.5 * np.sqrt(2000 * 0.25 * 0.75)).all()
    one = rules.arrays.distance[2]
    np.testing.assert_array_equal(task.of_maze(rules.arrays.distance, jnp.int32(2)), one)
