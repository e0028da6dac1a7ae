"""Noise in the weights: where it goes and how much, by hand and against the agent."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tolman.envs.conflict import SIDE, catch
from tolman.launchers.device.episodes import play_episodes
from tolman.launchers.studies.ewc import perturbation
from tolman.launchers.studies.ewc.control_sequence import make_agent
from tolman.launchers.studies.ewc.perturbation import (
    DAMPING,
    SIZES,
    Borne,
    Shaken,
    ShakenAgent,
    deviations,
    fisher_of,
    shuffled_in_use,
    size_at,
)
from tolman.launchers.studies.study import Study

KEY = jax.random.PRNGKey(0)
FISHER = {"a": jnp.array([0.0, 1.0, 2.0]), "b": jnp.array([[3.0, 0.0]])}
WEIGHTS = {"a": jnp.array([1.0, 2.0, 0.0]), "b": jnp.array([[2.0, 4.0]])}  # Length 5.


@pytest.fixture(scope="module")
def agent():
    return make_agent(0.0)


@pytest.fixture(scope="module")
def params(agent):
    """Of two members."""
    return jax.jit(jax.vmap(agent.init))(jax.random.split(KEY)).params


def test_where_noise_goes_and_how_much_by_hand():
    of = {noise: deviations(FISHER, WEIGHTS, noise, KEY) for noise in perturbation.NOISES}
    for one in of.values():
        assert sum(float((d**2).sum()) for d in jax.tree.leaves(one)) == pytest.approx(25)
    even = 5 / np.sqrt(3)
    np.testing.assert_allclose(of["uniform"]["a"], [0, even, even], rtol=1e-6)
    np.testing.assert_allclose(of["uniform"]["b"], [[even, 0]], rtol=1e-6)
    even = 5 / np.sqrt(2)
    np.testing.assert_allclose(of["null"]["a"], [even, 0, 0], rtol=1e-6)
    np.testing.assert_allclose(of["null"]["b"], [[0, even]], rtol=1e-6)
    damping = DAMPING * (1 + 2 + 3) / 3
    variance = 1 / (np.array([1.0, 2.0, 3.0]) + damping)
    one, two, three = np.sqrt(25 * variance / variance.sum())
    np.testing.assert_allclose(of["inverse"]["a"], [0, one, two], rtol=1e-6)
    np.testing.assert_allclose(of["inverse"]["b"], [[three, 0]], rtol=1e-6)
    nowhere = deviations({"a": jnp.ones(2)}, {"a": jnp.ones(2)}, "null", KEY)
    assert np.isnan(nowhere["a"]).all()  # And not 0, which would do no harm.


def test_a_shuffled_fisher_has_the_values_in_use_in_another_order():
    fisher = {"a": jnp.where(jnp.arange(40) % 3 > 0, jnp.arange(40.0), 0.0).reshape(5, 8)}
    mixed = shuffled_in_use(fisher, KEY)["a"]
    np.testing.assert_array_equal(mixed > 0, fisher["a"] > 0)
    np.testing.assert_array_equal(np.sort(mixed.ravel()), np.sort(fisher["a"].ravel()))
    assert (mixed != fisher["a"]).sum() > 15


def test_every_environment_and_decision_has_noise_of_its_own(agent, params):
    """Zero deviation changes nothing; with some, equal rows get unequal values."""
    one = jax.tree.map(lambda leaf: leaf[0], params)
    timestep = catch().reset(KEY)[1]
    rows = jax.tree.map(
        lambda leaf: jnp.broadcast_to(leaf, (6, *jnp.shape(leaf))), timestep
    )
    state, shaken = agent.initial_actor_state(6), ShakenAgent(agent)

    @jax.jit
    def values(deviation, key):
        deviations = jax.tree.map(
            lambda leaf: jnp.full_like(leaf, deviation), one.weights.shared
        )
        noise = shaken.draw_noise(key, 6)
        return shaken.act(Shaken(one, deviations), noise, rows, state)[0].policy

    plain = agent.act(one, agent.draw_noise(KEY, 6), rows, state)[0].policy
    np.testing.assert_allclose(values(0.0, KEY), plain, rtol=1e-5, atol=1e-6)
    moved, again = values(0.1, KEY), values(0.1, jax.random.PRNGKey(1))
    assert len(np.unique(np.concatenate([moved, again])[:, 0])) == 12
    # With weights of 0 a layer's noise is all there is: the last has its size.
    assert np.abs(moved - plain).mean() > 0.01


def test_the_fisher_is_of_each_member_at_the_states_it_comes_to(agent, params):
    found = fisher_of(agent, catch(), params, KEY, 2, SIDE - 1)
    played = play_episodes(agent, catch(), params, KEY, 2, chunk_length=SIDE - 1)
    for member in range(2):
        board = played.timestep.observation[: SIDE - 1, member].reshape(-1, SIDE**2 * 3)
        first = next(
            name for name, layer in found.items() if layer["w"].shape[1] == SIDE**2 * 3
        )
        at_input = np.asarray(found[first]["w"])[member].sum(-1)
        np.testing.assert_array_equal(at_input > 0, board.any(0))


def test_shares_and_sizes_by_hand():
    borne = Borne(
        {"uniform": np.array([[1.0, 1.0], [0.5, 0.1], [-0.8, -0.6]])},
        without=np.array([1.0, 1.0]),
        random=np.array([-0.8, -0.6]),
    )
    np.testing.assert_allclose(borne.share("uniform"), [1, (1.3 + 0.7) / 2 / 1.7, 0])
    share = np.array([1.0, 0.75, 0.25])
    assert size_at(share, (1.0, 4.0, 16.0), 0.5) == pytest.approx(8.0)
    assert size_at(share, (1.0, 4.0, 16.0), 0.75) == pytest.approx(4.0)
    assert np.isnan(size_at(share, (1.0, 4.0, 16.0), 0.1))
    assert np.isnan(size_at(share[1:], (4.0, 16.0), 0.8))


@pytest.mark.parametrize(
    ("changes", "passed"),
    [
        ({}, [True, True, True]),
        ({"inverse": 0.8}, [False, False, False]),  # As harmful as alike in all.
        ({"null": 4.0}, [True, False, True]),
        ({"shuffled": 2.0}, [True, True, False]),
        ({"null": 100.0}, [True, False, True]),  # Never halved: not measured.
    ],
)
def test_checks_by_hand(tmp_path, changes, passed):
    halves = {"uniform": 0.8, "inverse": 2.0, "null": 2.0, "shuffled": 1.4, **changes}
    shares = {
        noise: 1 / (1 + (np.array(SIZES) / half) ** 8) for noise, half in halves.items()
    }
    study = Study("x", "", "", True, 0, tmp_path)
    perturbation.check(study, shares)
    assert [check.passed for check in study.checks] == passed
    assert study.checks[1].measured == pytest.approx(
        halves["null"] / halves["inverse"] if halves["null"] < 5 else np.nan,
        0.05,
        nan_ok=True,
    )
