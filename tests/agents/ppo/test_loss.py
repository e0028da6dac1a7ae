"""PPO's losses: values worked out by hand, and a slow NumPy oracle."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tolman.agents.ppo.loss import (
    Old,
    approximate_kl,
    normalize,
    policy_loss,
    ppo_loss,
    value_loss,
)

ONE = jnp.ones((1, 1))


def _log(ratio):
    return jnp.log(jnp.array([[ratio]]))


@pytest.mark.parametrize(
    ("ratio", "advantage", "loss", "slope"),
    [
        (1.1, 2.0, -2.2, -2.2),  # Inside the clip: the ratio times the advantage.
        (1.5, 2.0, -2.4, 0.0),  # Moved far enough for a good action.
        (0.5, 2.0, -1.0, -1.0),  # A good action that became less likely: no clip.
        (0.5, -2.0, 1.6, 0.0),  # Moved far enough for a bad action.
        (1.5, -2.0, 3.0, 3.0),  # A bad action that became more likely: no clip.
    ],
)
def test_the_surrogate_is_clipped_on_both_sides(ratio, advantage, loss, slope):
    def total(log_ratio):
        return policy_loss(log_ratio, jnp.array([[advantage]]), ONE, 0.2)

    value, gradient = jax.value_and_grad(total)(_log(ratio))
    assert float(value) == pytest.approx(loss, rel=1e-5)
    assert float(gradient[0, 0]) == pytest.approx(slope, rel=1e-5, abs=1e-7)


@pytest.mark.parametrize(
    ("value", "clip_range", "loss"),
    [
        (1.1, 0.2, 0.5 * 0.9**2),  # Moved by 0.1 from 1, towards 2.
        (1.9, 0.2, 0.5 * 0.8**2),  # Moved by 0.9: as if by 0.2, the larger error.
        (0.5, 0.2, 0.5 * 1.5**2),  # Moved away by 0.5: its own error is the larger.
        (1.9, 0.0, 0.5 * 0.1**2),  # No clip.
    ],
)
def test_a_value_learns_no_further_than_the_clip(value, clip_range, loss):
    old = Old(ONE, value=ONE, advantage=ONE, value_target=2 * ONE, mask=ONE)
    got = value_loss(jnp.array([[value]]), old, clip_range)
    assert float(got) == pytest.approx(loss, rel=1e-5)


def test_advantages_are_normalised_over_decisions_that_count():
    advantage = jnp.array([[1.0, 3.0], [5.0, 100.0]])
    mask = jnp.array([[1.0, 1.0], [1.0, 0.0]])
    deviation = np.sqrt(8 / 3)
    expected = np.array([-2.0, 0.0, 2.0]) / deviation
    got = np.asarray(normalize(advantage, mask)).reshape(-1)[:3]
    np.testing.assert_allclose(got, expected, rtol=1e-6)


def test_the_divergence_is_zero_for_the_same_policy_and_else_positive():
    log_ratio = jnp.log(jnp.array([[1.5], [0.5], [9.0]]))
    mask = jnp.array([[1.0], [1.0], [0.0]])
    expected = ((0.5 - np.log(1.5)) + (-0.5 - np.log(0.5))) / 2
    assert float(approximate_kl(log_ratio, mask)) == pytest.approx(expected, rel=1e-5)
    assert float(approximate_kl(jnp.zeros((3, 1)), mask)) == 0.0


def _oracle(now, entropy, value, old, clip, value_clip, entropy_cost, value_cost):
    """Decision by decision, in plain numbers."""
    policy = regression = bonus = kl = clipped = count = 0.0
    for index in np.ndindex(now.shape):
        if not old.mask[index]:
            continue
        count += 1
        log_ratio = float(now[index] - old.log_probability[index])
        ratio, advantage = np.exp(log_ratio), float(old.advantage[index])
        bounded = min(max(ratio, 1 - clip), 1 + clip)
        policy -= min(ratio * advantage, bounded * advantage)
        target, before = float(old.value_target[index]), float(old.value[index])
        moved = before + min(max(value[index] - before, -value_clip), value_clip)
        regression += 0.5 * max((value[index] - target) ** 2, (moved - target) ** 2)
        bonus += entropy[index]
        kl += ratio - 1 - log_ratio
        clipped += abs(ratio - 1) > clip
    sums = np.array([policy, regression, bonus, kl, clipped]) / max(count, 1)
    return sums[0] + value_cost * sums[1] - entropy_cost * sums[2], sums


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000))
def test_the_loss_equals_a_slow_loop(seed):
    rng = np.random.default_rng(seed)
    now, entropy, value, *rest = rng.normal(size=(7, 5, 3)).astype(np.float32)
    old = Old(*(jnp.asarray(part) for part in rest), mask=rng.integers(2, size=(5, 3)))
    arguments = (0.3, 0.4, 0.05, 0.7)
    total, metrics = ppo_loss(now, entropy, value, old, *arguments)
    expected, sums = _oracle(now, entropy, value, old, *arguments)
    assert float(total) == pytest.approx(expected, rel=1e-4, abs=1e-5)
    names = ("loss/policy", "loss/value", "loss/entropy", "ppo/kl", "ppo/clipped_share")
    np.testing.assert_allclose(
        [metrics[name] for name in names], sums, rtol=1e-4, atol=1e-5
    )
