"""Double DQN: what it learns from, when the target changes, and how it explores."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from toys import make_agent

from tolman.agents.agent import Unroll
from tolman.agents.dqn import with_epsilon
from tolman.envs.environment import FIRST, LAST, MID, TimeStep
from tolman.envs.meta_rl import TwoStep
from tolman.launchers.device.on_device import OnDeviceRunner

ENVIRONMENT = TwoStep()
START, HALF = jnp.float32(0.0), jnp.float32(0.5)
KEY = jax.random.PRNGKey(0)


@functools.cache
def _jit(function):
    return jax.jit(function)


@functools.cache
def _gradient_of(agent):
    def total(*arguments):
        loss = agent.loss(*arguments)
        return loss.total, (loss.metrics, loss.extra)

    return jax.jit(jax.grad(total, has_aux=True))


def _agent(core="lstm", **settings):
    return make_agent("dqn", ENVIRONMENT, core, **settings)


def _unroll(agent, seed=0, step_type=None, probability=None):
    """Random rows in the middle of an episode, from a memory that holds something."""
    length, batch_size = agent.data.unroll_length, agent.data.batch_size
    rng = np.random.default_rng(seed)
    rows = (length + 1, batch_size)
    step_type = np.full(rows, MID) if step_type is None else np.asarray(step_type)
    state = agent.initial_actor_state(batch_size)
    state = state._replace(
        core=jax.tree.map(lambda leaf: jnp.tanh(leaf + 0.5), state.core),
        previous_action=jnp.zeros(batch_size, jnp.int32),
    )
    shape = ENVIRONMENT.observation_spec().shape
    return Unroll(
        TimeStep(
            jnp.asarray(step_type, jnp.int32),
            jnp.asarray(rng.normal(size=rows), jnp.float32),
            jnp.ones(rows),
            jnp.asarray(rng.normal(size=(*rows, *shape)), jnp.float32),
            jnp.asarray(step_type == FIRST),
        ),
        jnp.asarray(rng.integers(0, 2, (length, batch_size)), jnp.int32),
        jnp.zeros((length, batch_size, 2)),
        state,
        probability,
    )


def _gradient(agent, learner, unroll, progress=START):
    """Of the loss in the weights, and what the loss returns beside its value."""
    return _gradient_of(agent)(
        learner.params.weights,
        learner.target_weights,
        unroll,
        learner.hyperparameters,
        progress,
    )


def _values(agent, weights, unroll):
    return np.asarray(_jit(agent.network.unroll)(weights, unroll).policy)


@pytest.mark.parametrize("burn_in, rescaling", [(0, False), (2, True)])
def test_priority_of_a_transition_is_its_error(burn_in, rescaling):
    """The whole target from its parts: online choice, target value, three rewards."""
    agent = _agent(
        unroll_length=burn_in + 3,
        burn_in=burn_in,
        discount=0.5,
        min_priority=0.25,
        use_value_rescaling=rescaling,
    )
    learner = _jit(agent.init)(jax.random.PRNGKey(0))
    target_weights = _jit(agent.init)(jax.random.PRNGKey(1)).params.weights
    learner = learner._replace(target_weights=target_weights)
    unroll = _unroll(agent)
    priorities = _jit(agent.update)(learner, unroll, KEY, START).priorities
    online = _values(agent, learner.params.weights, unroll)[burn_in:]
    target = _values(agent, target_weights, unroll)[burn_in:]
    reward, action = (
        np.asarray(x)[burn_in:] for x in (unroll.timestep.reward, unroll.action)
    )
    grid = np.linspace(-10, 10, 200_001)

    def into(x):
        return np.sign(x) * (np.sqrt(abs(x) + 1) - 1) + 1e-3 * x if rescaling else x

    def back(y):
        return np.interp(y, into(grid), grid)  # The inverse, by looking it up.

    for row in range(2):
        value = target[3, row, online[3, row].argmax()]
        goal = reward[1, row] + reward[2, row] / 2 + reward[3, row] / 4 + back(value) / 8
        error = abs(into(goal) - online[0, row, action[0, row]])
        assert float(priorities[row]) == pytest.approx(error + 0.25, rel=1e-4)


def test_dueling_head_by_hand():
    """The value stream plus what each action adds to the mean over actions."""
    agent = _agent("feedforward", use_dueling_head=True, torso="flat")
    weights = _jit(agent.init)(jax.random.PRNGKey(0)).params.weights
    unroll = _unroll(agent)
    layer = lambda name, x: x @ weights[name]["w"] + weights[name]["b"]  # noqa: E731
    relu = lambda x: np.maximum(x, 0)  # noqa: E731
    x = relu(layer("feedforward/~/linear", unroll.timestep.observation))
    value = layer("heads/value", relu(layer("heads/value_hidden", x)))
    advantage = layer("heads/advantage", relu(layer("heads/advantage_hidden", x)))
    expected = value + advantage - np.mean(advantage, -1, keepdims=True)
    np.testing.assert_allclose(_values(agent, weights, unroll), expected, atol=1e-5)


def test_only_full_returns_are_learned():
    """With burn_in 2, n_step 3 and 8 decisions: those at rows 2 to 5."""
    agent = _agent("feedforward", unroll_length=8, burn_in=2, n_step=3)
    learner = _jit(agent.init)(jax.random.PRNGKey(0))
    unroll = _unroll(agent)
    before, _ = _gradient(agent, learner, unroll)
    matters = []
    for row in range(8):
        other = unroll._replace(action=unroll.action.at[row].set(1 - unroll.action[row]))
        after, _ = _gradient(agent, learner, other)
        pairs = zip(*map(jax.tree.leaves, (before, after)), strict=True)
        matters.append(any(np.any(a != b) for a, b in pairs))
    assert matters == [False] * 2 + [True] * 4 + [False] * 2


def test_burn_in_refreshes_the_memory_and_carries_no_gradient():
    agent = _agent(unroll_length=8, burn_in=4)
    weights = _jit(agent.init)(jax.random.PRNGKey(0)).params.weights
    unroll = _unroll(agent)
    whole = _jit(agent.network.unroll)(weights, unroll).policy
    np.testing.assert_allclose(
        agent.network.unroll(weights, unroll, 4).policy, whole[4:], atol=1e-6
    )

    def last_value(observation, burn_in):
        rows = unroll._replace(timestep=unroll.timestep._replace(observation=observation))
        return agent.network.unroll(weights, rows, burn_in).policy[-1].sum()

    gradient = jax.jit(jax.grad(last_value), static_argnums=1)
    observation = unroll.timestep.observation
    through, stopped = gradient(observation, 0), gradient(observation, 4)
    size = lambda x: np.abs(x).sum((1, 2))  # noqa: E731
    assert (size(through) > 0).all()
    assert (size(stopped)[:4] == 0).all() and (size(stopped)[4:] > 0).all()


def test_what_is_decided_on_last_carries_no_gradient():
    step_type = np.array([[MID] * 2, [LAST] * 2, [FIRST] * 2, [MID] * 2, [MID] * 2])
    agent = _agent("feedforward", unroll_length=4, n_step=1)
    learner = _jit(agent.init)(jax.random.PRNGKey(0))
    unroll = _unroll(agent, step_type=step_type)
    matters = []
    for row in range(4):
        masked = jnp.zeros(4).at[row].set(1)[:, None] == 1
        other = unroll._replace(action=jnp.where(masked, 1 - unroll.action, unroll.action))
        pairs = zip(
            jax.tree.leaves(_gradient(agent, learner, unroll)[0]),
            jax.tree.leaves(_gradient(agent, learner, other)[0]),
            strict=True,
        )
        matters.append(any(np.any(a != b) for a, b in pairs))
    assert matters == [True, False, True, True]
    alone = unroll._replace(
        timestep=unroll.timestep._replace(step_type=jnp.full((5, 2), LAST, jnp.int32))
    )
    gradient, _ = _gradient(agent, learner, alone)
    assert all(not np.any(leaf) for leaf in jax.tree.leaves(gradient))


def test_importance_weights_follow_progress():
    """Sequence 0 was drawn four times as often: weight 4^-0.5 at first, 1/4 at the end."""
    agent = _agent(
        "feedforward",
        unroll_length=3,
        importance_exponent=0.5,
        final_importance_exponent=1.0,
        huber_threshold=0.0,
        min_priority=1e-9,
    )
    learner = _jit(agent.init)(jax.random.PRNGKey(0))
    unroll = _unroll(agent, probability=jnp.array([0.4, 0.1]))
    for progress, weight in ((0.0, 0.5), (1.0, 0.25)):
        _, (metrics, errors) = _gradient(agent, learner, unroll, jnp.float32(progress))
        expected = 0.5 * (weight * errors[0] ** 2 + errors[1] ** 2) / 2
        assert float(metrics["loss/value"]) == pytest.approx(float(expected), rel=1e-5)
    uniform = _agent("feedforward", unroll_length=3, replay="uniform")
    learned = _jit(uniform.update)(learner, _unroll(uniform), KEY, START)
    assert learned.priorities is None


def test_target_network_is_copied_every_third_update():
    agent = _agent("feedforward", target_update_period=3, learning_rate=0.1)
    learner = _jit(agent.init)(jax.random.PRNGKey(0))
    first, update = learner.target_weights, jax.jit(agent.update)
    equal = lambda a, b: all(  # noqa: E731
        np.array_equal(x, y) for x, y in zip(*map(jax.tree.leaves, (a, b)), strict=True)
    )
    for count in range(1, 7):
        before = learner.target_weights
        learner = update(learner, _unroll(agent, seed=count), KEY, HALF).learner_state
        assert int(learner.updates) == count
        assert equal(learner.target_weights, learner.params.weights) == (count % 3 == 0)
        assert equal(learner.target_weights, before) == (count % 3 != 0)
    assert not equal(first, learner.target_weights)


def test_epsilon_falls_with_progress_and_reaches_the_actor():
    agent = _agent("feedforward", epsilon=0.9, final_epsilon=0.1, exploration_share=0.5)
    learner = _jit(agent.init)(jax.random.PRNGKey(0))
    unroll, update = _unroll(agent), jax.jit(agent.update)
    assert float(learner.params.epsilon) == pytest.approx(0.9)
    for progress, expected in ((0.0, 0.9), (0.25, 0.5), (0.5, 0.1), (1.0, 0.1)):
        learned = update(learner, unroll, KEY, jnp.float32(progress))
        epsilon = float(learned.learner_state.params.epsilon)
        assert epsilon == pytest.approx(expected, rel=1e-5)
        assert float(learned.metrics["train/epsilon"]) == pytest.approx(epsilon)


@pytest.mark.parametrize("epsilon", [0.0, 0.3, 1.0])
def test_share_of_random_actions(epsilon):
    """Half of the random actions are the best one by chance."""
    agent = _agent("feedforward")
    params = with_epsilon(_jit(agent.init)(jax.random.PRNGKey(0)).params, epsilon)
    num = 4000
    timestep = jax.tree.map(
        lambda leaf: jnp.repeat(leaf[0, :1], num, 0), _unroll(agent).timestep
    )
    decision, state = agent.act(
        params,
        agent.draw_noise(jax.random.PRNGKey(1), num),
        timestep,
        agent.initial_actor_state(num),
    )
    best = decision.policy.argmax(-1)
    share = float(np.mean(decision.action != best))
    assert share == pytest.approx(epsilon / 2, abs=0.02 if epsilon else 0.0)
    np.testing.assert_array_equal(state.previous_action, decision.action)


@pytest.mark.parametrize("optimizer", ["adam", "rmsprop"])
def test_optimizers_by_hand(optimizer):
    """The first step of Adam is the sign of the gradient, of RMSProp g / root(0.95 ...)."""
    agent = _agent(
        "feedforward", optimizer=optimizer, learning_rate=0.5, optimizer_epsilon=1e-8
    )
    learner = _jit(agent.init)(jax.random.PRNGKey(0))
    unroll = _unroll(agent)
    gradient, _ = _gradient(agent, learner, unroll)
    after = _jit(agent.update)(learner, unroll, KEY, START).learner_state.params.weights
    for w, v, g in zip(
        *map(jax.tree.leaves, (learner.params.weights, after, gradient)), strict=True
    ):
        step = np.asarray(w - v, np.float64)
        g = np.asarray(g, np.float64)
        if optimizer == "adam":
            expected = 0.5 * g / (abs(g) + 1e-8)
        else:  # Mean square 0.05 g^2 less the square of the mean, 0.05 g.
            expected = 0.5 * g / np.sqrt(0.05 * g**2 - (0.05 * g) ** 2 + 1e-8)
        np.testing.assert_allclose(step, expected, rtol=1e-2, atol=1e-4)


def test_the_learning_rate_falls_to_a_share_of_itself():
    agent = _agent("feedforward", replay="uniform", final_learning_rate_scale=0.2)
    learner = _jit(agent.init)(jax.random.PRNGKey(0))
    unroll, update = _unroll(agent), jax.jit(agent.update)
    before = jax.tree.leaves(learner.params.weights)
    steps = [
        [new - old for new, old in zip(jax.tree.leaves(weights), before, strict=True)]
        for progress in (0.0, 0.5, 1.0)
        for weights in [
            update(learner, unroll, KEY, jnp.float32(progress)).learner_state.params.weights
        ]
    ]
    for whole, half, end in zip(*steps, strict=True):
        np.testing.assert_allclose(half, 0.6 * whole, rtol=1e-2, atol=1e-7)
        np.testing.assert_allclose(end, 0.2 * whole, rtol=1e-2, atol=1e-7)


def test_a_population_trains_in_one_program():
    agent = _agent(capacity=100, min_size=20)
    runner = OnDeviceRunner(agent, ENVIRONMENT, num_members=2, num_envs=4)
    state = runner.init(jax.random.split(jax.random.PRNGKey(0), 2))
    state, metrics = runner.train(runner.prepare(state, 10), 3)
    assert state.learner.params.epsilon.shape == (2,)
    assert np.isfinite(metrics["loss/value"]).all()
    np.testing.assert_array_equal(state.learner.updates, [3, 3])


def test_data_is_what_the_config_says():
    data = _agent(unroll_length=5, period=2, capacity=500, min_size=50).data
    assert (data.unroll_length, data.period, data.replay) == (5, 2, "prioritized")
    assert (data.capacity, data.min_size, data.samples_per_insert) == (500, 50, 8.0)
    assert data.priority_exponent == 0.6
