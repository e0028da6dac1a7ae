"""The search against PUCT written down slowly, and what it must see in any game."""

import functools
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles.puct import SlowPuct
from stones import Stones, positions, row, tiny_agent

from tolman.agents.alphazero import search as search_module
from tolman.agents.alphazero.network import Prediction
from tolman.agents.alphazero.puct import ILLEGAL, legal_noise, select_puct, to_prior
from tolman.agents.alphazero.search import Search
from tolman.launchers.catalog.names import GAME, registered

GAMES = registered(GAME)

BATCH = 4
SIMULATIONS = 60


def run(agent, params, state, explore=False, moves=0, simulations=SIMULATIONS, seed=1):
    batch_size = len(jax.tree.leaves(state)[0])
    search = jax.jit(agent.search, static_argnums=(4, 5))
    move_number = jnp.full(batch_size, moves, jnp.int32)
    out = search(params, jax.random.PRNGKey(seed), state, move_number, explore, simulations)
    return jax.device_get(out)


def oracle(agent, params, **settings):
    apply = jax.jit(agent.network.apply)
    config = agent.config

    def evaluate(state):
        prediction = apply(params, agent.game.observe(state)[None])
        return np.asarray(prediction.logits[0], np.float64), float(prediction.value[0])

    return SlowPuct(
        jitted(agent.game), evaluate, config.exploration_init, config.exploration_base,
        config.first_play, share=config.noise_share, **settings,
    )  # fmt: skip


@functools.cache
def jitted(game):
    """The game with its functions jitted."""
    names = ("step", "legal", "to_play", "is_over", "outcome")
    return types.SimpleNamespace(**{name: jax.jit(getattr(game, name)) for name in names})


def visits_by_action(searched, index):
    pairs = zip(searched.slots[index], searched.visits[index], strict=True)
    return {int(action): int(visits) for action, visits in pairs if visits > 0}


@pytest.mark.parametrize(
    ("game", "first_play"),
    [
        (Stones(), "parent"),
        (Stones(spread=3), "draw"),
        (Stones(spread=3), "loss"),
        (GAMES["connect_four"](), "draw"),
    ],
)
def test_visits_are_those_of_slow_puct(game, first_play):
    """Stones has extra turns, early ends and draws, and with `spread` compact slots."""
    agent, params = tiny_agent(game, scale=1.5, first_play=first_play)
    state = positions(game, BATCH, num_moves=3)
    found = run(agent, params, state)
    slow = oracle(agent, params)
    for index in range(BATCH):
        visits, _, value = slow.search(row(state, index), SIMULATIONS)
        assert visits_by_action(found, index) == {a: n for a, n in visits.items() if n}
        assert found.visits[index].sum() == SIMULATIONS
        assert found.value[index] == pytest.approx(value, abs=1e-5)
        assert found.action[index] == max(visits, key=lambda a: visits[a])


def test_noisy_visits_are_those_of_slow_puct_with_that_noise():
    game = GAMES["connect_four"]()
    agent, params = tiny_agent(game, scale=1.5, noise_alpha=0.5, noise_share=0.6)
    state = positions(game, BATCH, num_moves=20)
    found = run(agent, params, state, explore=True, moves=99)
    noise_key = jax.random.split(jax.random.PRNGKey(1), 3)[0]
    legal = jax.vmap(game.legal)(state)
    noise = np.asarray(legal_noise(noise_key, legal, 0.5))
    quiet = run(agent, params, state)
    for index in range(BATCH):
        drawn = {int(a): float(noise[index, a]) for a in np.flatnonzero(legal[index])}
        visits, _, _ = oracle(agent, params, noise=drawn).search(
            row(state, index), SIMULATIONS
        )
        assert visits_by_action(found, index) == {a: n for a, n in visits.items() if n}
    assert (found.visits != quiet.visits).any()


@pytest.mark.parametrize("search", ["puct", "gumbel"])
def test_compact_slots_search_as_dense_ones_do(search):
    """The same game with and without 15 actions that are never legal."""
    found = []
    for spread in (0, 3):
        game = Stones(spread=spread)
        agent, _ = tiny_agent(game, search=search)

        def apply(params, observation, width=spread + 1):
            stones = (observation[..., 0] * jnp.arange(13)).sum((1, 2))
            logits = jnp.sin(jnp.outer(stones + 1, jnp.array([1.3, 2.9, 4.1, 5.3, 7.7])))
            logits = jnp.repeat(2.0 * logits, width, axis=-1)
            return Prediction(logits, 0.8 * jnp.cos(5.0 * stones))

        agent.search = Search(game, apply, agent.config)
        assert agent.search.num_slots == 5
        out = run(agent, {}, positions(Stones(), BATCH, 2))
        visits = [visits_by_action(out, index) for index in range(BATCH)]
        numbers = [{a // (spread + 1): n for a, n in each.items()} for each in visits]
        found.append((numbers, out.action // (spread + 1), out.value))
    (dense_visits, dense_action, dense_value), (visits, action, value) = found
    assert dense_visits == visits
    np.testing.assert_array_equal(dense_action, action)
    np.testing.assert_allclose(dense_value, value, atol=1e-5)


def test_fewer_slots_than_legal_moves_keep_those_of_the_largest_prior():
    game = Stones()
    agent, params = tiny_agent(game, scale=2.0, max_num_slots=2)
    state = positions(game, BATCH, 1)
    found = run(agent, params, state)
    logits = agent.network.apply(params, jax.vmap(game.observe)(state)).logits
    legal = jax.vmap(game.legal)(state)
    best = np.argsort(-np.where(legal, logits, -np.inf), axis=-1)[:, :2]
    np.testing.assert_array_equal(found.slots, best)
    np.testing.assert_array_equal(found.visits.sum(-1), SIMULATIONS)


def test_noise_is_over_the_legal_moves_and_sums_to_one():
    legal = np.random.default_rng(0).random((500, 40)) < 0.2
    legal[:, 7] = True
    for alpha in (0.03, 0.3, 1.0):
        noise = np.asarray(legal_noise(jax.random.PRNGKey(0), jnp.asarray(legal), alpha))
        assert np.isfinite(noise).all() and (noise[~legal] == 0.0).all()
        np.testing.assert_allclose(noise.sum(-1), 1.0, rtol=1e-5)
    # Each of n legal moves has mean 1/n and variance (1/n)(1 - 1/n) / (n alpha + 1).
    many = np.asarray(legal_noise(jax.random.PRNGKey(1), jnp.ones((20_000, 5), bool), 0.3))
    np.testing.assert_allclose(many.mean(0), 0.2, atol=0.01)
    np.testing.assert_allclose(many.var(0), 0.16 / 2.5, atol=0.004)


@pytest.mark.parametrize(("value", "slot"), [(1.3, 1), (1.4, 0)])
def test_the_rate_of_exploration_by_hand(value, slot):
    """init 0 and base 1 after 4 visits: log((1 + 4 + 1) / 1) = 1.792.

    Slot 0, visited 3 times: value + 1.792 * 0.5 * 2 / 4. Slot 1, not yet: 1.792 * 0.5 * 2.
    So slot 1 is next where the value is below 0.75 * 1.792 = 1.344.
    """
    tree = types.SimpleNamespace(
        children_prior_logits=jnp.full((1, 2), 0.5),
        children_visits=jnp.array([[3, 0]]),
        children_rewards=jnp.zeros((1, 2)),
        children_discounts=jnp.ones((1, 2)),
        children_values=jnp.array([[value, 0.0]]),
        node_values=jnp.zeros(1),
        node_visits=jnp.array([4]),
    )
    assert int(select_puct(None, tree, 0, 0, 0.0, 1.0, "draw")) == slot


def test_prior_is_renormalised_over_legal_moves():
    logits = jnp.array([[0.0, jnp.log(3.0), ILLEGAL], [ILLEGAL] * 3])
    expected = [[0.25, 0.75, -1.0], [1 / 3] * 3]  # Row 2: a game that is over.
    np.testing.assert_allclose(to_prior(logits), expected, rtol=1e-6)


def test_no_illegal_move_is_ever_tried_or_weighed():
    game = GAMES["connect_four"]()
    state = positions(game, 32, 30)
    for search in ("puct", "gumbel"):
        agent, params = tiny_agent(game, search=search, scale=2.0)
        for explore in (False, True):
            found = run(agent, params, state, explore, simulations=20)
            legal = np.asarray(jax.vmap(game.legal)(state))
            assert (found.visits[~legal] == 0).all() and (found.weights[~legal] == 0).all()
            np.testing.assert_allclose(found.weights.sum(-1), 1.0, rtol=1e-5)
            assert legal[np.arange(32), found.action].all()


def test_opening_moves_are_drawn_as_often_as_they_were_visited():
    game = Stones()
    agent, params = tiny_agent(game, num_exploring_moves=5, noise_share=0.0)
    state = jax.vmap(game.init)(jax.random.split(jax.random.PRNGKey(0), 4000))
    drawn = run(agent, params, state, explore=True, moves=4, simulations=12)
    share = np.bincount(drawn.action, minlength=5) / 4000
    np.testing.assert_allclose(share, drawn.weights[0], atol=0.03)
    later = run(agent, params, state, explore=True, moves=5, simulations=12)
    assert (later.action == drawn.visits[0].argmax()).all()


# --- What a search must see, whatever the network thinks. ---------------------------------

LINES = {  # Moves to: a win in one for the player to move; a loss in two for that player.
    "tic_tac_toe": ([0, 3, 1, 4], [0, 4, 5, 6, 3, 7]),
    "connect_four": ([3, 0, 3, 0, 3, 1], [3, 0, 3, 0, 2, 6, 4]),
}


def play(game, moves):
    state = game.init(jax.random.PRNGKey(0))
    for move in moves:
        assert game.legal(state)[move]
        state = game.step(state, jnp.int32(move))
    return state


def values(name, simulations=800):
    """Of a position won in one and of one lost in two, from the mover's side, by seeds."""
    game = GAMES[name]()
    agent, _ = tiny_agent(game)
    state = jax.tree.map(
        lambda *leaves: jnp.stack(leaves), *(play(game, moves) for moves in LINES[name])
    )
    found = []
    for seed in range(3):
        _, params = tiny_agent(game, seed=seed)
        found.append(run(agent, params, state, simulations=simulations).value)
    return np.array(found).T


@pytest.mark.parametrize("name", LINES)
def test_a_win_in_one_is_worth_1_and_a_lost_position_minus_1(name):
    won, lost = values(name)
    assert (won > 0.85).all() and (lost < -0.8).all()


def test_twin_with_the_sign_flipped_sees_neither(monkeypatch):
    step = search_module.score_step

    def flipped(*arguments):
        score = step(*arguments)
        return score._replace(discount=jnp.abs(score.discount))

    monkeypatch.setattr(search_module, "score_step", flipped)
    _, lost = values("tic_tac_toe")
    assert not (lost < -0.8).any()


def test_twin_that_asks_the_network_how_a_game_ended_sees_neither(monkeypatch):
    def asked(mover, player, is_over, outcome, value):
        discount = jnp.where(mover == player, 1.0, -1.0)
        return search_module.Step(jnp.zeros_like(value), discount, value)

    monkeypatch.setattr(search_module, "score_step", asked)
    won, lost = values("tic_tac_toe")
    assert not (won > 0.85).any() and not (lost < -0.8).any()
