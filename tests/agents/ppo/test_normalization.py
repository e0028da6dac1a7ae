"""Running statistics: NumPy over all numbers at once is the judge."""

import jax
import jax.numpy as jnp
import numpy as np
from dm_env import specs
from hypothesis import given, settings
from hypothesis import strategies as st

from tolman.agents.inputs import plan_inputs
from tolman.agents.ppo.normalization import (
    Moments,
    discounted_returns,
    initial_moments,
    join,
    normalize_observation,
    normalized_parts,
    scale_rewards,
)
from tolman.agents.settings import InputSettings
from tolman.envs.environment import FIRST, LAST, MID, TimeStep


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000))
def test_parts_joined_one_by_one_are_the_whole(seed):
    rng = np.random.default_rng(seed)
    seen = rng.normal(3.0, 2.0, size=(4, 6, 2)).astype(np.float32)
    weight = rng.integers(2, size=(4, 6)).astype(np.float32)
    weight[0, 0] = 1.0
    moments = initial_moments((2,))
    for part, counts in zip(seen, weight, strict=True):
        moments = join(moments, jnp.asarray(part), jnp.asarray(counts))
    counted = seen[weight > 0]
    np.testing.assert_allclose(moments.number, len(counted), rtol=1e-3)
    np.testing.assert_allclose(moments.mean, counted.mean(0), rtol=2e-3, atol=2e-3)
    np.testing.assert_allclose(moments.variance, counted.var(0), rtol=5e-3, atol=5e-3)


def test_nothing_seen_changes_nothing():
    moments = Moments(jnp.float32(5.0), jnp.array([2.0]), jnp.array([4.0]))
    same = join(moments, jnp.array([[9.0]]), jnp.zeros(1))
    jax.tree.map(np.testing.assert_array_equal, same, moments)
    fresh = initial_moments((1,))
    observation = normalize_observation({"x": jnp.array([[0.5]])}, {0: fresh}, 10.0)
    np.testing.assert_allclose(observation["x"], 0.5, rtol=1e-6)


def test_observations_and_rewards_are_divided_by_deviations_and_clipped():
    moments = Moments(jnp.float32(5.0), jnp.array([1.0]), jnp.array([4.0]))
    observation = {"n": jnp.array([[7]]), "x": jnp.array([[2.0]])}
    got = normalize_observation(observation, {1: moments}, 10.0)
    assert float(got["x"][0, 0]) == 0.5 and int(got["n"][0, 0]) == 7
    far = {"n": jnp.array([[7]]), "x": jnp.array([[-100.0]])}
    assert float(normalize_observation(far, {1: moments}, 10.0)["x"][0, 0]) == -10.0
    returns = Moments(jnp.float32(5.0), jnp.float32(50.0), jnp.float32(4.0))
    scaled = scale_rewards(jnp.array([3.0, -100.0]), returns, 10.0)
    np.testing.assert_allclose(scaled, [1.5, -10.0])  # The mean is not taken off.


def test_the_return_starts_anew_with_an_episode():
    step_type = jnp.array([[MID], [MID], [LAST], [FIRST], [MID]])
    reward = jnp.array([[1.0], [2.0], [3.0], [0.0], [5.0]])
    row = TimeStep(step_type, reward, jnp.ones((5, 1)), (), jnp.zeros((5, 1), bool))
    got = discounted_returns(jnp.array([10.0]), row, 0.5)[:, 0]
    np.testing.assert_allclose(got, [6.0, 5.0, 5.5, 0.0, 5.0])


def test_what_is_continuous_and_read_and_no_image_is_normalised():
    spec = {
        "action_mask": specs.Array((2,), np.float32),
        "image": specs.Array((16, 16, 3), np.float32),
        "number": specs.DiscreteArray(4),
        "speed": specs.Array((2,), np.float32),
        "unread": specs.Array((2,), np.float32),
    }
    reads = ("image", "number", "speed")
    parts = plan_inputs(spec, InputSettings(reads=reads))
    assert normalized_parts(spec, parts) == [3]
