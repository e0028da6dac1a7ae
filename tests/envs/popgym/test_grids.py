"""POPGym's Battleship and Minesweeper by hand."""

import jax
import numpy as np
import pytest
from popgym_rows import play

from tolman.envs.popgym.battleship import Battleship, BattleshipState
from tolman.envs.popgym.minesweeper import (
    Minesweeper,
    MinesweeperHard,
    MinesweeperState,
)
from tolman.launchers.settings.bounds import check_settings

START = np.int32(0)


def board(text):
    """`#` is True; lines are rows."""
    return np.array([[letter == "#" for letter in line] for line in text.split()])


FLEET = board("""
    ##......
    ........
    ###.....
    ........
    ###.....
    ........
    ####....
    ........
""")


def test_battleship_pays_a_first_hit_and_nothing_twice():
    state = BattleshipState(FLEET, np.zeros((8, 8), bool), START)
    actions = [(0, 0), (0, 0), (0, 2), (6, 3), (1, 0), (1, 0)]
    _, seen, reward, ends, _ = play(Battleship(), state, actions)
    assert seen.tolist() == [1, 0, 0, 1, 0, 0]
    hit, miss = 1 / 12, -1 / 52  # Of 64 fields 52 are water.
    np.testing.assert_allclose(reward, [hit, miss, miss, hit, miss, miss], rtol=1e-6)
    assert not ends.any()


def test_battleship_is_over_with_the_last_hit():
    state = BattleshipState(FLEET, np.zeros((8, 8), bool), START)
    _, _, reward, ends, discount = play(Battleship(), state, np.argwhere(FLEET))
    np.testing.assert_allclose(reward.sum(), 1.0, rtol=1e-6)
    assert ends.tolist() == [False] * 11 + [True] and discount[-1] == 0.0


def test_battleship_is_cut_and_every_field_once_returns_0():
    everything = np.argwhere(np.ones((8, 8)))
    order = np.concatenate([everything[1:], everything[:1]])  # A hit comes last.
    state = BattleshipState(FLEET, np.zeros((8, 8), bool), START)
    _, _, reward, ends, discount = play(Battleship(), state, order)
    np.testing.assert_allclose(reward.sum(), 0.0, atol=1e-6)
    assert ends.tolist() == [False] * 63 + [True] and discount[-1] == 0.0
    _, _, reward, ends, discount = play(Battleship(), state, [(7, 7)] * 64)
    assert ends.tolist() == [False] * 63 + [True] and discount[-1] == 1.0
    np.testing.assert_allclose(reward.sum(), -64 / 52, rtol=1e-5)


def place_by_rejection(rng, size):
    """Ships drawn until they fit: a field, a direction, as long as it is off or taken."""
    taken = np.zeros((size, size), int)
    for length in (2, 3, 3, 4):
        while True:
            row, column = rng.integers(size, size=2)
            down, right = [(0, 1), (1, 0), (0, -1), (-1, 0)][rng.integers(4)]
            ends = (row + down * (length - 1), column + right * (length - 1))
            if min(ends) < 0 or max(ends) >= size:
                continue
            rows = row + down * np.arange(length)
            columns = column + right * np.arange(length)
            if not taken[rows, columns].any():
                break
        taken[rows, columns] = 1
    return taken


def test_ships_lie_as_if_drawn_until_they_fit():
    count = 4000
    rng = np.random.default_rng(0)
    wanted = np.stack([place_by_rejection(rng, 8) for _ in range(count)])
    keys = jax.random.split(jax.random.PRNGKey(0), count)
    got = np.asarray(jax.jit(jax.vmap(Battleship().reset))(keys)[0].is_ship)
    assert (got.sum((1, 2)) == 12).all()
    error = np.sqrt((wanted.var(0) + got.var(0)) / count)
    assert (np.abs(wanted.mean(0) - got.mean(0)) < 4.5 * error).all()
    # The same of two neighbours at once, across and down.
    for axis in (1, 2):
        pairs = [np.diff(fleet, axis=axis) == 0 for fleet in (wanted, got * 1)]
        error = np.sqrt(sum(pair.var(0) for pair in pairs) / count)
        apart = np.abs(pairs[0].mean(0) - pairs[1].mean(0))
        assert (apart < 4.5 * error).all()


MINES = board("""
    #...
    .#..
    ....
    ....
""")


def test_minesweeper_tells_the_mines_around():
    state = MinesweeperState(MINES, np.zeros((4, 4), bool), START)
    actions = [(0, 1), (1, 0), (2, 2), (3, 3), (2, 2), (0, 3), (0, 0)]
    _, seen, reward, ends, discount = play(Minesweeper(), state, actions)
    assert seen.tolist() == [2, 2, 1, 0, 1, 0, 2]  # A mine counts itself.
    # Of 14 free fields each pays 1 / 14; a second view costs 0.5 / 12.
    free = 1 / 14
    paid = [free, free, free, free, -0.5 / 12, free, -0.5 - free]
    np.testing.assert_allclose(reward, paid, rtol=1e-6)
    assert ends.tolist() == [False] * 6 + [True] and discount[-1] == 0.0


def test_minesweeper_is_won_or_cut():
    state = MinesweeperState(MINES, np.zeros((4, 4), bool), START)
    _, _, reward, ends, discount = play(Minesweeper(), state, np.argwhere(~MINES))
    np.testing.assert_allclose(reward.sum(), 1.0, rtol=1e-6)
    assert ends.tolist() == [False] * 13 + [True] and discount[-1] == 0.0
    _, _, _, ends, discount = play(Minesweeper(), state, [(3, 3)] * 14)
    assert ends.tolist() == [False] * 13 + [True] and discount[-1] == 1.0


@pytest.mark.parametrize("environment", [Minesweeper(), MinesweeperHard()])
def test_mines_lie_anywhere(environment):
    keys = jax.random.split(jax.random.PRNGKey(0), 4000)
    mines = np.asarray(jax.jit(jax.vmap(environment.reset))(keys)[0].is_mine)
    assert (mines.sum((1, 2)) == environment.num_mines).all()
    share = environment.num_mines / environment.size**2
    error = np.sqrt(share * (1 - share) / 4000)
    assert (np.abs(mines.mean(0) - share) < 4.5 * error).all()


def test_as_many_mines_are_seen_as_lie_there_or_in_nine_fields():
    assert Minesweeper().observation_spec().num_values == 3
    assert MinesweeperHard().observation_spec().num_values == 10


def test_ships_need_six_fields_a_side():
    with pytest.raises(ValueError, match="size=5: must be at least 6"):
        check_settings(Battleship(5))
    check_settings(Battleship(6))


def test_settings_leave_free_fields():
    assert list(Minesweeper(4, 14).setting_problems()) == [
        ("num_mines", "at most 13, 3 fields less than there are")
    ]
    assert not list(Minesweeper(4, 13).setting_problems())
