"""Double DQN on tasks in turn: its bits without strength, and a switch by hand."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from toys import make_agent

from tolman.agents.dqn.agent import DQN
from tolman.agents.ewc.own import with_own
from tolman.envs.conflict import catch
from tolman.launchers.catalog.names import CORE, find, make_core
from tolman.launchers.device.on_device import OnDeviceRunner

SMALL = {
    "unroll_length": 1, "n_step": 1, "batch_size": 4, "replay": "uniform",
    "capacity": 64, "min_size": 16, "samples_per_insert": 1.0, "torso_size": 6,
    "learning_rate": 1e-2, "target_update_period": 3, "num_fisher_batches": 2,
    "max_tasks": 3, "strength": 1e9, "image_axes": "none",
}  # fmt: skip
KEYS = jax.random.PRNGKey(4)[None]


def agent_of(**changes):
    return make_agent("ewc", catch(), "feedforward", **{**SMALL, **changes})


def trained(agent, num_updates):
    runner = OnDeviceRunner(agent, catch(), num_envs=4)
    state = runner.prepare(runner.init(KEYS), 20)
    return runner, runner.train(state, num_updates)[0]


@pytest.fixture(scope="module")
def agent():
    return agent_of()


@pytest.fixture(scope="module")
def first(agent):
    """A learner after some updates of task 0, and examples of it."""
    runner, state = trained(agent, 8)
    _, (examples, _) = runner.draw(state, KEYS)
    one = lambda tree: jax.tree.map(lambda leaf: jnp.asarray(np.asarray(leaf)[0]), tree)  # noqa: E731
    return one(state.learner), one(examples)


@pytest.fixture(scope="module")
def switched(agent, first):
    return jax.jit(agent.switch)(*first, KEYS[0], 0, 1)


def same(left, right):
    jax.tree.map(np.testing.assert_array_equal, left, right)


def test_without_strength_it_has_the_bits_of_double_dqn():
    agent = agent_of(strength=0.0)
    environment = catch()
    plain = DQN(
        agent.config,
        environment.observation_spec(),
        environment.action_spec(),
        make_core("feedforward", find(CORE, "feedforward").default_settings()),
    )
    plain.network = with_own(plain.network)
    _, expected = trained(plain, 8)
    _, got = trained(agent, 8)
    same(got.learner.elastic.inner, expected.learner)
    same(got.replay, expected.replay)


def test_a_switch_keeps_what_the_task_had_and_begins_the_next(agent, first, switched):
    learner, examples = first
    before, after = learner.params.weights, switched.params.weights
    same(after.shared, before.shared)
    assert all((leaf == 0).all() for leaf in after.own.bias.values())
    assert all((leaf == 1).all() for leaf in after.own.gain.values())
    same(jax.tree.map(lambda leaf: leaf[0], switched.own), before.own)
    assert any((leaf[0] != leaf[1]).any() for leaf in jax.tree.leaves(switched.own))
    inner = switched.elastic.inner
    same(inner.target_weights, after)
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(inner.optimizer_state))
    assert switched.task == 1 and inner.params.epsilon == 1.0
    assert learner.elastic.params.epsilon < 1.0
    fisher = jax.jit(agent.fisher)(before, examples)
    quadratic = switched.elastic.quadratic
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7),
        quadratic.fisher,
        fisher,
    )
    assert sum(float(leaf.sum()) for leaf in jax.tree.leaves(fisher.shared)) > 0
    same(quadratic.fisher.own, jax.tree.map(jnp.zeros_like, before.own))


def test_without_examples_nothing_is_held_and_the_next_begins(agent, first):
    learner, _ = first
    told = jax.jit(agent.switch)(learner, None, KEYS[0], 0, 2)
    same(told.elastic.quadratic, learner.elastic.quadratic)
    same(told.elastic.terms, learner.elastic.terms)
    same(jax.tree.map(lambda leaf: leaf[0], told.own), learner.params.weights.own)
    assert told.task == 2 and told.elastic.params.epsilon == 1.0


def test_the_fisher_is_of_all_action_values_at_the_first_rows(agent, first):
    learner, examples = first
    weights = learner.params.weights
    seen = jax.tree.map(lambda leaf: leaf[0], examples.timestep)
    expected = jax.tree.map(jnp.zeros_like, weights.shared)
    number = len(seen.reward)

    @jax.jit
    def gradient(weights, row, state, action):
        def value(weights):
            batch = jax.tree.map(lambda leaf: leaf[None], (row, state))
            return agent.network.step(weights, *batch)[0].policy[0, action]

        return jax.grad(value)(weights)

    for n in range(number):
        row, state = jax.tree.map(lambda leaf, n=n: leaf[n], (seen, examples.actor_state))
        for action in range(5):
            found = gradient(weights, row, state, action).shared
            expected = jax.tree.map(lambda e, g: e + g**2 / number, expected, found)
    got = agent.fisher(weights, examples)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-6),
        got.shared,
        expected,
    )


def test_what_the_first_task_needs_is_held_and_the_own_parts_are_free(
    agent, first, switched
):
    update = jax.jit(agent.update)
    learner, examples = switched, first[1]
    for seed in range(6):
        key = jax.random.PRNGKey(seed)
        learner = update(learner, examples, key, jnp.float32(0.0)).learner_state
    fisher = switched.elastic.quadratic.fisher
    for name, layer in switched.params.weights.shared.items():
        moved = np.abs(learner.params.weights.shared[name]["w"] - layer["w"])
        needed = np.asarray(fisher.shared[name]["w"]) > 1e-3
        assert needed.any() and moved[needed].max() < 1e-4
    own = switched.params.weights.own, learner.params.weights.own
    assert any((a != b).any() for a, b in zip(*map(jax.tree.leaves, own), strict=True))


def test_a_task_that_returns_has_its_own_parts_and_one_term(agent, first, switched):
    learner, examples = first
    back = jax.jit(agent.switch)(switched, examples, KEYS[0], 1, 0)
    same(back.params.weights.own, learner.params.weights.own)
    again = jax.jit(agent.switch)(back, examples, KEYS[0], 0, 2)
    terms = again.elastic.terms.fisher
    fisher = jax.jit(agent.fisher)(learner.params.weights, examples)
    kept = jax.tree.map(lambda leaf: leaf[0], terms)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, 1e-4, 1e-8), kept, fisher)
    total = jax.tree.map(lambda leaf: leaf.sum(0), terms)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, 1e-4, 1e-8),
        again.elastic.quadratic.fisher,
        total,
    )


def test_it_acts_in_any_task_while_another_is_under_way(agent, first, switched):
    learner, _ = first
    params = switched.params
    other = agent.for_task(params, 0)
    same(other.weights, learner.params.weights)
    assert other.task == 0
    there_and_back = agent.for_task(other, 1)
    same(there_and_back.weights, params.weights)
    # What was learned since the switch is not lost on the way.
    own = jax.tree.map(lambda leaf: leaf + 1.0, params.weights.own)
    present = params.present._replace(weights=params.weights._replace(own=own))
    moved = agent.for_task(agent.for_task(params._replace(present=present), 0), 1)
    same(moved.weights.own, own)


def test_settings_of_the_config_reach_the_wrapper():
    agent = agent_of(strength=7.0, max_tasks=2)
    assert agent.elastic.strength == 7.0 and agent.elastic.max_tasks == 2
    assert agent.max_tasks == 2 and agent.num_switch_batches == 2
    assert agent.data.replay == "uniform"
    assert replace(agent.config, strength=1.0).strength == 1.0
