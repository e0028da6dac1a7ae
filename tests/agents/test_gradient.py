"""The gradient step: by hand, and as a wrapper of any agent changes it."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from stones import TINY, Stones
from toys import CountingTask, make_agent

from tolman.agents.agent import Learned, Unroll
from tolman.agents.alphazero import AlphaZero
from tolman.agents.gradient import GradientStep, Hook, Loss, Wrapper, with_hooks
from tolman.agents.memo import MemoConfig, Reasoner, TrainingConfig
from tolman.envs.environment import TimeStep
from tolman.envs.reasoning.associative_inference import AssociativeInference
from tolman.launchers.device.on_device import OnDeviceRunner

KEY = jax.random.PRNGKey(0)


def _slope(params):
    """Gradient (3, 4), of norm 5, at any place."""
    total = 3.0 * params[0] + 4.0 * params[1]
    return Loss(total, {"loss/total": total}, "extra")


def test_a_step_by_hand():
    step = GradientStep(optax.identity(), max_gradient_norm=1.0)
    params = jnp.array([1.0, 2.0])
    stepped = step(_slope, params, step.init(params), 0.5)
    np.testing.assert_allclose(stepped.params, [1 - 0.5 * 0.6, 2 - 0.5 * 0.8], rtol=1e-6)
    # The norm is told as it was before the clip, the loss as it was before the step.
    assert float(stepped.metrics["grad/global_norm"]) == pytest.approx(5.0)
    assert float(stepped.metrics["loss/total"]) == 11.0 and stepped.extra == "extra"
    unclipped = GradientStep(optax.identity())
    stepped = unclipped(_slope, params, unclipped.init(params), 0.5)
    np.testing.assert_allclose(stepped.params, [1 - 1.5, 2 - 2.0])


def test_hooks_follow_one_another():
    def penalised(objective):
        def total(params):
            loss = objective(params)
            return loss._replace(total=loss.total + 0.5 * jnp.square(params).sum())

        return total

    hooks = (
        Hook(objective=penalised),
        Hook(step=lambda new, old, step_size: new + 10.0 * step_size),
        Hook(step=lambda new, old, step_size: 2.0 * new - old),
    )
    step = GradientStep(optax.identity(), hooks=hooks)
    params = jnp.array([1.0, 2.0])
    stepped = step(_slope, params, step.init(params), 0.1)
    plain = params - 0.1 * (jnp.array([3.0, 4.0]) + params)
    np.testing.assert_allclose(stepped.params, 2.0 * (plain + 1.0) - params, rtol=1e-6)


def test_hooks_come_after_those_that_an_agent_has():
    agent = SimpleNamespace(gradient_step=GradientStep(optax.identity()))
    doubles = Hook(step=lambda new, old, step_size: 2.0 * new)
    adds = Hook(step=lambda new, old, step_size: new + 1.0)
    step = with_hooks(with_hooks(agent, doubles), adds).gradient_step
    params = jnp.array([1.0, 2.0])
    stepped = step(_slope, params, step.init(params), 0.0)
    np.testing.assert_allclose(stepped.params, [3.0, 5.0])


@pytest.mark.parametrize("name", ["actor_critic", "dqn", "memo"])
def test_agents_clip_at_their_own_norm(name):
    """Adam's first moment after one step is a tenth of the gradient that it got."""
    if name == "memo":
        task = AssociativeInference(num_sequences=3, min_sequences=3, num_classes=9)
        agent = Reasoner(TrainingConfig(max_gradient_norm=2.0), MemoConfig(), task)
    else:
        settings = dict(optimizer="adam", max_gradient_norm=2.0)
        agent = make_agent(name, CountingTask(), "feedforward", **settings)
    step, params = agent.gradient_step, jnp.array([1.0, 2.0])
    stepped = step(_slope, params, step.init(params), 0.5)
    moment = optax.tree_utils.tree_get(stepped.optimizer_state, "mu")
    np.testing.assert_allclose(moment, [0.1 * 1.2, 0.1 * 1.6], rtol=1e-5)


def test_alphazero_has_momentum_and_no_clip():
    step = AlphaZero(replace(TINY, momentum=0.75), Stones()).gradient_step
    params = jnp.array([1.0, 2.0])
    first = step(_slope, params, step.init(params), 0.5)
    second = step(_slope, first.params, first.optimizer_state, 0.5)
    np.testing.assert_allclose(first.params - params, [-1.5, -2.0], rtol=1e-6)
    moved = second.params - first.params
    np.testing.assert_allclose(moved, [-1.5 * 1.75, -2.0 * 1.75], rtol=1e-6)


@pytest.mark.parametrize("correction", ["none", "vtrace"])
def test_advantages_of_an_actor_critic_decay_with_its_own_lambda(correction):
    """On the policy that acted, V-trace's targets are the same."""
    agent = make_agent(
        "actor_critic", CountingTask(), "feedforward", discount=0.9, gae_lambda=0.5,
        off_policy_correction=correction, use_value_rescaling=False,
    )  # fmt: skip
    learner, unroll = jax.jit(agent.init)(KEY), _unroll(agent)
    output = jax.jit(agent.network.unroll)(learner.params, unroll)
    unroll = unroll._replace(policy=output.policy[:-1])
    loss = jax.jit(agent.loss)(
        learner.params, unroll, learner.hyperparameters, jnp.float32(0.0)
    )
    value, reward = np.asarray(output.value), np.asarray(unroll.timestep.reward)
    advantage, following = np.zeros_like(value[:-1]), 0.0
    for t in reversed(range(len(advantage))):
        error = reward[t + 1] + 0.9 * value[t + 1] - value[t]
        advantage[t] = following = error + 0.9 * 0.5 * following
    expected = 0.5 * np.square(advantage).mean()
    assert float(loss.metrics["loss/value"]) == pytest.approx(expected, rel=1e-4)


class Anchored(NamedTuple):
    """Attributes:
    inner: of the agent inside.
    anchor: parameters to stay near to.
    fisher: how much each one matters.
    """

    inner: Any
    anchor: Any
    fisher: Any

    @property
    def params(self):
        return self.inner.params


class Elastic(Wrapper):
    """The proximal step of elastic weight consolidation, around any agent.

    After each step w <- (w + c F anchor) / (1 + c F).
    """

    def __init__(self, inner, cost):
        super().__init__(inner)
        self.cost = cost

    def init(self, key, *arguments):
        state = self.inner.init(key, *arguments)
        weights = getattr(state.params, "weights", state.params)
        anchor = jax.tree.map(lambda leaf: leaf + 1.0, weights)
        return Anchored(state, anchor, jax.tree.map(jnp.ones_like, weights))

    def update(self, state, batch, key, progress):
        def proximal(new, old, step_size):
            def one(w, anchor, fisher):
                return (w + self.cost * fisher * anchor) / (1.0 + self.cost * fisher)

            return jax.tree.map(one, new, state.anchor, state.fisher)

        agent = with_hooks(self.inner, Hook(step=proximal))
        learned = agent.update(state.inner, batch, key, progress)
        return Learned(
            state._replace(inner=learned.learner_state), learned.metrics, learned.priorities
        )


def _unroll(agent):
    rng = np.random.default_rng(0)
    length, batch_size = agent.data.unroll_length, agent.data.batch_size
    rows = (length + 1, batch_size)
    return Unroll(
        TimeStep(
            jnp.ones(rows, jnp.int32),
            jnp.asarray(rng.normal(size=rows), jnp.float32),
            jnp.ones(rows),
            jnp.asarray(rng.normal(size=(*rows, 2)), jnp.float32),
            jnp.zeros(rows, bool),
        ),
        jnp.asarray(rng.integers(0, 2, (length, batch_size)), jnp.int32),
        jnp.zeros((length, batch_size, 2)),
        agent.initial_actor_state(batch_size),
        jnp.full(batch_size, 0.1) if agent.data.replay == "prioritized" else None,
    )


@pytest.mark.parametrize("name", ["actor_critic", "dqn"])
def test_a_proximal_step_needs_no_change_of_the_agent(name):
    agent = make_agent(name, CountingTask(), "feedforward")
    elastic, free = Elastic(agent, 3.0), Elastic(Elastic(agent, 0.0), 3.0)
    state, batch = jax.jit(elastic.init)(KEY), _unroll(agent)
    plain = jax.jit(agent.update)(state.inner, batch, KEY, jnp.float32(0.0))
    learned = jax.jit(elastic.update)(state, batch, KEY, jnp.float32(0.0))
    weights = lambda state: getattr(state.params, "weights", state.params)  # noqa: E731
    expected = jax.tree.map(
        lambda w, anchor: (w + 3.0 * anchor) / 4.0,
        weights(plain.learner_state),
        state.anchor,
    )
    got = weights(learned.learner_state)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), got, expected)
    assert set(learned.metrics) == set(plain.metrics)
    assert elastic.data is agent.data and not agent.gradient_step.hooks
    # Around a wrapper: the inner one's cost is 0.
    nested = jax.jit(free.update)(jax.jit(free.init)(KEY), batch, KEY, jnp.float32(0.0))
    got = weights(nested.learner_state)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), got, expected)


def test_a_wrapper_trains_where_its_agent_does():
    agent = make_agent("actor_critic", CountingTask(), "feedforward")
    runner = OnDeviceRunner(Elastic(agent, 1e6), CountingTask())
    state = runner.init(jax.random.split(KEY, 1))
    anchor = jax.device_get(state.learner.anchor)
    state, metrics = runner.train(runner.prepare(state, 4), 2)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=1e-4),
        jax.device_get(state.learner.params),
        anchor,
    )
    assert "loss/policy" in metrics


class Noisy(Wrapper):
    """Tells what runners hand to `update`: chance by the key, and the progress."""

    def update(self, state, batch, key, progress):
        learned = self.inner.update(state, batch, key, progress)
        metrics = {**learned.metrics, "chance": jax.random.uniform(key)}
        metrics["progress"] = progress
        return learned._replace(metrics=metrics)


def test_every_update_of_every_member_has_a_key_of_its_own_and_knows_the_progress():
    agent = make_agent("actor_critic", CountingTask(), "feedforward")
    runner = OnDeviceRunner(Noisy(agent), CountingTask(), num_members=2)
    drawn = []
    state = runner.prepare(runner.init(jax.random.split(KEY, 2)), 4)
    for done in range(3):
        state, metrics = runner.train(state, 1)
        np.testing.assert_allclose(metrics["progress"], done / 4)
        drawn += np.asarray(metrics["chance"]).tolist()
    assert len(set(drawn)) == 6
