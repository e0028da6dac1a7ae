"""The search over rules on the host: the same visits as the one in JAX."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from stones import HostStones, Stones, tiny_agent

from tolman.agents.alphazero import HostSearch

BATCH, SIMULATIONS = 4, 50
OPENINGS = [[], [0], [2, 0], [4, 1]]  # Of Stones; each leaves a game under way.


def both(explore=False, moves=0, **settings):
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
    in_jax = search(params, key, state, move_number, explore, SIMULATIONS)
    host_search = HostSearch(HostStones().info, agent.network.apply, agent.config)
    rng = np.random.default_rng(0)
    on_host = host_search(params, rng, hosts, np.full(BATCH, moves), explore, SIMULATIONS)
    return jax.device_get(in_jax), on_host, hosts


def by_action(searched, index):
    pairs = zip(searched.slots[index], searched.visits[index], strict=True)
    return {int(action): int(visits) for action, visits in pairs if visits}


@pytest.mark.parametrize("first_play", ["draw", "parent"])
def test_both_searches_make_the_same_visits(first_play):
    in_jax, on_host, hosts = both(first_play=first_play)
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


def test_gumbel_is_refused_in_one_line():
    agent, _ = tiny_agent(Stones(), search="gumbel")
    with pytest.raises(ValueError, match="search puct"):
        HostSearch(HostStones().info, agent.network.apply, agent.config)
