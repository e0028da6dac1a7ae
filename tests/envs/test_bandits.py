"""The bandits' chances and payoffs, against numbers worked out by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tolman.envs.meta_rl import IndependentBandit, InformativeBandit, RestlessBandit
from tolman.envs.meta_rl.bandits import DependentBandit, easy, hard, medium
from tolman.envs.meta_rl.restless import reflect, restless_high, restless_low

NUM_COPIES = 2000
SIGMAS = 4.5  # A fair draw fails such a bound once in 150,000 seeds; the seeds are fixed.


def play(environment, actions, seed=0):
    """States before each pull, and time steps after: `[T, N, ...]`; actions `[T, N]`."""
    actions = jnp.asarray(actions, jnp.int32)

    def run(keys):
        state, _ = jax.vmap(environment.reset)(keys)

        def step(state, action):
            after, timestep = jax.vmap(environment.step)(state, action)
            return after, (state, timestep)

        return jax.lax.scan(step, state, actions)[1]

    keys = jax.random.split(jax.random.PRNGKey(seed), actions.shape[1])
    return jax.tree.map(np.asarray, jax.jit(run)(keys))


def random_actions(num_steps, num_arms=2, num_copies=NUM_COPIES):
    return np.random.default_rng(1).integers(num_arms, size=(num_steps, num_copies))


def assert_paid_by_means(states, timesteps, actions):
    pulled = np.take_along_axis(states.means, actions[..., None], axis=-1)[..., 0]
    assert set(np.unique(timesteps.reward)) == {0.0, 1.0}
    excess = (timesteps.reward - pulled).sum()
    assert abs(excess) < SIGMAS * np.sqrt((pulled * (1 - pulled)).sum())
    # Also where only good, or only poor, arms are pulled.
    for low, high in ((0.0, 0.3), (0.7, 1.0)):
        here = (pulled > low) & (pulled < high)
        excess = (timesteps.reward - pulled)[here].sum()
        assert abs(excess) < SIGMAS * np.sqrt((pulled * (1 - pulled))[here].sum())


def test_independent_arms_are_uniform_independent_and_pay_their_means():
    actions = random_actions(20)
    states, timesteps = play(IndependentBandit(20), actions)
    assert_paid_by_means(states, timesteps, actions)
    means = states.means[0].astype(np.float64)  # [N, 2]
    assert (states.means == states.means[0]).all()
    # U[0, 1]: mean 1/2, variance 1/12, a tenth of the draws in each tenth.
    assert np.abs(means.mean(0) - 0.5).max() < SIGMAS * np.sqrt(1 / 12 / NUM_COPIES)
    tenths = np.histogram(means[:, 0], bins=10, range=(0, 1))[0]
    assert np.abs(tenths - NUM_COPIES / 10).max() < SIGMAS * np.sqrt(NUM_COPIES * 0.09)
    assert abs(np.corrcoef(means.T)[0, 1]) < SIGMAS / np.sqrt(NUM_COPIES)


def test_successive_rewards_of_one_arm_are_independent():
    bandit = DependentBandit(2, (0.5,))
    _, timesteps = play(bandit, np.zeros((2, NUM_COPIES)))
    assert abs(np.corrcoef(timesteps.reward)[0, 1]) < SIGMAS / np.sqrt(NUM_COPIES)


def test_the_clock_and_the_end():
    states, timesteps = play(IndependentBandit(4), np.zeros((4, 1)))
    np.testing.assert_allclose(timesteps.observation[:, 0, 0], [0.25, 0.5, 0.75, 1.0])
    np.testing.assert_array_equal(timesteps.step_type[:, 0], [1, 1, 1, 2])
    np.testing.assert_array_equal(timesteps.discount[:, 0], [1, 1, 1, 0])
    np.testing.assert_array_equal(states.time[:, 0], [0, 1, 2, 3])


@pytest.mark.parametrize(
    ("environment", "values"),
    [(easy(20), [0.1, 0.9]), (medium(20), [0.25, 0.75]), (hard(20), [0.4, 0.6])],
)
def test_dependent_arms_sum_to_one(environment, values):
    actions = random_actions(20)
    states, timesteps = play(environment, actions)
    np.testing.assert_allclose(states.means.sum(-1), 1.0, atol=1e-6)
    np.testing.assert_allclose(np.unique(states.means.round(4)), values, atol=1e-4)
    first_is_best = (states.means[0, :, 0] > 0.5).sum()
    assert abs(first_is_best - NUM_COPIES / 2) < SIGMAS * np.sqrt(NUM_COPIES / 4)
    assert_paid_by_means_of_two(states, timesteps, actions)


def assert_paid_by_means_of_two(states, timesteps, actions):
    pulled = np.take_along_axis(states.means, actions[..., None], axis=-1)[..., 0]
    for mean in np.unique(pulled):
        here = pulled == mean
        bound = SIGMAS * np.sqrt(here.sum() * mean * (1 - mean))
        assert abs(timesteps.reward[here].sum() - mean * here.sum()) < bound


def test_uniform_dependent_arms():
    actions = random_actions(20)
    states, timesteps = play(DependentBandit(20), actions)
    np.testing.assert_allclose(states.means.sum(-1), 1.0, atol=1e-6)
    tenths = np.histogram(states.means[0, :, 0], bins=10, range=(0, 1))[0]
    assert np.abs(tenths - NUM_COPIES / 10).max() < SIGMAS * np.sqrt(NUM_COPIES * 0.09)
    assert_paid_by_means(states, timesteps, actions)


def test_informative_payoffs_by_hand():
    # Arm 11 first, then the arms 1, 2, ..., 10.
    actions = np.repeat(np.array([10, *range(10)])[:, None], 200, axis=1)
    states, timesteps = play(InformativeBandit(num_trials=11), actions)
    targets = states.target[0]
    assert set(targets) == set(range(10))
    for copy, target in enumerate(targets):
        expected = np.ones(11)
        expected[0] = 0.1 * (target + 1)
        expected[1 + target] = 5.0
        np.testing.assert_allclose(timesteps.reward[:, copy], expected, rtol=1e-6)
        # Bins: 0.1 is 0, ..., 1.0 is 9 (whoever paid it), 5 is 10.
        bins = [target, *(10 if arm == target else 9 for arm in range(10))]
        one_hot = np.eye(11)[bins]
        np.testing.assert_array_equal(timesteps.observation[:, copy, 1:], one_hot)


def test_informative_first_pull_expectations():
    """0.55 for arm 11, 1.4 for any other: the paper's reason why it is rarely explored."""
    keys = jax.random.split(jax.random.PRNGKey(0), 5000)
    states, timesteps = jax.jit(jax.vmap(InformativeBandit().reset))(keys)
    means = np.asarray(states.means).mean(0)
    assert abs(means[10] - 0.55) < SIGMAS * 0.2872 / np.sqrt(5000)
    assert np.abs(means[:10] - 1.4).max() < SIGMAS * 1.2 / np.sqrt(5000)
    assert not np.asarray(timesteps.observation).any()


def test_best_informative_play_returns_20_plus_the_hint():
    environment = InformativeBandit()
    state, _ = environment.reset(jax.random.PRNGKey(3))
    state, hint = environment.step(state, jnp.int32(10))
    target = int(np.argmax(hint.observation[1:]))
    total = float(hint.reward)
    for _ in range(4):
        state, timestep = environment.step(state, jnp.int32(target))
        total += float(timestep.reward)
    assert total == pytest.approx(20 + 0.1 * (target + 1))
    assert timestep.is_last()


def test_reward_can_be_withheld():
    environment = InformativeBandit(reward_one_hot=False)
    state, first = environment.reset(jax.random.PRNGKey(0))
    _, timestep = environment.step(state, jnp.int32(10))
    assert first.observation.shape == environment.observation_spec().shape == (1,)
    np.testing.assert_allclose(timestep.observation, [0.2])


def test_reflection_by_hand():
    got = reflect(jnp.array([0.4, 1.3, -0.2, 2.5, -1.75, 1.0, 0.0]))
    np.testing.assert_allclose(got, [0.4, 0.7, 0.2, 0.5, 0.25, 1.0, 0.0], atol=1e-6)


@settings(deadline=None, max_examples=50)
@given(st.floats(-50, 50, width=32), st.floats(-0.5, 0.5, width=32))
def test_reflection_keeps_to_the_interval_and_never_jumps(x, step):
    here, there = float(reflect(jnp.float32(x))), float(reflect(jnp.float32(x + step)))
    assert 0.0 <= here <= 1.0
    assert abs(there - here) <= abs(step) + 1e-4


@pytest.mark.parametrize(
    ("environment", "volatility"), [(restless_low(), 0.02), (restless_high(), 0.2)]
)
def test_walk_has_the_volatility(environment, volatility):
    actions = random_actions(100, num_copies=300)
    states, timesteps = play(environment, actions)
    np.testing.assert_allclose(states.means.sum(-1), 1.0, atol=1e-6)
    assert (states.means >= 0).all()
    assert (states.means <= 1).all()
    np.testing.assert_array_equal(states.volatility, np.float32(volatility))
    np.testing.assert_array_equal(states.means[:, :, 0], states.walk[0].T)
    assert_paid_by_means(states, timesteps, actions)
    # In the middle a small step is never reflected: |step| has mean s sqrt(2 / pi).
    if volatility == 0.02:
        walk = states.means[:, :, 0].astype(np.float64)
        steps = np.diff(walk, axis=0)[(walk[:-1] > 0.2) & (walk[:-1] < 0.8)]
        assert abs(steps.mean()) < SIGMAS * volatility / np.sqrt(len(steps))
        # The standard error of a standard deviation is s / sqrt(2 n).
        assert abs(steps.std() - volatility) < SIGMAS * volatility / np.sqrt(2 * len(steps))


def test_folded_walk_is_the_reflected_walk_in_distribution():
    keys = jax.random.split(jax.random.PRNGKey(5), 4000)
    states, _ = jax.jit(jax.vmap(restless_high(20, 0.5).reset))(keys)
    rng = np.random.default_rng(0)
    walk = np.empty((4000, 20))
    walk[:, 0] = rng.uniform(size=4000)
    for time in range(1, 20):
        moved = walk[:, time - 1] + rng.normal(0.0, 0.5, 4000)
        while ((moved < 0) | (moved > 1)).any():
            moved = np.where(moved < 0, -moved, np.where(moved > 1, 2 - moved, moved))
        walk[:, time] = moved
    got = np.asarray(states.walk)
    # Two samples of 4000: deviations and steps alike, within 4.5 standard errors.
    for statistic in (lambda w: np.abs(np.diff(w))[:, 3:].mean(1), lambda w: w[:, -1]):
        ours, theirs = statistic(got), statistic(walk)
        error = np.sqrt((ours.var() + theirs.var()) / 4000)
        assert abs(ours.mean() - theirs.mean()) < SIGMAS * error


def test_volatility_is_drawn_per_episode():
    keys = jax.random.split(jax.random.PRNGKey(0), NUM_COPIES)
    states, _ = jax.jit(jax.vmap(RestlessBandit().reset))(keys)
    volatility = np.asarray(states.volatility)
    np.testing.assert_array_equal(np.unique(volatility), np.float32([0.02, 0.2]))
    num_low = (volatility < 0.1).sum()
    assert abs(num_low - NUM_COPIES / 2) < SIGMAS * np.sqrt(NUM_COPIES / 4)
