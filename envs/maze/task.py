"""What is to be done in a maze, as pure functions on arrays: goal, fruit, starts, labels.

The ray-caster calls them inside its compiled program; an engine on the host calls them
compiled for the CPU, and moves the body itself. Lengths are in cells; headings as in
`layout.py`. Shapes: C cells, K items (fruit, then the goal), L places of the longest path.

Source: Mirowski et al. 2016, sections 4 and 5.1; distances of starts and the number of
  apples as DeepMind Lab's nav_maze levels have them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from tolman.envs.environment import Array
from tolman.envs.maze.layout import APPLE, GOAL, STRAWBERRY, UNREACHABLE, Arrays, Layout

GOAL_REWARD, APPLE_REWARD, STRAWBERRY_REWARD = 10.0, 1.0, 2.0
# Of the goal, an apple and a strawberry: the reward, and how near they are touched.
GOAL_ITEM, APPLE_ITEM, STRAWBERRY_ITEM = range(3)
REWARDS = np.array([GOAL_REWARD, APPLE_REWARD, STRAWBERRY_REWARD], np.float32)
REACHES = np.array([0.3, 0.25, 0.25], np.float32)
# A loop is closed where the path was within NEAR of this place before it was FAR from it.
NEAR, FAR = 1.0, 2.0
EVERYWHERE = 2.0**14  # Further than any place: of what is not there.


class Rules(NamedTuple):
    """One task: all that is fixed through an episode and beyond; M mazes of one size.

    Attributes:
      arrays: of the mazes, `[M, ...]` each.
      goals: `[M, C]` bool, cells that the goal is drawn from.
      starts: `[M, C]` bool, cells that starts are drawn from.
      heading: `[M, C]` of a start there; NaN for any heading.
      fruit: `[M, F]` int32, cells of marked fruit.
      num_drawn: apples that are drawn for each episode beside them.
      kinds: `[K]` int32, of the items: marked fruit, drawn apples, the goal.
      min_start_distance: steps from a start to the goal, at least.
      width: W.
    """

    arrays: Arrays
    goals: np.ndarray
    starts: np.ndarray
    heading: np.ndarray
    fruit: np.ndarray
    num_drawn: int
    kinds: np.ndarray
    min_start_distance: int
    width: int


class Task(NamedTuple):
    """The task of an episode, and how far it is done.

    Attributes:
      maze: `[]` int32, which of the M.
      cells: `[K]` int32, where the items are.
      is_there: `[K]` bool, not picked up.
      path: `[L, 2]`, places since the last respawn, one a decision.
      path_length: `[]` int32, how many they are.
    """

    maze: Array
    cells: Array
    is_there: Array
    path: Array
    path_length: Array


class Pose(NamedTuple):
    """Attributes:
    position: `[2]`, x and y.
    heading: `[]` radians.
    """

    position: Array
    heading: Array


def make_rules(
    layouts: Sequence[Layout],
    fruit_density: float = 0.0,
    min_start_distance: int = 0,
) -> Rules:
    """The task of some mazes of one size and with equally many marks.

    Goals and starts are drawn from the marked cells; where none is marked, from all that
    are open and within reach of one another.

    Args:
      layouts: one is drawn for each episode.
      fruit_density: apples that are drawn for each episode, as a share of the open cells;
        beside the fruit that is marked.
      min_start_distance: steps from a start to the goal, at least, where a cell has them.
    """
    first = layouts[0]
    num_drawn = round(fruit_density * int(first.arrays.is_open.sum()))
    kinds = [APPLE_ITEM] * len(first.marked(APPLE))
    kinds += [STRAWBERRY_ITEM] * len(first.marked(STRAWBERRY))
    kinds += [APPLE_ITEM] * num_drawn + [GOAL_ITEM]
    goals, starts, headings, fruit = [], [], [], []
    for layout in layouts:
        marked = (*layout.marked(APPLE), *layout.marked(STRAWBERRY))
        goals.append(_chosen(layout, layout.marked(GOAL)))
        starts.append(_chosen(layout, [cell for cell, _ in layout.starts]))
        heading = np.full(len(layout.arrays.is_open), np.nan, np.float32)
        for cell, angle in layout.starts:
            heading[cell] = np.nan if angle is None else angle
        headings.append(heading)
        fruit.append(np.array(marked, np.int32))
    stacked = (
        np.stack(leaves) for leaves in zip(*(one.arrays for one in layouts), strict=True)
    )
    return Rules(
        Arrays(*stacked), np.stack(goals), np.stack(starts), np.stack(headings),
        np.stack(fruit), num_drawn, np.array(kinds, np.int32), min_start_distance,
        first.width,
    )  # fmt: skip


def begin(rules: Rules, key: Array, max_path: int) -> tuple[Task, Pose]:
    """Draws the task of an episode, and a start.

    Args:
      rules: of the task.
      key: of all chance.
      max_path: L.
    """
    maze_key, goal_key, fruit_key, start_key = jax.random.split(key, 4)
    maze = jax.random.randint(maze_key, (), 0, len(rules.goals))
    goal = _draw(jax.random.uniform(goal_key), of_maze(rules.goals, maze))
    cells = jnp.append(_draw_fruit(rules, maze, goal, fruit_key), goal)
    is_there = jnp.ones(len(cells), bool)
    task = Task(maze, cells, is_there, jnp.zeros((max_path, 2)), jnp.int32(0))
    return respawn(rules, task, start_key)


def respawn(rules: Rules, task: Task, key: Array) -> tuple[Task, Pose]:
    """Puts the fruit back, and draws another start, not too near to the goal."""
    cell_luck, heading_luck = jax.random.uniform(key, (2,))
    to_goal = of_maze(rules.arrays.distance, task.maze)[task.cells[-1]]  # [C]
    may_be = of_maze(rules.starts, task.maze) & (to_goal < UNREACHABLE)
    is_far = may_be & (to_goal >= rules.min_start_distance)
    cell = _draw(cell_luck, jnp.where(is_far.any(), is_far, may_be))
    fixed = of_maze(rules.heading, task.maze)[cell]
    heading = jnp.where(jnp.isnan(fixed), (2 * heading_luck - 1) * jnp.pi, fixed)
    pose = Pose(centre(cell, rules.width), heading)
    task = start_path(task, pose.position)
    return task._replace(is_there=jnp.ones_like(task.is_there)), pose


def collect(rules: Rules, task: Task, position: Array) -> tuple[Task, Array, Array]:
    """Picks up what is touched from `position`.

    Returns:
      The task, the reward `[]`, and whether the goal was reached, `[]` bool: the body is
      then to be put to the start that `respawn` draws.
    """
    offset = centre(task.cells, rules.width) - position  # [K, 2]
    near = jnp.square(offset).sum(-1) < jnp.square(REACHES[rules.kinds])
    is_touched = near & task.is_there
    reward = jnp.sum(is_touched * REWARDS[rules.kinds])
    return task._replace(is_there=task.is_there & ~is_touched), reward, is_touched[-1]


def start_path(task: Task, position: Array) -> Task:
    """Begins the path anew, here."""
    path = task.path.at[0].set(position)
    return task._replace(path=path, path_length=jnp.int32(1))


def walk(task: Task, position: Array) -> Task:
    """Adds the place of a decision to the path; a full path keeps its first places."""
    path = task.path.at[task.path_length].set(position)  # Past its end, nothing is set.
    return task._replace(path=path, path_length=task.path_length + 1)


def closes_loop(task: Task) -> Array:
    """`[]` bool: the path has been near its last place before, and far from it between.

    Source: Mirowski et al. 2016, section 3.2, with `NEAR` and `FAR` for both thresholds.
      Departure: the path is the true one, where the paper integrates velocities.
    """
    last = task.path_length - 1
    index = jnp.arange(len(task.path))
    apart = jnp.square(task.path - task.path[last]).sum(-1)  # [L]
    is_far = (index < last) & (apart >= FAR**2)
    last_far = jnp.max(jnp.where(is_far, index, -1))
    return jnp.any((index < last_far) & (apart <= NEAR**2))


def centre(cell: Array, width: int) -> Array:
    """`[..., 2]`, the middle of a cell; far away for cell -1, which is none."""
    place = jnp.stack([cell % width, cell // width], -1) + 0.5
    return jnp.where(cell[..., None] < 0, EVERYWHERE, place)


def _chosen(layout: Layout, marked: Sequence[int]) -> np.ndarray:
    """`[C]` bool, the marked cells, or all that are within reach."""
    if not marked:
        return layout.within_reach
    chosen = np.zeros(len(layout.arrays.is_open), bool)
    chosen[list(marked)] = True
    return chosen


def of_maze(values: Any, maze: Array) -> Array:
    """Row `maze` of `[M, ...]`; a constant where there is but one."""
    return jnp.asarray(values[0]) if len(values) == 1 else jnp.asarray(values)[maze]


def _draw(luck: Array, may_be: Array) -> Array:
    """One of the cells that may be, `[]` int32, each as likely; -1 where none may.

    Args:
      luck: `[...]`, uniform in [0, 1).
      may_be: `[C]` bool.
    """
    count = jnp.cumsum(may_be)
    place = jnp.floor(luck * count[-1]) + 1  # 1 for the first.
    place = jnp.minimum(place, count[-1])
    found = jnp.sum(count < place[..., None], axis=-1)
    return jnp.where(count[-1] > 0, found, -1).astype(jnp.int32)


def _draw_fruit(rules: Rules, maze: Array, goal: Array, key: Array) -> Array:
    """`[K - 1]` int32: marked fruit where it is marked, the rest in cells of its own."""
    marked = of_maze(rules.fruit, maze)
    if rules.num_drawn == 0:
        return marked
    to_goal = of_maze(rules.arrays.distance, maze)[goal]
    may_be = (to_goal < UNREACHABLE) & (to_goal > 0)
    may_be = may_be.at[marked].set(False)
    # The cells with the largest of random numbers are a draw without replacement.
    luck = jnp.where(may_be, jax.random.uniform(key, may_be.shape), -1.0)
    best, cells = jax.lax.top_k(luck, rules.num_drawn)
    drawn = jnp.where(best >= 0, cells, -1).astype(jnp.int32)
    return jnp.concatenate([marked, drawn])
