"""Network, loss and update, by numbers worked out by hand."""

import math
import re
from dataclasses import replace

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from stones import TINY, Stones, positions, tiny_agent

from tolman.agents.alphazero import AlphaZero, AlphaZeroConfig, Positions, tree_bytes
from tolman.agents.alphazero.loss import alphazero_loss, dense_policy, weight_loss
from tolman.agents.alphazero.network import PlanesNorm, Prediction, make_network
from tolman.launchers.catalog.names import GAME, registered

GAMES = registered(GAME)


def test_loss_by_hand():
    logits = jnp.log(jnp.array([[0.5, 0.25, 0.25], [0.1, 0.1, 0.8]]))
    policy = jnp.array([[1.0, 0.0, 0.0], [0.0, 0.5, 0.5]])
    prediction = Prediction(logits, jnp.array([0.5, -0.25]))
    total, metrics = alphazero_loss(prediction, policy, jnp.array([1.0, -1.0]), 2.0)
    value = (0.25 + 0.5625) / 2
    cross = (-math.log(0.5) - 0.5 * math.log(0.1) - 0.5 * math.log(0.8)) / 2
    entropy = math.log(2) / 2
    assert float(metrics["loss/value"]) == pytest.approx(value)
    assert float(metrics["loss/policy"]) == pytest.approx(cross)
    assert float(metrics["loss/policy_divergence"]) == pytest.approx(cross - entropy)
    assert float(total) == pytest.approx(2 * value + cross)
    assert float(weight_loss({"w": jnp.array([1.0, -2.0]), "b": jnp.array(3.0)}, 0.1)) == (
        pytest.approx(1.4)
    )


def test_policy_from_slots():
    slots = jnp.array([[3, 1, 0], [2, 0, 0]])  # The last two slots of row 2 are empty.
    weights = jnp.array([[0.5, 0.3, 0.2], [1.0, 0.0, 0.0]])
    np.testing.assert_allclose(
        dense_policy(slots, weights, 4), [[0.2, 0.3, 0.0, 0.5], [0.0, 0.0, 1.0, 0.0]]
    )


def test_planes_are_normalised_as_by_haiku():
    """The same parameters under the same names, the same numbers, the same gradients."""
    ours = hk.without_apply_rng(hk.transform(lambda x: PlanesNorm("layer_norm")(x)))
    haikus = hk.without_apply_rng(
        hk.transform(lambda x: hk.LayerNorm(slice(1, None), True, True, param_axis=-1)(x))
    )
    x, weights = jax.random.normal(jax.random.PRNGKey(0), (2, 4, 6, 7, 5)) * 3 + 2
    params = {"layer_norm": {"scale": jnp.arange(1.0, 6.0), "offset": jnp.arange(5.0)}}
    start = ours.init(jax.random.PRNGKey(0), x)
    assert str(start) == str(haikus.init(jax.random.PRNGKey(0), x))

    def loss(norm):
        return lambda params, x: (norm.apply(params, x) * weights).sum()

    found, expected = (
        jax.value_and_grad(loss(norm), (0, 1))(params, x) for norm in (ours, haikus)
    )
    for one, other in zip(*map(jax.tree.leaves, (found, expected)), strict=True):
        np.testing.assert_allclose(one, other, rtol=2e-5, atol=2e-5)


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="only a CPU adds one by one")
def test_planes_are_summed_by_filter_first():
    """In the compiled program too: no sum goes over a whole position at once."""
    norm = hk.without_apply_rng(hk.transform(lambda x: PlanesNorm()(x)))
    x = jnp.ones((4, 6, 7, 5))
    params = norm.init(jax.random.PRNGKey(0), x)
    program = jax.jit(norm.apply).lower(params, x).compile().as_text()
    reduced = re.findall(r" reduce\(.*dimensions=\{([0-9,]*)\}", program)
    assert reduced.count("1,2") == 2 and "1,2,3" not in reduced


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_position_has_one_value_in_any_batch(precision):
    """From the first game on; a fresh network is no one-move wonder either."""
    game = GAMES["tic_tac_toe"]()
    agent, params = tiny_agent(game, precision=precision)
    observation = jax.vmap(game.observe)(positions(game, 8, 3))
    apply = jax.jit(agent.network.apply)
    together, alone = apply(params, observation), apply(params, observation[2:3])
    atol = 1e-6 if precision == "float32" else 2e-2
    np.testing.assert_allclose(together.logits[2], alone.logits[0], atol=atol)
    np.testing.assert_allclose(together.value[2], alone.value[0], atol=atol)
    policy = jax.nn.softmax(together.logits)
    assert np.isfinite(together.logits).all() and (np.abs(together.value) < 0.99).all()
    assert (-(policy * jnp.log(policy)).sum(-1) > 0.5 * math.log(9)).all()
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {jnp.dtype(jnp.float32)}


def test_policy_heads_fit_the_actions():
    for name, is_plane in (("tic_tac_toe", True), ("connect_four", False)):
        game = GAMES[name]()
        for head in ("auto", "flat"):
            config = replace(TINY, policy_head=head)
            network = make_network(config, game.observation_spec(), game.info)
            params = jax.eval_shape(network.init, jax.random.PRNGKey(0))
            observation = jax.vmap(game.observe)(positions(game, 2, 2))
            seen = jax.eval_shape(network.apply, params, observation)
            assert seen.logits.shape == (2, game.info.num_actions)
            # Of linear layers the value head has two, a flat policy one.
            num_linear = sum("linear" in key for key in params)
            assert num_linear == (2 if is_plane and head == "auto" else 3)


def test_planes_are_refused_where_actions_belong_to_no_square():
    game = GAMES["connect_four"]()
    config = replace(TINY, policy_head="planes")
    with pytest.raises(ValueError, match="policy-head flat"):
        make_network(config, game.observation_spec(), game.info)


def batch_of(game, size=16, seed=0):
    observation = jax.vmap(game.observe)(positions(game, size, 3, seed))
    rng = np.random.default_rng(seed)
    num_actions = game.info.num_actions
    weights = rng.dirichlet(np.ones(num_actions), size).astype(np.float32)
    slots = np.tile(np.arange(num_actions), (size, 1))
    outcome = rng.choice([-1.0, 0.0, 1.0], size).astype(np.float32)
    return Positions(observation, jnp.asarray(slots), jnp.asarray(weights), outcome)


@pytest.mark.parametrize("optimizer", ["momentum", "adam"])
def test_loss_falls_on_a_fixed_batch(optimizer):
    game = GAMES["tic_tac_toe"]()
    config = replace(TINY, optimizer=optimizer, learning_rate=0.01)
    agent = AlphaZero(config, game)
    learner, batch = agent.init(jax.random.PRNGKey(0)), batch_of(game)
    update = jax.jit(agent.update)
    totals = []
    for _ in range(150):
        learner, metrics, _ = update(
            learner, batch, jax.random.PRNGKey(0), jnp.float32(0.0)
        )
        totals.append(float(metrics["loss/total"]))
    assert totals[-1] < 0.85 * totals[0] and int(learner.updates) == 150


def test_weights_shrink_by_their_cost():
    """The slope of c w^2 is 2 c w: what the first step has more with the cost."""
    game, moved = Stones(), []
    batch, key = batch_of(game), jax.random.PRNGKey(0)
    settings = replace(TINY, optimizer="momentum", learning_rate=0.1)
    learner = jax.jit(AlphaZero(settings, game).init)(key)
    for cost in (0.0, 0.25):
        agent = AlphaZero(replace(settings, weight_cost=cost), game)
        learned = jax.jit(agent.update)(learner, batch, key, jnp.float32(0.0))
        moved.append(learned.learner_state.params)
    jax.tree.map(
        lambda w, free, held: np.testing.assert_allclose(
            held - free, -0.1 * 2 * 0.25 * w, atol=1e-5
        ),
        learner.params,
        *moved,
    )


def test_learning_rate_drops_to_a_tenth():
    game = Stones()
    agent = AlphaZero(replace(TINY, learning_rate=0.1, learning_rate_drops=(2, 4)), game)
    learner, batch = agent.init(jax.random.PRNGKey(0)), batch_of(game)
    rates = []
    for _ in range(6):
        learner, metrics, _ = jax.jit(agent.update)(
            learner, batch, jax.random.PRNGKey(0), jnp.float32(0.0)
        )
        rates.append(float(metrics["learning_rate"]))
    np.testing.assert_allclose(rates, [0.1] * 2 + [0.01] * 2 + [0.001] * 2, rtol=1e-5)


def test_views_keep_observation_and_policy_together():
    """Each drawn view is one of the game's, and all are drawn."""
    game = GAMES["tic_tac_toe"]()
    agent = AlphaZero(replace(TINY, use_symmetries=True), game)
    batch = batch_of(game, size=200)
    seen, policies = jax.jit(agent._views)(batch, jax.random.PRNGKey(0))
    views, expected = jax.vmap(game.symmetries)(batch.observation, batch.weights)
    which = []
    for index in range(200):
        same = [
            view
            for view in range(views.shape[1])
            if np.array_equal(seen[index], views[index, view])
            and np.allclose(policies[index], expected[index, view])
        ]
        assert same
        which.append(same[0])
    assert set(which) == set(range(8))
    plain = AlphaZero(TINY, game)._views(batch, jax.random.PRNGKey(0))
    np.testing.assert_array_equal(plain[0], batch.observation)


def test_memory_of_a_search_is_bounded_and_known():
    """connect four: 7 slots of 6 tables and 5 numbers of 4 bytes, and the state."""
    game = GAMES["connect_four"]()
    state = jax.eval_shape(lambda: game.compact(game.init(jax.random.PRNGKey(0))))
    own = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(state))
    config = AlphaZeroConfig(num_simulations=800)
    expected = 256 * 801 * (4 * (6 * 7 + 5) + own)
    assert tree_bytes(game, config, 256) == expected
