"""The wrapper: bits without strength, penalties by hand, tasks that return."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from toys import CountingTask, make_agent

from tolman.agents.classifier import Classifier, ClassifierConfig
from tolman.agents.ewc import Elastic, ElasticConfig
from tolman.agents.ewc.elastic import weights_of
from tolman.agents.ewc.fisher import of_logits
from tolman.envs.classification.task import Examples
from tolman.launchers.device.on_device import OnDeviceRunner
from tolman.launchers.settings.bounds import check_settings

KEY = jax.random.PRNGKey(0)
START = jnp.float32(0.0)


def _classifier(optimizer="sgd"):
    config = ClassifierConfig((5,), batch_size=6, optimizer=optimizer, learning_rate=0.5)
    return Classifier(config, SimpleNamespace(num_classes=3))


def _batch(seed):
    rng = np.random.default_rng(seed)
    x = jnp.asarray(rng.normal(size=(6, 4)), jnp.float32)
    return Examples(x, jnp.asarray(rng.integers(0, 3, 6)))


def _trained(agent, state, seeds):
    update, metrics = jax.jit(agent.update), {}
    for seed in seeds:
        learned = update(state, _batch(seed), KEY, START)
        state, metrics = learned.learner_state, learned.metrics
    return state, metrics


def _same(left, right):
    jax.tree.map(np.testing.assert_array_equal, left, right)


def _close(left, right, **how):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, **how), left, right)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_without_strength_or_task_it_has_the_bits_of_the_agent_inside(optimizer):
    agent = _classifier(optimizer)
    plain, _ = _trained(agent, jax.jit(agent.init)(KEY, _batch(0)), range(6))
    for strength, is_held in ((0.0, True), (20.0, False)):
        elastic = Elastic(agent, ElasticConfig(strength))
        state, _ = _trained(elastic, jax.jit(elastic.init)(KEY, _batch(0)), range(3))
        if is_held:
            state = jax.jit(elastic.consolidate)(state, _batch(9), KEY)
        state, _ = _trained(elastic, state, range(3, 6))
        _same(state.inner, plain)


class _Prioritised(Classifier):
    def update(self, *given):
        return super().update(*given)._replace(priorities=jnp.arange(6.0))


def test_what_else_an_update_tells_is_passed_on():
    """Priorities of its examples; the penalty only where it is asked for."""
    config = ClassifierConfig((5,), batch_size=6)
    inner = _Prioritised(config, SimpleNamespace(num_classes=3))
    for logs_penalty in (True, False):
        elastic = Elastic(inner, ElasticConfig(3.0, logs_penalty=logs_penalty))
        state = elastic.init(KEY, _batch(0))
        learned = elastic.update(state, _batch(1), KEY, START)
        assert learned.priorities.tolist() == [0, 1, 2, 3, 4, 5]
        assert ("loss/elastic" in learned.metrics) == logs_penalty


@pytest.mark.parametrize("estimator", ["exact", "sampled", "empirical", "batch"])
def test_the_estimator_is_the_one_that_is_set(estimator):
    elastic = Elastic(_classifier(), ElasticConfig(3.0, estimator=estimator))
    state, examples = elastic.init(KEY, _batch(0)), _batch(1)
    expected = of_logits(
        lambda weights, one: elastic.inner.answer(weights, one, KEY).logits,
        state.params, examples, examples.target, KEY, estimator,
    )  # fmt: skip
    held = elastic.consolidate(state, examples, KEY)
    _close(held.quadratic.fisher, expected, rtol=1e-5)


def test_the_penalty_is_0_where_it_is_held_and_above_0_a_step_on():
    elastic = Elastic(_classifier(), ElasticConfig(20.0))
    state, metrics = _trained(elastic, elastic.init(KEY, _batch(0)), range(3))
    assert metrics["loss/elastic"] == 0.0
    held = jax.jit(elastic.consolidate)(state, _batch(9), KEY)
    fisher = elastic.fisher(state, _batch(9), KEY)
    jax.tree.map(
        lambda c, f, w: np.testing.assert_array_equal(c, jnp.where(f > 0, w, 0.0)),
        held.quadratic.centre, fisher, state.params,
    )  # fmt: skip
    _close(held.quadratic.fisher, fisher, rtol=1e-5)
    moved, metrics = _trained(elastic, held, [4])
    expected = (
        0.5
        * 20.0
        * sum(
            float((f * (w - c) ** 2).sum())
            for f, w, c in zip(
                *map(jax.tree.leaves, (fisher, moved.params, state.params)), strict=True
            )
        )
    )
    assert expected > 0 and metrics["loss/elastic"] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(("own", "step"), [(None, 0.5), (0.01, 0.01)])
def test_a_step_by_hand(own, step):
    agent = _classifier()
    elastic = Elastic(agent, ElasticConfig(3.0, step_size=own))
    state = elastic.init(KEY, _batch(0))
    fisher = jax.tree.map(lambda w: jnp.abs(w) + 0.2, state.params)
    state = elastic.anchor(state, fisher)
    anchor = state.params
    plain, _ = _trained(agent, state.inner, [1])
    got, _ = _trained(elastic, state, [1])
    c = step * 3.0
    expected = jax.tree.map(
        lambda w, f, a: (w + c * f * a) / (1 + c * f), plain.params, fisher, anchor
    )
    _close(got.params, expected, rtol=1e-5, atol=1e-7)
    assert not agent.gradient_step.hooks


def test_no_strength_makes_it_diverge_and_a_large_one_holds():
    elastic = Elastic(_classifier(), ElasticConfig(1e9))
    state = elastic.init(KEY, _batch(0))
    ones = jax.tree.map(jnp.ones_like, state.params)
    held = elastic.anchor(state, ones)
    moved, metrics = _trained(elastic, held, range(20))
    _close(moved.params, held.params, atol=1e-5)
    assert np.isfinite(metrics["loss/elastic"])


def _constant(tree, value):
    return jax.tree.map(lambda leaf: jnp.full_like(leaf, value), tree)


def _held_at(elastic, state, value, fisher, task=0):
    """The state with all weights `value`, held on to with a Fisher that is as constant."""
    state = state._replace(
        inner=state.inner._replace(params=_constant(state.params, value))
    )
    return jax.jit(elastic.anchor)(state, _constant(state.params, fisher), task)


def test_terms_add_up_and_one_that_returns_is_replaced():
    adding = Elastic(_classifier(), ElasticConfig(1.0))
    keeping = Elastic(_classifier(), ElasticConfig(1.0, max_tasks=3))
    for elastic, fishers, centres in (
        (adding, (1.0, 4.0, 6.0), (2.0, (1 * 2 + 3 * 6) / 4, (1 * 2 + 3 * 6 + 2 * 8) / 6)),
        # Task 0 again: its term 1 (w - 2)^2 goes.
        (keeping, (1.0, 4.0, 5.0), (2.0, 5.0, (3 * 6 + 2 * 8) / 5)),
    ):
        state = elastic.init(KEY, _batch(0))
        at = zip((2.0, 6.0, 8.0), (1.0, 3.0, 2.0), (0, 1, 0), fishers, centres, strict=True)
        for value, fisher, task, total, centre in at:
            state = _held_at(elastic, state, value, fisher, task)
            _close(state.quadratic.fisher, _constant(state.params, total), rtol=1e-6)
            _close(state.quadratic.centre, _constant(state.params, centre), rtol=1e-6)
    with pytest.raises(ValueError, match=r"task=3: must lie in \[0, max_tasks = 3\)"):
        keeping.anchor(state, state.quadratic.fisher, 3)


def test_online_keeps_one_penalty_around_the_newest_weights():
    elastic = Elastic(_classifier(), ElasticConfig(1.0, form="online", decay=0.5))
    state = elastic.init(KEY, _batch(0))
    for value, fisher, total in ((2.0, 1.0, 1.0), (6.0, 3.0, 3.5), (8.0, 2.0, 3.75)):
        state = _held_at(elastic, state, value, fisher)
        _close(state.quadratic.fisher, _constant(state.params, total), rtol=1e-6)
        _same(state.quadratic.centre, _constant(state.params, value))
        assert state.quadratic.floor == 0.0


@pytest.mark.parametrize("name", ["actor_critic", "dqn"])
def test_an_agent_that_acts_is_held_by_its_weights_alone(name):
    agent = make_agent(name, CountingTask(), "feedforward")
    elastic = Elastic(agent, ElasticConfig(10.0))
    state = jax.jit(elastic.init)(KEY)
    weights = weights_of(state.params)
    assert jax.tree.structure(state.quadratic.fisher) == jax.tree.structure(weights)
    assert (weights is not state.params) == (name == "dqn")
    assert elastic.data is agent.data


def test_it_trains_where_its_agent_does():
    agent = make_agent("actor_critic", CountingTask(), "feedforward")
    apart = []
    for strength in (0.0, 10.0):
        elastic = Elastic(agent, ElasticConfig(strength, step_size=1.0))
        runner = OnDeviceRunner(elastic, CountingTask())
        state = runner.init(KEY[None])
        hold = jax.vmap(lambda s, e=elastic: e.anchor(s, _constant(s.params, 1.0)))
        state = runner.place(state._replace(learner=jax.jit(hold)(state.learner)))
        start = jax.device_get(state.learner.params)
        state, metrics = runner.train(runner.prepare(state, 4), 4)
        pairs = zip(*map(jax.tree.leaves, (start, state.learner.params)), strict=True)
        apart.append(max(float(np.abs(a - np.asarray(b)).max()) for a, b in pairs))
    assert metrics["loss/elastic"] > 0 and apart[1] < 0.2 * apart[0]


def test_settings_that_do_not_go_together_are_refused():
    for config, flag in (
        (ElasticConfig(strength=-1.0), "strength=-1.0: must be"),
        (ElasticConfig(decay=0.5), "decay=0.5: must be 1 where form is separate"),
        (ElasticConfig(form="online", max_tasks=2), "max_tasks=2: must be 0 where form"),
    ):
        with pytest.raises(ValueError, match=flag):
            check_settings(config)
