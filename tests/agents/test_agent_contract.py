"""What every agent must do: the learner recomputes what the actor stored, and more."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from toys import CountingTask
from toys import make_agent as new_agent

from tolman.agents.actor_critic import ActorCriticConfig
from tolman.agents.agent import Unroll, draw_noise
from tolman.envs import vector
from tolman.envs.environment import TimeStep
from tolman.envs.meta_rl import TwoStep
from tolman.launchers.catalog.names import AGENT, find, kind_of_agent, registered
from tolman.launchers.device.on_device import OnDeviceRunner

# Those that act in environments; agents that play games have a contract of their own.
# "navigation" reads fields of its own; its tests hold it to the same.
AGENT_NAMES = sorted(
    name
    for name in registered(AGENT)
    if kind_of_agent(find(AGENT, name)) == "acts" and name != "navigation"
)
ACTOR_CRITICS = [
    name
    for name in AGENT_NAMES
    if issubclass(find(AGENT, name).settings_type, ActorCriticConfig)
]
KEY = jax.random.PRNGKey(0)


make_agent = functools.cache(new_agent)  # Equal ones share their programs.


@functools.lru_cache(maxsize=24)  # Of a few tests; older programs are freed.
def _jit(function):
    return jax.jit(function)


@functools.cache
def _step(environment):
    return jax.jit(functools.partial(vector.step, environment))


def _unrolls(agent, params, environment, num_unrolls, seed=0):
    """Acts step by step as the runner does, and stores unrolls."""
    length, batch_size = agent.data.unroll_length, agent.data.batch_size
    key = jax.random.PRNGKey(seed)
    env_state, timestep = vector.reset(environment, jax.random.split(key, batch_size))
    actor_state = agent.initial_actor_state(batch_size)
    act, step = _jit(agent.act), _step(environment)
    for _ in range(num_unrolls):
        before, rows, decisions = actor_state, [timestep], []
        for _ in range(length):
            key, act_key = jax.random.split(key)
            noise = draw_noise(agent, act_key, batch_size)
            decision, actor_state = act(params, noise, timestep, actor_state)
            env_state, timestep = step(env_state, decision.action)
            rows.append(timestep)
            decisions.append(decision)
        yield Unroll(_stack(rows), *_stack(decisions), before)


def _stack(parts):
    """Stacks by NumPy: jax would compile one program for every shape."""
    return jax.tree.map(lambda *leaves: jnp.asarray(np.stack(leaves)), *parts)


def _recomputed_logits(agent, params, unroll):
    """The learner's logits; `params.weights` are what the network of DQN takes."""
    weights = getattr(params, "weights", params)
    return _jit(agent.network.unroll)(weights, unroll).policy


def test_learner_recomputes_the_actors_logits(core_name):
    _check_recomputed_logits("ppo", core_name)


@pytest.mark.parametrize("name", [name for name in AGENT_NAMES if name != "ppo"])
def test_every_learner_recomputes_them(name):
    """All agents have one recurrent network, so that one core is enough."""
    _check_recomputed_logits(name, "lstm")


def _counting_agent(name, core_name="lstm"):
    """Unroll 7 aligns with nothing: neither episodes nor tasks."""
    return make_agent(name, CountingTask(), core_name, unroll_length=7, batch_size=3)


def _check_recomputed_logits(name, core_name):
    """Across unroll, episode and task borders."""
    environment, agent = CountingTask(), _counting_agent(name, core_name)
    params = _jit(agent.init)(jax.random.PRNGKey(3)).params
    params = jax.tree.map(lambda leaf: np.asarray(leaf) * np.float32(3.0), params)
    new_tasks = 0
    for unroll in _unrolls(agent, params, environment, num_unrolls=6):
        logits = _recomputed_logits(agent, params, unroll)
        np.testing.assert_allclose(logits[:-1], unroll.policy, rtol=1e-5, atol=1e-5)
        new_tasks += int(unroll.timestep.new_task[1:].sum())
    assert new_tasks > 3  # The borders were crossed.


@pytest.mark.parametrize("name", AGENT_NAMES)
def test_update_is_a_pure_function(name):
    agent = _counting_agent(name)
    learner = _jit(agent.init)(jax.random.PRNGKey(0))
    (unroll,) = _unrolls(agent, learner.params, CountingTask(), 1)
    results = [_jit(agent.update)(learner, unroll, KEY, jnp.float32(0.5)) for _ in range(2)]
    jax.tree.map(np.testing.assert_array_equal, *results)


@pytest.mark.parametrize("name", AGENT_NAMES)
def test_priorities_are_given_back_where_the_replay_asks_for_them(name):
    agent = _counting_agent(name)
    learner = _jit(agent.init)(jax.random.PRNGKey(0))
    (unroll,) = _unrolls(agent, learner.params, CountingTask(), 1)
    learned = _jit(agent.update)(learner, unroll, KEY, jnp.float32(0.0))
    if agent.data.replay == "prioritized":
        assert learned.priorities.shape == (3,) and (learned.priorities > 0).all()
    else:
        assert learned.priorities is None


def test_memory_outlives_an_episode_and_not_a_task():
    """The first logits of episode 2 depend on episode 1; those of a new task do not."""
    environment = CountingTask(episode_length=3, episodes_per_task=2)
    agent = make_agent("meta_rl", environment, "lstm", unroll_length=12, batch_size=1)
    params = jax.tree.map(
        lambda leaf: leaf * 3.0, _jit(agent.init)(jax.random.PRNGKey(0)).params
    )
    (unroll,) = _unrolls(agent, params, environment, 1)
    first = np.flatnonzero(unroll.timestep.is_first()[:, 0])
    new_task = np.flatnonzero(unroll.timestep.new_task[:, 0])
    np.testing.assert_array_equal(first, [0, 4, 8, 12])
    np.testing.assert_array_equal(new_task, [0, 8])

    changed = unroll._replace(
        timestep=unroll.timestep._replace(reward=unroll.timestep.reward.at[2].add(5.0))
    )
    logits, other = (_recomputed_logits(agent, params, u) for u in (unroll, changed))
    differs = np.abs(logits - other).max(-1)[:, 0] > 1e-7
    assert not differs[:2].any() and differs[2:8].all() and not differs[8:].any()


@pytest.mark.parametrize("name", AGENT_NAMES)
def test_reward_enters_one_step_late(name):
    """The reward of row t is that of the decision at t - 1; it must not reach row t - 1."""
    environment = TwoStep()
    agent = make_agent(
        name, environment, "lstm", unroll_length=8, batch_size=1, use_previous_reward=True
    )
    params = jax.tree.map(
        lambda leaf: leaf * 3.0, _jit(agent.init)(jax.random.PRNGKey(0)).params
    )
    (unroll,) = _unrolls(agent, params, environment, 1)
    reward = unroll.timestep.reward
    changed = unroll._replace(
        timestep=unroll.timestep._replace(reward=reward.at[5].add(1.0))
    )
    logits, other = (_recomputed_logits(agent, params, u) for u in (unroll, changed))
    np.testing.assert_array_equal(logits[:5], other[:5])
    assert np.abs(logits[5] - other[5]).max() > 1e-6


def test_withheld_reward_has_no_way_in():
    environment = TwoStep()
    agent = make_agent("meta_rl", environment, "lstm", use_previous_reward=False)
    params = _jit(agent.init)(jax.random.PRNGKey(0)).params
    (unroll,) = _unrolls(agent, params, environment, 1)
    changed = unroll._replace(
        timestep=unroll.timestep._replace(reward=unroll.timestep.reward + 1.0)
    )
    logits, other = (_recomputed_logits(agent, params, u) for u in (unroll, changed))
    np.testing.assert_array_equal(logits, other)


def test_no_action_precedes_a_first_step():
    """At FIRST the previous action enters as zeros, not as action 0 (a fake memory)."""
    environment = TwoStep()
    agent = make_agent("meta_rl", environment, "feedforward", batch_size=1)
    params = _jit(agent.init)(jax.random.PRNGKey(0)).params
    _, first = vector.reset(environment, jax.random.split(jax.random.PRNGKey(0), 1))
    empty = agent.initial_actor_state(1)
    outputs = [
        agent.network.step(params, first, empty._replace(previous_action=jnp.array([a])))[0]
        for a in (-1, 0, 1)
    ]
    np.testing.assert_array_equal(outputs[0].policy, outputs[1].policy)
    np.testing.assert_array_equal(outputs[0].policy, outputs[2].policy)


@pytest.mark.parametrize("name", AGENT_NAMES)
def test_decisions_without_effect_carry_no_gradient(name):
    """What is decided on LAST changes nothing, so its action must not enter the loss."""
    environment = CountingTask()
    agent = make_agent(name, environment, "feedforward", use_previous_action=False)
    learner = _jit(agent.init)(jax.random.PRNGKey(0))
    (unroll,) = _unrolls(agent, learner.params, environment, 1)
    on_last = unroll.timestep.is_last()[:-1]
    assert on_last.any()
    changed = unroll._replace(action=jnp.where(on_last, 1 - unroll.action, unroll.action))
    progress = jnp.float32(0.0)
    a, b = (
        _jit(agent.update)(learner, u, KEY, progress)[0].params for u in (unroll, changed)
    )
    jax.tree.map(np.testing.assert_array_equal, a, b)
    effective = unroll._replace(action=jnp.where(on_last, unroll.action, 1 - unroll.action))
    c = _jit(agent.update)(learner, effective, KEY, progress)[0].params
    assert any(np.any(x != y) for x, y in zip(*map(jax.tree.leaves, (a, c)), strict=True))


@pytest.mark.parametrize("name", [n for n in AGENT_NAMES if n not in ("ppo", "ewc")])
def test_rows_of_last_carry_no_gradient(name):
    """Of no term of the loss, entropy included: what is seen there is no decision.

    The loss of "ewc" is that of "dqn".
    """
    environment = CountingTask()
    agent = make_agent(name, environment, "feedforward", use_previous_action=False)
    learner = _jit(agent.init)(jax.random.PRNGKey(0))
    (unroll,) = _unrolls(agent, learner.params, environment, 1)
    weights = (learner.params,)
    if hasattr(learner, "target_weights"):
        weights = (learner.params.weights, learner.target_weights)

    def total(observation):
        seen = unroll.timestep._replace(observation=observation)
        arguments = unroll._replace(timestep=seen), learner.hyperparameters, 0.0
        return agent.loss(*weights, *arguments).total

    slope = np.abs(jax.jit(jax.grad(total))(unroll.timestep.observation)).max(-1)
    on_last = np.asarray(unroll.timestep.is_last())
    assert on_last[:-1].any() and (slope[on_last] == 0.0).all()
    assert (slope[:-1][~on_last[:-1]] > 0.0).any()


@pytest.mark.parametrize("name", ACTOR_CRITICS)
def test_actions_are_those_that_categorical_draws(name):
    """Drawing an unroll's noise at once changes no bit."""
    environment = TwoStep()
    agent = make_agent(name, environment, "lstm", batch_size=64)
    params = _jit(agent.init)(jax.random.PRNGKey(0)).params
    _, timestep = vector.reset(environment, jax.random.split(jax.random.PRNGKey(1), 64))
    keys = jax.random.split(jax.random.PRNGKey(2), 3)
    noise = jax.vmap(lambda key: draw_noise(agent, key, 64))(keys)
    for index, key in enumerate(keys):
        decision, _ = agent.act(
            params, noise[index], timestep, agent.initial_actor_state(64)
        )
        expected = jax.random.categorical(key, decision.policy)
        np.testing.assert_array_equal(decision.action, expected)
        assert 0 < decision.action.mean() < 1


def test_entropy_cost_and_learning_rate_follow_progress():
    environment = TwoStep()
    agent = make_agent(
        "meta_rl", environment, "lstm", entropy_cost=1.0, final_entropy_cost=0.0,
        final_learning_rate_scale=0.0,
    )  # fmt: skip
    learner = _jit(agent.init)(jax.random.PRNGKey(0))
    (unroll,) = _unrolls(agent, learner.params, environment, 1)
    totals, entropies = [], []
    for progress in (0.0, 0.5, 1.0):
        total, metrics, _ = _jit(agent.loss)(
            learner.params, unroll, learner.hyperparameters, jnp.float32(progress)
        )
        totals.append(float(total))
        entropies.append(float(metrics["loss/entropy"]))
    decisions = float(1 - unroll.timestep.is_last()[:-1].mean()) * agent.data.unroll_length
    # Each half of the way takes half of the entropy bonus off the loss.
    assert totals[1] - totals[0] == pytest.approx(0.5 * entropies[0] * decisions, rel=1e-4)
    assert totals[2] - totals[0] == pytest.approx(entropies[0] * decisions, rel=1e-4)
    stopped, *_ = _jit(agent.update)(learner, unroll, KEY, jnp.float32(1.0))
    jax.tree.map(np.testing.assert_array_equal, stopped.params, learner.params)


def test_auxiliary_task_adds_its_weighted_loss():
    from tolman.agents.actor_critic import AuxiliaryTask

    environment = TwoStep()
    task = AuxiliaryTask(
        name="clock",
        cost=0.25,
        head=lambda features: features.core.sum(-1),
        loss=lambda prediction, unroll: jnp.square(prediction[:-1] - 3.0),
    )
    plain = make_agent("actor_critic", environment, "lstm")
    helped = make_agent("actor_critic", environment, "lstm", tasks=(task,))
    learner = _jit(plain.init)(jax.random.PRNGKey(0))
    (unroll,) = _unrolls(plain, learner.params, environment, 1)
    arguments = (learner.params, unroll, learner.hyperparameters, jnp.float32(0.0))
    (total, metrics, _), (total_helped, metrics_helped, _) = (
        _jit(plain.loss)(*arguments),
        _jit(helped.loss)(*arguments),
    )
    decisions = float(1 - unroll.timestep.is_last()[:-1].mean()) * plain.data.unroll_length
    expected = 0.25 * float(metrics_helped["loss/clock"]) * decisions
    assert float(total_helped - total) == pytest.approx(expected, rel=1e-4)
    assert "loss/clock" not in metrics


@pytest.mark.parametrize("name", ACTOR_CRITICS)
def test_vtrace_on_fresh_data_gives_the_same_gradient(name):
    """On-policy both corrections agree, over episode borders too."""
    environment = TwoStep(num_trials=2)
    learned = []
    for correction in ("none", "vtrace"):
        agent = make_agent(
            name, environment, "lstm", unroll_length=12, off_policy_correction=correction
        )
        learner = _jit(agent.init)(jax.random.PRNGKey(0))
        (unroll,) = _unrolls(agent, learner.params, environment, 1)
        learned.append(_jit(agent.update)(learner, unroll, KEY, jnp.float32(0.0))[0].params)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), *learned)


def test_toy_reports_tasks_that_span_episodes():
    """The toy itself: two episodes a task."""
    runner = OnDeviceRunner(make_agent("meta_rl", CountingTask(), "lstm"), CountingTask())
    state = runner.init(jax.random.split(jax.random.PRNGKey(0), 1))
    assert isinstance(state.timestep, TimeStep)
    assert state.timestep.new_task.all()
