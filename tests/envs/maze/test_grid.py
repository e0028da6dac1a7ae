"""The grid version of mazes, by hand."""

import jax
import jax.numpy as jnp
import numpy as np

from tolman.envs.maze.grid import MOVES, GridMaze


def play(maze, seed, moves):
    state, row = jax.jit(maze.reset)(jax.random.PRNGKey(seed))
    step, rows = jax.jit(maze.step), [row]
    for move in moves:
        state, row = step(state, jnp.int32(MOVES.index(move)))
        rows.append(row)
    return state, rows


def test_a_way_through_the_i_maze():
    """Up three, west two, north one; the cell is `5 row + column` of 9 x 5."""
    maze = GridMaze(num_moves=7)
    moves = ["north"] * 3 + ["west"] * 2 + ["north"]
    for seed in range(30):
        state, rows = play(maze, seed, moves)
        cells = [int(row.observation) for row in rows[:-1]]
        assert cells == [22, 17, 12, 7, 6, 5]
        is_goal = int(state.task.cells[-1]) == 0
        assert int(rows[-1].observation) == (22 if is_goal else 0)
        assert [float(row.reward) for row in rows] == [0.0] * 6 + [float(is_goal)]
        if is_goal:
            break
    assert is_goal


def test_walls_stop_and_time_truncates():
    _, rows = play(GridMaze(num_moves=3), 0, ["east", "west", "south"])
    assert [int(row.observation) for row in rows] == [22, 22, 22, 27]
    assert [int(row.step_type) for row in rows] == [0, 1, 1, 2]
    assert float(rows[-1].discount) == 1.0


def test_starts_of_other_layouts_are_drawn():
    maze = GridMaze(layout="tiny")
    _, rows = jax.vmap(maze.reset)(jax.random.split(jax.random.PRNGKey(0), 200))
    assert set(np.asarray(rows.observation)) == set(range(12))
    assert maze.observation_spec().num_values == 12


def test_every_find_leads_to_a_start_of_its_own(tmp_path):
    path = tmp_path / "way.txt"
    path.write_text("*******\n*P G P*\n*******\n")  # The goal is one move from both.
    maze = GridMaze(layout=str(path))
    state, row = maze.reset(jax.random.PRNGKey(0))
    step, starts = jax.jit(maze.step), []
    for _ in range(12):
        move = "east" if int(row.observation) == 0 else "west"
        state, row = step(state, jnp.int32(MOVES.index(move)))
        assert float(row.reward) == 1.0
        starts.append(int(row.observation))
    assert set(starts) == {0, 2}
