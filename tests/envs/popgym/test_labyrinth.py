"""POPGym's labyrinths by hand, and the mazes in them."""

import jax
import numpy as np
import pytest
from popgym_rows import play

from tolman.envs.popgym.hunt_and_kill import carve, draw_entrances
from tolman.envs.popgym.labyrinth import (
    LabyrinthEscape,
    LabyrinthExplore,
    LabyrinthState,
)

LEFT, RIGHT, UP, DOWN = range(4)


def make_state(text):
    """`#` an obstacle, `S` the start, `G` the goal; the agent is at the start."""
    codes = {".": 0, "#": 1, "S": 2, "G": 3}
    squares = np.array([[codes[letter] for letter in line] for line in text.split()])
    return LabyrinthState(
        squares=squares.astype(np.int32),
        is_explored=squares == 2,
        place=np.argwhere(squares == 2)[0].astype(np.int32),
        time=np.int32(0),
    )


MAZE = """
    #S###
    #...#
    ###.#
    #...#
    #G###
"""


def test_escape():
    actions = [LEFT, UP, DOWN, RIGHT, RIGHT, RIGHT, DOWN, DOWN, LEFT, LEFT, DOWN]
    last, seen, reward, ends, discount = play(
        LabyrinthEscape(size=4), make_state(MAZE), actions
    )
    step = -1 / 1024
    np.testing.assert_allclose(reward, [*[step] * 10, 1 + step], rtol=1e-6)
    assert ends.tolist() == [False] * 10 + [True] and discount[-1] == 0.0
    assert last.place.tolist() == [4, 1]
    # At the upper edge the view begins with the edge; its last row is filled up.
    assert seen[0].tolist() == [1, 2, 1, 1, 0, 0, 1, 1, 1, LEFT]
    # Down: the start above, the way to the right, a wall below.
    assert seen[2].tolist() == [1, 2, 1, 1, 0, 0, 1, 1, 1, DOWN]
    assert seen[6].tolist() == [0, 0, 1, 1, 0, 1, 0, 0, 1, DOWN]
    # At the lower edge nothing is below.
    assert seen[10].tolist() == [1, 0, 0, 1, 3, 1, 1, 1, 1, DOWN]


def test_the_view_at_the_left_edge_begins_with_it():
    maze = "##### S...# ###.# #...# #####"
    _, seen, *_ = play(LabyrinthEscape(size=4), make_state(maze), [LEFT, RIGHT])
    assert seen[0].tolist() == [1, 1, 1, 2, 0, 1, 1, 1, 1, LEFT]
    assert seen[1].tolist() == [1, 1, 1, 2, 0, 0, 1, 1, 1, RIGHT]


def test_explore():
    """Seven squares are free besides the start: each new one pays 1 / 7."""
    maze = MAZE.replace("G", "#")
    actions = [DOWN, UP, DOWN, RIGHT, RIGHT, DOWN, DOWN, LEFT, LEFT]
    _, _, reward, ends, discount = play(LabyrinthExplore(size=4), make_state(maze), actions)
    new, old = 1 / 7, -1 / 1024
    paid = [new, old, old, *[new] * 6]
    np.testing.assert_allclose(reward, paid, rtol=1e-6)
    assert ends.tolist() == [False] * 8 + [True] and discount[-1] == 0.0


@pytest.mark.parametrize("kind", [LabyrinthEscape, LabyrinthExplore])
def test_the_clock_cuts_one_step_early(kind):
    """As in popgym: after 1,023 steps of 1,024."""
    _, _, _, ends, discount = play(kind(4, 5), make_state(MAZE), [LEFT] * 4)
    assert ends.tolist() == [False] * 3 + [True] and discount.tolist() == [1.0] * 4


def test_the_first_row_has_no_action_and_the_maze_its_ends():
    for seed in range(4):
        key = jax.random.PRNGKey(seed)
        for environment in (LabyrinthEscape(), LabyrinthExplore()):
            state, first = environment.reset(key)
            assert first.observation[-1] == 4
            squares = np.asarray(state.squares)
            assert squares.shape == (11, 11)
            assert np.argwhere(squares == 2).tolist() == [state.place.tolist()]
            has_goal = isinstance(environment, LabyrinthEscape)
            assert (squares == 3).sum() == has_goal
            assert state.is_explored.sum() == 1


def reach(is_open, start):
    """Squares that can be walked to."""
    found, waiting = {start}, [start]
    while waiting:
        row, column = waiting.pop()
        for near in (
            (row + 1, column),
            (row - 1, column),
            (row, column + 1),
            (row, column - 1),
        ):
            if is_open[near] and near not in found:
                found.add(near)
                waiting.append(near)
    return found


def test_a_maze_is_a_tree_of_all_cells():
    keys = jax.random.split(jax.random.PRNGKey(0), 300)
    mazes = np.asarray(jax.jit(jax.vmap(lambda key: carve(key, 5)))(keys))
    assert len({maze.tobytes() for maze in mazes}) == 300
    for maze in mazes:
        assert not maze[::2, ::2].any() and not maze[[0, -1]].any()
        assert not maze[:, [0, -1]].any()
        # As many ways as cells less one, and all joined: no way is a second one.
        assert maze[1::2, 1::2].all() and maze.sum() == 25 + 24
        assert len(reach(maze, (1, 1))) == 49


def hunt_and_kill(rng, num_cells):
    """A slow one: the degrees of its cells, how many ways lead from each."""
    degree = np.zeros((num_cells, num_cells), int)
    is_in = np.zeros((num_cells, num_cells), bool)
    cell = tuple(rng.integers(num_cells, size=2))
    is_in[cell] = True
    for _ in range((2 * num_cells + 1) ** 2 + 1):
        while is_in[cell]:
            row, column = cell
            near = [
                (row + 1, column),
                (row - 1, column),
                (row, column + 1),
                (row, column - 1),
            ]
            near = [one for one in near if min(one) >= 0 and max(one) < num_cells]
            near = [one for one in near if not is_in[one]]
            if not near:
                break
            degree[cell] += 1
            cell = near[rng.integers(len(near))]
            degree[cell] += 1
            is_in[cell] = True
        cell = tuple(rng.integers(num_cells, size=2))
    return degree


def test_mazes_have_as_many_ends_and_forks_as_the_algorithm_gives():
    rng = np.random.default_rng(0)
    count = 1500
    wanted = np.stack([hunt_and_kill(rng, 5) for _ in range(count)])
    keys = jax.random.split(jax.random.PRNGKey(1), count)
    open_ = np.asarray(jax.jit(jax.vmap(lambda key: carve(key, 5)))(keys)).astype(int)
    got = open_[:, :-1:2, 1::2] + open_[:, 2::2, 1::2]
    got = got + open_[:, 1::2, :-1:2] + open_[:, 1::2, 2::2]
    for degree in (1, 2, 3):
        shares = [(cells == degree).mean((1, 2)) for cells in (wanted, got)]
        error = np.sqrt(sum(share.var() for share in shares) / count)
        assert abs(shares[0].mean() - shares[1].mean()) < 4.5 * error


def test_entrances_lie_in_opposite_walls():
    keys = jax.random.split(jax.random.PRNGKey(0), 2000)
    draw = jax.jit(jax.vmap(lambda key: draw_entrances(key, 5)))
    start, goal = (np.asarray(square) for square in draw(keys))
    sides = [start[:, 0] == 0, start[:, 0] == 10, start[:, 1] == 0, start[:, 1] == 10]
    assert (sum(sides) == 1).all()
    for index, side in enumerate(sides):
        axis, place = index // 2, (10, 0)[index % 2]
        assert (goal[side, axis] == place).all()
        assert abs(side.mean() - 1 / 4) < 4.5 * 0.433 / 2000**0.5
        for squares in (start, goal):
            assert set(np.unique(squares[side, 1 - axis])) == {1, 3, 5, 7, 9}


def test_sizes_are_even():
    assert list(LabyrinthEscape(size=11).setting_problems()) == [("size", "even")]
    assert not list(LabyrinthEscape().setting_problems())
