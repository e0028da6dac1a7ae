"""Packed planes come back to the bit, and take a tenth of the room."""

from dataclasses import replace

import jax
import numpy as np
import pytest
from stones import TINY, HostStones

from tolman.agents.alphazero import AlphaZero
from tolman.envs.board.openspiel_games import openspiel_game
from tolman.envs.board.planes import pack, unpack
from tolman.launchers.self_play.players import make_player


class Masked(HostStones):
    """Stones whose replay keeps bits."""

    @property
    def info(self):
        return super().info._replace(planes_are_masks=True)

    def new(self):
        return Masked(self.start)


@pytest.mark.parametrize(
    ("name", "most_bytes"), [("chess", 1500), ("shogi", 5500), ("go_9x9", 300)]
)
def test_positions_of_random_games_come_back(name, most_bytes):
    game, rng = openspiel_game(name), np.random.default_rng(0)
    planes = []
    for _ in range(60):
        planes.append(game.observe())
        game.step(int(rng.choice(game.legal_actions())))
    packed = pack(np.stack(planes))
    assert sum(leaf[0].nbytes for leaf in packed) <= most_bytes
    shape = game.observation_spec().shape
    again = jax.jit(unpack, static_argnums=1)(packed, shape)
    np.testing.assert_array_equal(again, np.stack(planes))


def test_numbers_below_0_and_odd_boards_come_back():
    planes = np.zeros((2, 3, 3, 2), np.float32)
    planes[0, 1, 2, 0], planes[1, :, :, 1] = -2.5, -1.0
    np.testing.assert_array_equal(unpack(pack(planes), (3, 3, 2)), planes)


def test_two_numbers_in_a_plane_are_refused():
    planes = np.zeros((1, 2, 2, 1), np.float32)
    planes[0, 0, :, 0] = 1.0, 2.0
    with pytest.raises(ValueError, match="planes_are_masks"):
        pack(planes)


def test_self_play_learns_from_the_same_planes():
    config = replace(TINY, num_simulations=4, num_parallel_games=3, moves_per_iteration=4)
    seen = []
    for game in (HostStones(), Masked()):
        agent = AlphaZero(config, game)
        player = make_player(agent, jax.devices()[:1])
        games = player.start(jax.random.PRNGKey(0))
        params = agent.init(jax.random.PRNGKey(0)).params
        _, moves = player.play(params, games, jax.random.PRNGKey(1))
        like = jax.tree.map(lambda leaf: leaf[:1, 0], moves)
        alike = jax.tree.map(lambda a, b: a.dtype == b.dtype, like, player.example())
        assert all(jax.tree.leaves(alike))
        rows = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), moves.position)
        seen.append(np.asarray(player.observe(rows)))
    np.testing.assert_array_equal(*seen)
