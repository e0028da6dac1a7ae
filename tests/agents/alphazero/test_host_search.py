"""The search over rules on the host: the same visits as the one in JAX."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from mctx._src.seq_halving import get_sequence_of_considered_visits
from stones import HostStones, Stones, tiny_agent

from tolman.agents.alphazero import AlphaZeroConfig, HostSearch
from tolman.agents.alphazero.host_choice import Puct, considered_visits

BATCH, SIMULATIONS = 4, 50
OPENINGS = [[], [0], [2, 0], [4, 1]]  # Of Stones; each leaves a game under way.


def both(explore=False, moves=0, simulations=SIMULATIONS, **settings):
    """What the two searches find out in the same positions."""
    agent, params = tiny_agent(Stones(), scale=1.5, **settings)
    states, hosts = [], []
    for opening in OPENINGS:
        state, host = Stones().init(None), HostStones()
        for action in opening:
            state = Stones().step(state, action)
            host.step(action)
        states.append(state)
        hosts.append(host)
    state = jax.tree.map(lambda *leaves: jnp.stack(leaves), *states)
    search = jax.jit(agent.search, static_argnums=(4, 5))
    move_number = jnp.full(BATCH, moves, jnp.int32)
    key = jax.random.PRNGKey(0)
    in_jax = search(params, key, state, move_number, explore, simulations)
    host_search = HostSearch(HostStones().info, agent.network.apply, agent.config)
    rng = np.random.default_rng(0)
    on_host = host_search(params, rng, hosts, np.full(BATCH, moves), explore, simulations)
    return jax.device_get(in_jax), on_host, hosts


def by_action(searched, index):
    pairs = zip(searched.slots[index], searched.visits[index], strict=True)
    return {int(action): int(visits) for action, visits in pairs if visits}


def dense(searched, index):
    policy = np.zeros(Stones().info.num_actions)
    np.add.at(policy, searched.slots[index], searched.weights[index])
    return policy


@pytest.mark.parametrize("max_num_slots", [0, 2])
@pytest.mark.parametrize("first_play", ["draw", "parent"])
def test_both_searches_make_the_same_visits(first_play, max_num_slots):
    """Among all moves, and among the two of the largest prior."""
    in_jax, on_host, hosts = both(first_play=first_play, max_num_slots=max_num_slots)
    for index in range(BATCH):
        assert by_action(in_jax, index) == by_action(on_host, index)
    np.testing.assert_allclose(in_jax.value, on_host.value, atol=1e-5)
    np.testing.assert_array_equal(in_jax.action, on_host.action)
    assert [game.stones for game in hosts] == [12, 11, 8, 5]  # Left as they were.


def test_noise_and_chance_are_for_self_play_only():
    _, quiet, _ = both()
    _, noisy, _ = both(explore=True, moves=99, noise_share=0.9)
    assert (quiet.visits != noisy.visits).any()
    np.testing.assert_array_equal(
        noisy.action, noisy.slots[np.arange(BATCH), noisy.visits.argmax(-1)]
    )
    np.testing.assert_array_equal(noisy.visits.sum(-1), SIMULATIONS)


@pytest.mark.parametrize("simulations", [5, 50])
@pytest.mark.parametrize("scales", [True, False])
def test_both_gumbel_searches_agree_without_noise(scales, simulations):
    """Three of up to five moves are considered, so some are never tried."""
    settings = {"gumbel_scales_values": scales, "num_considered_actions": 3}
    in_jax, on_host, _ = both(simulations=simulations, search="gumbel", **settings)
    for index in range(BATCH):
        assert by_action(in_jax, index) == by_action(on_host, index)
        np.testing.assert_allclose(
            dense(in_jax, index), dense(on_host, index), atol=1e-4, rtol=1e-4
        )
    np.testing.assert_array_equal(in_jax.action, on_host.action)
    np.testing.assert_allclose(in_jax.value, on_host.value, atol=1e-5)


def test_gumbel_has_noise_in_the_opening_of_self_play_only():
    _, quiet, _ = both(search="gumbel")
    _, late, _ = both(search="gumbel", explore=True, moves=99)
    _, noisy, _ = both(search="gumbel", explore=True)
    np.testing.assert_array_equal(quiet.visits, late.visits)
    assert (quiet.visits != noisy.visits).any()
    np.testing.assert_allclose(noisy.weights.sum(-1), 1.0, atol=1e-6)


@pytest.mark.parametrize("num_considered", [1, 2, 3, 5, 8, 16])
@pytest.mark.parametrize("num_simulations", [1, 7, 16, 50, 200])
def test_halving_visits_as_mctx_does(num_considered, num_simulations):
    expected = get_sequence_of_considered_visits(num_considered, num_simulations)
    assert tuple(considered_visits(num_considered, num_simulations)) == expected


def test_halving_by_hand():
    """Of four moves all are tried twice in a row, then two of them for the rest."""
    expected = (0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5)
    assert considered_visits(4, 16) == expected


def test_noise_of_the_host_is_dirichlet_with_the_alpha_of_the_config():
    """Of 5 moves the variance of a share is 0.2 * 0.8 / (5 alpha + 1)."""
    rng = np.random.default_rng(0)
    for alpha in (0.03, 0.3, 3.0):
        choice = Puct(AlphaZeroConfig(noise_alpha=alpha, noise_share=0.25))
        noises = []
        for _ in range(2000):
            root = SimpleNamespace(prior=np.full(5, 0.2))
            choice.begin(root, rng, True, False)
            noises.append((root.prior - 0.75 * 0.2) / 0.25)
        noises = np.array(noises)
        np.testing.assert_allclose(noises.sum(axis=1), 1.0)
        assert noises.var() == pytest.approx(0.16 / (5.0 * alpha + 1.0), rel=0.1)
