"""The Q-learning loss against numbers worked out by hand, a slow loop, and rlax."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import rlax
from hypothesis import given, settings
from hypothesis import strategies as st

from tolman.agents.dqn.loss import (
    double_q_values,
    importance_weights,
    n_step_returns,
    q_loss,
    sequence_priorities,
)
from tolman.agents.rescaling import rescale, restore
from tolman.envs.environment import FIRST, LAST, MID, TimeStep

_returns = jax.jit(n_step_returns, static_argnames="n_step")


def _rows(step_types, rewards, discounts):
    """Rows `[T + 1, B]` from arrays of that shape, or `[T + 1, 1]` from lists."""
    columns = [np.asarray(x) for x in (step_types, rewards, discounts)]
    step_type, reward, discount = (x[:, None] if x.ndim == 1 else x for x in columns)
    return TimeStep(
        jnp.asarray(step_type, jnp.int32),
        jnp.asarray(reward, jnp.float32),
        jnp.asarray(discount, jnp.float32),
        jnp.asarray(step_type),
        jnp.asarray(step_type == FIRST),
    )


def test_double_q_takes_the_online_choice_and_the_target_value():
    online = jnp.array([[1.0, 3.0, 2.0]])
    target = jnp.array([[9.0, 5.0, 7.0]])
    assert double_q_values(online, target)[0] == 5.0  # Q-learning itself would say 9.
    assert jax.grad(lambda x: double_q_values(x, x).sum())(online).sum() == 0.0


def test_returns_by_hand():
    # Two decisions that end in a termination, one without effect, two of the next episode.
    rows = _rows(
        [FIRST, MID, LAST, FIRST, MID, MID], [0, 1, 2, 0, 4, 8], [1, 1, 0, 1, 1, 1]
    )
    values = jnp.array([0.5, 0.25, 7.0, 0.1, 10.0, 6.0])[:, None]
    # 1 + 0.5 * 0.25; 2, terminated: 7 must not enter; none; 4 + 0.5 * 10; 8 + 0.5 * 6.
    np.testing.assert_allclose(
        n_step_returns(values, rows, 0.5, 1)[:, 0], [1.125, 2, 7, 9, 11]
    )
    # 1 + 0.5 * 2; 2; none; 4 + 0.5 * 8 + 0.25 * 6; the last is cut short by row T.
    np.testing.assert_allclose(
        n_step_returns(values, rows, 0.5, 2)[:, 0], [2, 2, 7, 9.5, 11]
    )


def test_truncation_bootstraps_from_the_final_observation():
    rows = _rows([MID, MID, LAST, FIRST, MID], [9, 1, 2, 0, 3], [1, 1, 1, 1, 1])
    values = jnp.array([0.0, 50.0, 6.0, 100.0, 200.0])[:, None]
    # 1 + 0.5 * 2 + 0.25 * 6 and 2 + 0.5 * 6: 100 and 200 are another episode's.
    np.testing.assert_allclose(n_step_returns(values, rows, 0.5, 4)[:2, 0], [3.5, 5.0])


def _slow_returns(values, step_type, reward, discount, gamma, n_step):
    """Each return by itself, forward in time from its decision."""
    length = len(values) - 1
    returns = np.zeros(length)
    for t in range(length):
        if step_type[t] == LAST:
            returns[t] = values[t]
            continue
        weight, row = 1.0, t
        while True:
            row += 1
            returns[t] += weight * reward[row]
            weight *= gamma * discount[row]
            if step_type[row] == LAST or row == length or row - t == n_step:
                break
        returns[t] += weight * values[row]
    return returns


@st.composite
def _episodes(draw):
    """Rows of one sequence of 12 decisions, with any ends."""
    step_type = [draw(st.sampled_from([FIRST, MID, LAST]))]
    for _ in range(12):
        following = st.sampled_from([MID, MID, LAST])
        step_type.append(FIRST if step_type[-1] == LAST else draw(following))
    numbers = st.lists(st.floats(-5, 5, width=32), min_size=13, max_size=13)
    ends = draw(st.lists(st.sampled_from([0.0, 1.0]), min_size=13, max_size=13))
    discount = [
        end if kind == LAST else 1.0 for kind, end in zip(step_type, ends, strict=True)
    ]
    return step_type, draw(numbers), discount, draw(numbers)


@settings(max_examples=60, deadline=None)
@given(_episodes(), st.sampled_from([1, 2, 3, 5, 20]), st.sampled_from([0.0, 0.9, 1.0]))
def test_returns_equal_a_slow_loop(episodes, n_step, gamma):
    step_type, reward, discount, values = episodes
    rows = _rows(step_type, reward, discount)
    ours = _returns(jnp.asarray(values)[:, None], rows, gamma, n_step=n_step)
    slow = _slow_returns(values, step_type, reward, discount, gamma, n_step)
    np.testing.assert_allclose(ours[:, 0], slow, atol=1e-3, rtol=1e-5)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([1, 3, 5]))
def test_rlax_agrees_within_one_episode(seed, n_step):
    """A second implementation as the judge; it knows no borders between episodes."""
    rng = np.random.default_rng(seed)
    online, target = rng.normal(size=(2, 13, 4)).astype(np.float32)
    reward = rng.normal(size=13).astype(np.float32)
    action = rng.integers(0, 4, 12)
    discount = np.ones(13, np.float32)
    discount[7] = 0.0  # Without a LAST row, as rlax has it.
    rows = _rows([FIRST] + [MID] * 12, reward, discount)

    def ours(into, back):
        bootstrap = back(double_q_values(online, target))[:, None]
        returns = into(_returns(bootstrap, rows, 0.9, n_step=n_step)[:, 0])
        return returns - online[np.arange(12), action]

    arguments = (
        *(jnp.asarray(x) for x in (online[:-1], action, target[1:], online[1:].argmax(-1))),
        *(jnp.asarray(x) for x in (reward[1:], 0.9 * discount[1:])),
        n_step,
    )
    plain = rlax.transformed_n_step_q_learning(*arguments)
    np.testing.assert_allclose(ours(lambda x: x, lambda x: x), plain, atol=1e-5)
    squashed = rlax.transformed_n_step_q_learning(
        *arguments, tx_pair=rlax.SIGNED_HYPERBOLIC_PAIR
    )
    np.testing.assert_allclose(ours(rescale, restore), squashed, atol=2e-3)
    if n_step == 1:
        double = jax.vmap(rlax.double_q_learning)(
            jnp.asarray(online[:-1]),
            jnp.asarray(action),
            jnp.asarray(reward[1:]),
            jnp.asarray(0.9 * discount[1:]),
            jnp.asarray(target[1:]),
            jnp.asarray(online[1:]),
        )
        np.testing.assert_allclose(ours(lambda x: x, lambda x: x), double, atol=1e-5)


def test_rescaling_by_hand():
    # sqrt(8 + 1) - 1 + 0.001 * 8.
    np.testing.assert_allclose(rescale(jnp.array([8.0, -8.0, 0.0])), [2.008, -2.008, 0.0])
    np.testing.assert_allclose(restore(jnp.array([2.008, -2.008])), [8, -8], rtol=1e-5)


def test_rescaling_is_undone_at_every_size():
    values = jnp.concatenate([jnp.logspace(-4, 5, 60), -jnp.logspace(-4, 5, 60)])
    np.testing.assert_allclose(restore(rescale(values)), values, rtol=2e-3, atol=1e-6)


def test_importance_weights_by_hand():
    probability = jnp.array([0.5, 0.125, 0.25])
    np.testing.assert_allclose(importance_weights(probability, 1.0), [0.25, 1, 0.5])
    np.testing.assert_allclose(importance_weights(probability, 0.5), [0.5, 1, 0.5**0.5])
    np.testing.assert_array_equal(importance_weights(probability, 0.0), [1, 1, 1])
    assert importance_weights(None, 1.0) == 1.0


def test_loss_by_hand():
    errors = jnp.array([[0.5, -3.0], [100.0, 1.0]])
    mask = jnp.array([[1.0, 1.0], [0.0, 1.0]])
    weights = jnp.array([1.0, 0.5])
    total, metrics = q_loss(errors, mask, weights, 1.0)
    # Huber: 0.5 * 0.25; 3 - 0.5; 0.5, the latter two at half weight; three decisions.
    assert float(total) == pytest.approx((0.125 + 0.5 * 2.5 + 0.5 * 0.5) / 3)
    assert float(metrics["loss/absolute_error"]) == pytest.approx((0.5 + 3 + 1) / 3)
    total, _ = q_loss(errors, mask, weights, 0.0)
    assert float(total) == pytest.approx((0.125 + 0.5 * 4.5 + 0.5 * 0.5) / 3)
    gradient = jax.grad(lambda e: q_loss(e, mask, weights, 1.0)[0])(errors)
    np.testing.assert_allclose(gradient, np.array([[0.5, -0.5], [0, 0.5]]) / 3, rtol=1e-6)


def test_priorities_by_hand():
    errors = jnp.array([[1.0, -2.0, 5.0], [-3.0, 50.0, 5.0]])
    mask = jnp.array([[1.0, 1.0, 0.0], [1.0, 0.0, 0.0]])
    # 0.9 * 3 + 0.1 * 2; one decision alone: its error; none at all: the least.
    np.testing.assert_allclose(
        sequence_priorities(errors, mask, 0.9, 0.01), [2.91, 2.01, 0.01], rtol=1e-6
    )
