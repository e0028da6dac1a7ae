"""What the actor-critic learns from, against a slow loop over its own outputs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from toys import CountingTask, make_agent

from tolman.agents.agent import Unroll
from tolman.envs.environment import FIRST, LAST, MID, TimeStep

KEY = jax.random.PRNGKey(0)
LENGTH, BATCH_SIZE = 6, 3


def _unroll(agent):
    """Rewards of about 50; the second sequence has a decision without effect."""
    rng = np.random.default_rng(0)
    rows = (LENGTH + 1, BATCH_SIZE)
    step_type = np.full(rows, MID)
    step_type[2:4, 1] = LAST, FIRST
    return Unroll(
        TimeStep(
            jnp.asarray(step_type, jnp.int32),
            jnp.asarray(rng.normal(50.0, 20.0, rows), jnp.float32),
            jnp.ones(rows),
            jnp.asarray(rng.normal(size=(*rows, 2)), jnp.float32),
            jnp.asarray(step_type == FIRST),
        ),
        jnp.asarray(rng.integers(0, 2, (LENGTH, BATCH_SIZE)), jnp.int32),
        jnp.asarray(rng.normal(size=(LENGTH, BATCH_SIZE, 2)), jnp.float32),
        agent.initial_actor_state(BATCH_SIZE),
    )


def _squashed(x):
    return np.sign(x) * (np.sqrt(np.abs(x) + 1) - 1) + 1e-3 * x


def _unsquashed(x):
    """By bisection."""
    low, high = np.full_like(x, -1e5), np.full_like(x, 1e5)
    for _ in range(100):
        middle = (low + high) / 2
        is_low = _squashed(middle) < x
        low, high = np.where(is_low, middle, low), np.where(is_low, high, middle)
    return low


def _log_probability(logits, action):
    """Of the actions taken, `[T, B]`."""
    logits = np.asarray(logits, float)
    log_policy = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    return np.take_along_axis(log_policy, np.asarray(action)[..., None], axis=-1)[..., 0]


@pytest.mark.parametrize("correction", ["none", "vtrace"])
@pytest.mark.parametrize("is_rescaled", [False, True])
def test_values_and_advantages_are_on_the_scale_that_is_set(is_rescaled, correction):
    agent = make_agent(
        "actor_critic", CountingTask(), "feedforward", discount=0.9, gae_lambda=0.5,
        unroll_length=LENGTH, batch_size=BATCH_SIZE, off_policy_correction=correction,
        use_value_rescaling=is_rescaled,
    )  # fmt: skip
    learner, unroll = jax.jit(agent.init)(KEY), _unroll(agent)
    output = jax.jit(agent.network.unroll)(learner.params, unroll)
    loss = jax.jit(agent.loss)(learner.params, unroll, learner.hyperparameters, 0.0)

    told = np.asarray(output.value, float)
    value = _unsquashed(told) if is_rescaled else told
    reward = np.asarray(unroll.timestep.reward, float)
    counts = np.asarray(unroll.timestep.step_type)[:-1] != LAST
    log_policy = _log_probability(output.policy[:-1], unroll.action)
    ratio = np.ones((LENGTH, BATCH_SIZE))
    if correction == "vtrace":
        then = _log_probability(unroll.policy, unroll.action)
        ratio = np.minimum(1.0, np.exp(log_policy - then))
        assert (ratio < 0.9).any() and (ratio == 1.0).any()
    advantage, target = np.zeros_like(ratio), value[:-1].copy()
    following = np.zeros(BATCH_SIZE)  # What the target of the next row adds to its value.
    for t in reversed(range(LENGTH)):
        error = counts[t] * (reward[t + 1] + 0.9 * value[t + 1] - value[t])
        advantage[t] = ratio[t] * (error + counts[t] * 0.9 * 0.5 * following)
        following = advantage[t]
        target[t] += following
    if is_rescaled:
        advantage = _squashed(value[:-1] + advantage) - told[:-1]
        target = _squashed(target)
    expected = {
        "loss/policy": -(log_policy * advantage)[counts].mean(),
        "loss/value": 0.5 * np.square(target - told[:-1])[counts].mean(),
    }
    for name, number in expected.items():
        assert float(loss.metrics[name]) == pytest.approx(number, rel=1e-3, abs=1e-5)
