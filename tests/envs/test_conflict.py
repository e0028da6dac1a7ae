"""Small conflicting games: places, moves and rewards worked out by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tolman.envs.conflict import catch, dodge, exchanged
from tolman.envs.conflict.crossing import (
    BAD,
    DOWN,
    GOOD,
    LEFT,
    PLAYER,
    RIGHT,
    STAY,
    UP,
    CrossingState,
)


def at(player, block, distance=7):
    return CrossingState(jnp.int32(player), jnp.int32(block), jnp.int32(distance))


def cells(observation, channel):
    return {(int(r), int(c)) for r, c in np.argwhere(np.asarray(observation)[..., channel])}


@pytest.mark.parametrize(
    ("game", "player", "good", "bad"),
    [
        (catch(), (7, 3), {(2, 1)}, set()),
        (dodge(), (3, 0), set(), {(row, 5) for row in range(1, 6)}),
        (exchanged(), (3, 7), {(1, 2)}, set()),
    ],
)
def test_where_things_stand_after_two_decisions(game, player, good, bad):
    state, timestep = at(3, 1), None
    for _ in range(2):
        state, timestep = game.step(state, jnp.int32(STAY))
    assert cells(timestep.observation, PLAYER) == {player}
    assert cells(timestep.observation, GOOD) == good
    assert cells(timestep.observation, BAD) == bad
    assert timestep.reward == 0 and timestep.discount == 1


@pytest.mark.parametrize(
    ("game", "moves"),
    [
        (catch(), {LEFT: 2, RIGHT: 4}),
        (dodge(), {UP: 2, DOWN: 4}),
        (exchanged(), {UP: 4, DOWN: 2}),
    ],
)
def test_two_actions_move_and_three_do_not_and_the_board_has_ends(game, moves):
    for action in range(5):
        state, _ = game.step(at(3, 1), jnp.int32(action))
        assert int(state.player) == moves.get(action, 3)
        for end in (0, 7):
            moved = moves.get(action, 3) - 3
            state, _ = game.step(at(end, 1), jnp.int32(action))
            assert int(state.player) == min(max(end + moved, 0), 7)


@pytest.mark.parametrize(
    ("game", "rewards"),
    [
        (catch(), {1: -1, 2: 1, 3: -1}),
        (exchanged(), {1: -1, 2: 1, 3: -1}),
        (dodge(), {1: 1, 2: -1, 6: -1, 7: 1}),
    ],
)
def test_the_last_decision_pays_and_ends(game, rewards):
    for player, reward in rewards.items():
        _, timestep = game.step(at(player, 2, 1), jnp.int32(STAY))
        assert timestep.reward == reward
        assert timestep.is_last() and timestep.discount == 0


def test_starts_are_all_over_the_board_and_within_it():
    keys = jax.random.split(jax.random.PRNGKey(0), 400)
    for game, num_blocks in ((catch(), 8), (dodge(), 4)):
        state, timestep = jax.vmap(game.reset)(keys)
        assert set(np.asarray(state.player)) == set(range(8))
        assert set(np.asarray(state.block)) == set(range(num_blocks))
        assert (state.distance == 7).all() and timestep.is_first().all()
