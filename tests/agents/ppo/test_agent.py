"""The update: epochs, minibatches, the stop, the statistics, and what is learned."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from acting import ActionTask
from toys import CountingTask, make_agent

from tolman.agents.actor_critic import AuxiliaryTask
from tolman.agents.agent import Unroll, decision_mask, draw_noise
from tolman.agents.gradient import Loss
from tolman.agents.ppo import PPOConfig
from tolman.agents.ppo.agent import LearnerState
from tolman.agents.ppo.loss import normalize
from tolman.agents.ppo.network import orthogonal
from tolman.agents.ppo.pieces import cut, pick, pick_unroll
from tolman.envs import vector
from tolman.launchers.device.on_device import OnDeviceRunner
from tolman.launchers.settings.bounds import check_settings

KEY = jax.random.PRNGKey(0)


def _acted(agent, learner, environment):
    batch_size = agent.data.batch_size
    reset = jax.jit(functools.partial(vector.reset, environment))
    state, timestep = reset(jax.random.split(KEY, batch_size))
    actor_state = before = agent.initial_actor_state(batch_size)
    keys = jax.random.split(KEY, agent.data.unroll_length)

    def body(carry, key):
        state, timestep, actor_state = carry
        noise = draw_noise(agent, key, batch_size)
        decision, actor_state = agent.act(learner.params, noise, timestep, actor_state)
        state, following = vector.step(environment, state, decision.action)
        return (state, following, actor_state), (following, decision)

    carry = (state, timestep, actor_state)
    (_, _, after), (following, decided) = jax.jit(
        lambda carry: jax.lax.scan(body, carry, keys)
    )(carry)
    rows = jax.tree.map(lambda a, b: jnp.concatenate([a[None], b]), timestep, following)
    return Unroll(rows, decided.action, decided.policy, before), after


def _update(agent, learner, unroll, key=KEY, progress=0.0):
    return jax.jit(agent.update)(learner, unroll, key, jnp.float32(progress))


def test_one_epoch_of_one_minibatch_is_one_step_of_adam():
    """Adam's first step has the size of the learning rate, against the gradient's sign."""
    environment = CountingTask()
    agent = make_agent(
        "ppo", environment, "gru", num_epochs=1, learning_rate=0.01, max_gradient_norm=1e9
    )
    learner = jax.jit(agent.init)(KEY)
    unroll, _ = _acted(agent, learner, environment)
    old = jax.jit(agent._old)(learner.params, unroll, learner.hyperparameters.discount)
    old = old._replace(advantage=normalize(old.advantage, old.mask))

    def total(weights):
        params = learner.params._replace(network=weights)
        return agent.loss(params, unroll, old, learner.hyperparameters.entropy_cost).total

    gradient = jax.jit(jax.grad(total))(learner.params.network)
    stepped = _update(agent, learner, unroll).learner_state.params.network
    jax.tree.map(
        lambda new, before, slope: np.testing.assert_allclose(
            new - before, -0.01 * slope / (np.abs(slope) + 1e-5), atol=2e-4
        ),
        *jax.device_get((stepped, learner.params.network, gradient)),
    )


def test_the_old_policy_is_the_one_that_acted():
    environment = CountingTask()
    agent = make_agent("ppo", environment, "lstm", normalize_rewards=False)
    learner = jax.jit(agent.init)(KEY)
    unroll, _ = _acted(agent, learner, environment)
    old = agent._old(learner.params, unroll, 0.9)
    log_policy = jax.nn.log_softmax(unroll.policy)
    expected = np.take_along_axis(log_policy, unroll.action[..., None], -1)[..., 0]
    np.testing.assert_array_equal(old.log_probability, expected)
    np.testing.assert_array_equal(old.mask, decision_mask(unroll.timestep))
    metrics = _update(agent, learner, unroll).metrics
    assert float(metrics["ppo/kl"]) < 0.05


def test_every_sequence_is_learned_from_once_an_epoch():
    environment = CountingTask()
    agent = make_agent("ppo", environment, "lstm", batch_size=6, num_minibatches=3)
    order = np.asarray(agent._minibatches(KEY))
    assert order.shape == (4 * 3, 2)
    for epoch in order.reshape(4, 6):
        assert sorted(epoch) == list(range(6))
    assert len({tuple(epoch) for epoch in order.reshape(4, 6)}) > 1


def test_rows_of_last_carry_no_gradient():
    environment = CountingTask()
    agent = make_agent("ppo", environment, "feedforward")
    learner = jax.jit(agent.init)(KEY)
    unroll, _ = _acted(agent, learner, environment)

    def total(observation):
        seen = unroll.timestep._replace(observation=observation)
        rows = unroll._replace(timestep=seen)
        old = agent._old(learner.params, rows, 0.9)
        return agent.loss(learner.params, rows, old, 0.01).total

    slope = np.abs(jax.jit(jax.grad(total))(unroll.timestep.observation)).max(-1)
    on_last = np.asarray(unroll.timestep.is_last())
    assert on_last[:-1].any() and (slope[on_last] == 0.0).all()
    assert (slope[:-1][~on_last[:-1]] > 0.0).any()


def test_the_stop_leaves_out_what_comes_after_it():
    """With a target that the first step oversteps, one step is all that is taken."""
    environment = CountingTask()
    settings = {"learning_rate": 0.05, "num_minibatches": 2, "batch_size": 4}
    stopped = make_agent("ppo", environment, "lstm", target_kl=1e-5, **settings)
    learner = jax.jit(stopped.init)(KEY)
    unroll, _ = _acted(stopped, learner, environment)
    result = _update(stopped, learner, unroll)
    assert float(result.metrics["ppo/steps_taken"]) == pytest.approx(1 / 8)
    adam = result.learner_state.optimizer_state[-1]
    assert int(adam.count) == 1
    free = make_agent("ppo", environment, "lstm", target_kl=0.0, **settings)
    result = _update(free, learner, unroll)
    assert float(result.metrics["ppo/steps_taken"]) == 1.0
    assert int(result.learner_state.optimizer_state[-1].count) == 8


def test_the_stop_is_for_the_rest_of_an_update():
    """Of four minibatches one says stop: those after it are left out, whatever they say."""
    environment = CountingTask()
    settings = {"batch_size": 4, "num_minibatches": 4, "num_epochs": 1}
    agent = make_agent("ppo", environment, "feedforward", target_kl=0.5, **settings)
    learner = jax.jit(agent.init)(KEY)
    unroll, _ = _acted(agent, learner, environment)
    says_stop = jnp.broadcast_to(jnp.array([0.0, 1.0, 0.0, 0.0]), unroll.action.shape)

    def loss(weights, unroll, old, entropy_cost):
        total = sum(leaf.sum() for leaf in jax.tree.leaves(weights.network))
        return Loss(total, {"ppo/kl": unroll.action.astype(jnp.float32).max()})

    agent.loss = loss
    result = _update(agent, learner, unroll._replace(action=says_stop.astype(jnp.int32)))
    place = np.asarray(agent._minibatches(KEY)).ravel().tolist().index(1)
    assert place < 3  # Else nothing comes after it.
    assert float(result.metrics["ppo/steps_taken"]) == place / 4


def test_auxiliary_losses_are_means_over_time_as_the_others():
    environment = CountingTask()
    task = AuxiliaryTask(
        name="clock",
        cost=0.25,
        head=lambda features: features.core.sum(-1),
        loss=lambda prediction, unroll: jnp.square(prediction[:-1] - 3.0),
    )
    plain = make_agent("ppo", environment, "lstm")
    helped = make_agent("ppo", environment, "lstm", [task])
    learner = jax.jit(plain.init)(KEY)
    unroll, _ = _acted(plain, learner, environment)
    old = plain._old(learner.params, unroll, 0.9)
    before, after = (
        jax.jit(agent.loss)(learner.params, unroll, old, 0.01) for agent in (plain, helped)
    )
    share = float(old.mask.mean())  # Of decisions that count.
    expected = 0.25 * float(after.metrics["loss/clock"]) * share
    assert float(after.total - before.total) == pytest.approx(expected, rel=1e-4)


def test_the_learning_rate_falls_to_nothing():
    environment = CountingTask()
    agent = make_agent("ppo", environment, "lstm")
    learner = jax.jit(agent.init)(KEY)
    unroll, _ = _acted(agent, learner, environment)
    state = _update(agent, learner, unroll, progress=1.0).learner_state
    jax.tree.map(
        np.testing.assert_array_equal, state.params.network, learner.params.network
    )


def test_statistics_take_in_every_acted_row_once_and_freeze_in_acting():
    environment = CountingTask()
    agent = make_agent("ppo", environment, "lstm", discount=0.5)
    learner = jax.jit(agent.init)(KEY)
    unroll, after = _acted(agent, learner, environment)
    statistics = _update(agent, learner, unroll).learner_state.params.statistics
    rows = np.asarray(unroll.timestep.observation)[:-1].reshape(-1, 2)
    np.testing.assert_allclose(statistics.observation[0].mean, rows.mean(0), rtol=1e-4)
    np.testing.assert_allclose(statistics.observation[0].variance, rows.var(0), rtol=1e-4)

    earned, returns = np.zeros(2), []
    reward, step_type = map(np.asarray, (unroll.timestep.reward, unroll.timestep.step_type))
    for row in range(1, 11):
        earned = np.where(step_type[row] == 0, 0.0, 0.5 * earned + reward[row])
        returns += earned[step_type[row] != 0].tolist()
    got = statistics.discounted_return
    np.testing.assert_allclose(got.variance, np.var(returns), rtol=1e-3)
    np.testing.assert_allclose(got.number, len(returns), rtol=1e-4)
    # What the actor carries on is the return before the row that it has not acted on yet.
    last = np.zeros(2)
    for row in range(10):
        last = np.where(step_type[row] == 0, 0.0, 0.5 * last + reward[row])
    np.testing.assert_allclose(after.discounted_return, last, rtol=1e-5)


def test_acting_reads_the_statistics():
    environment = CountingTask()
    agent = make_agent("ppo", environment, "feedforward")
    params = jax.jit(agent.init)(KEY).params
    params = jax.tree.map(lambda leaf: 3.0 * leaf, params)
    _, timestep = vector.reset(environment, jax.random.split(KEY, 2))
    empty, noise = agent.initial_actor_state(2), agent.draw_noise(KEY, 2)
    (own,) = params.statistics.observation.values()
    moved = params.statistics._replace(observation={0: own._replace(mean=own.mean + 1.0)})
    policies = [
        agent.act(params._replace(statistics=one), noise, timestep, empty)[0].policy
        for one in (params.statistics, moved)
    ]
    assert np.abs(policies[0] - policies[1]).max() > 1e-4


@pytest.mark.parametrize("core", ["lstm", "feedforward"])
def test_both_corrections_agree_on_fresh_data(core):
    environment = CountingTask()
    learned = []
    for correction in ("none", "vtrace"):
        agent = make_agent(
            "ppo", environment, core, off_policy_correction=correction, learning_rate=1e-4
        )
        assert agent.data.max_lag == (correction == "vtrace")
        learner = jax.jit(agent.init)(KEY)
        unroll, _ = _acted(agent, learner, environment)
        learned.append(_update(agent, learner, unroll).learner_state.params.network)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), *learned)


def test_old_data_is_weighed_by_its_age():
    """Under V-trace the update starts from the present policy."""
    environment = CountingTask()
    agent = make_agent("ppo", environment, "lstm", off_policy_correction="vtrace")
    learner = jax.jit(agent.init)(KEY)
    unroll, _ = _acted(agent, learner, environment)
    aged = unroll._replace(policy=unroll.policy + jnp.array([1.0, 0.0]))
    old, fresh = (agent._old(learner.params, rows, 0.9) for rows in (aged, unroll))
    np.testing.assert_allclose(old.log_probability, fresh.log_probability, atol=1e-6)
    ratio = np.exp(fresh.log_probability) / np.exp(
        agent.policy.log_probability(aged.policy, aged.action)
    )
    assert (ratio < 1).any() and (ratio > 1).any()
    counts = np.asarray(fresh.mask[-1]) > 0  # The last row's trace is its own ratio.
    np.testing.assert_allclose(
        old.advantage[-1][counts],
        (np.minimum(ratio, 1.0) * fresh.advantage)[-1][counts],
        rtol=1e-4,
    )


def test_weights_are_orthogonal_and_the_core_is_left_alone():
    environment = CountingTask()
    agent = make_agent("ppo", environment, "lstm")
    weights = jax.jit(agent.init)(KEY).params.network
    torso = np.asarray(weights["mlp_torso/~/mlp/~/linear_0"]["w"])  # [2, 64]
    np.testing.assert_allclose(torso @ torso.T, 2.0 * np.eye(2), atol=1e-5)
    policy, value = (weights[f"heads/{name}"]["w"] for name in ("policy", "value"))
    np.testing.assert_allclose(policy.T @ policy, 1e-4 * np.eye(2), atol=1e-9)
    np.testing.assert_allclose(value.T @ value, [[1.0]], atol=1e-5)
    other = {"lstm": {"w": jnp.ones((3, 4))}, "heads/value": {"b": jnp.ones(1)}}
    jax.tree.map(np.testing.assert_array_equal, orthogonal(other, KEY), other)
    plain = make_agent("ppo", environment, "lstm", use_orthogonal_init=False)
    torso = jax.jit(plain.init)(KEY).params.network["mlp_torso/~/mlp/~/linear_0"]["w"]
    assert np.abs(torso @ torso.T - 2.0 * np.eye(2)).max() > 0.1


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({}, "num_minibatches=4: must be a divisor of batch_size = 6"),
        ({"piece_length": 5}, "piece_length=5: must be 0, or a divisor of unroll_length ="),
        ({"piece_length": 64}, None),  # 6 times 2 pieces.
    ],
)
def test_minibatches_of_parts_of_pieces_are_refused(settings, problem):
    config = dataclasses.replace(PPOConfig(), batch_size=6, num_minibatches=4, **settings)
    if problem is None:
        return check_settings(config)
    with pytest.raises(ValueError, match=problem):
        check_settings(config)


def test_a_core_with_memory_learns_from_whole_sequences():
    with pytest.raises(ValueError, match=r"agent\.piece_length=5: must be 0 for a core"):
        make_agent("ppo", CountingTask(), "lstm", piece_length=5)


def test_an_update_of_pieces_is_that_of_their_sequences():
    """With all in one minibatch; what was done last is read, so that it must be there."""
    environment = CountingTask()
    settings = {"use_previous_action": True, "num_epochs": 1}
    learned = []
    for length in (0, 5):
        agent = make_agent(
            "ppo", environment, "feedforward", piece_length=length, **settings
        )
        learner = jax.jit(agent.init)(KEY)
        unroll, _ = _acted(agent, learner, environment)
        assert unroll.action.any() and not unroll.action.all()
        result = _update(agent, learner, unroll)
        learned.append((result.learner_state.params, result.metrics))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=2e-5), *learned)


def test_a_minibatch_of_pieces_has_decisions_of_all_sequences():
    """Those of 10 times 2 decisions that a minibatch of 10 draws are its pieces' alone."""
    environment = CountingTask()
    agent = make_agent(
        "ppo", environment, "feedforward", piece_length=1, num_minibatches=2, num_epochs=1
    )
    learner = jax.jit(agent.init)(KEY)
    unroll, _ = _acted(agent, learner, environment)
    old = agent._old(learner.params, unroll, 0.9)
    pieces, cut_old = cut(unroll, old, 1)
    orders = np.asarray(agent._minibatches(KEY))
    assert orders.shape == (2, 10) and sorted(orders.ravel()) == list(range(20))
    own = pick_unroll(pieces, orders[0])
    time, sequence = orders[0] // 2, orders[0] % 2
    assert set(sequence) == {0, 1}
    observation = np.asarray(unroll.timestep.observation)
    np.testing.assert_array_equal(own.timestep.observation[0], observation[time, sequence])
    np.testing.assert_array_equal(
        own.timestep.observation[1], observation[time + 1, sequence]
    )
    np.testing.assert_array_equal(own.action[0], unroll.action[time, sequence])
    np.testing.assert_array_equal(own.policy[0], unroll.policy[time, sequence])
    advantage = pick(cut_old, orders[0]).advantage
    np.testing.assert_array_equal(advantage[0], old.advantage[time, sequence])


def test_a_value_of_its_own_shares_no_weight_with_the_policy():
    environment = CountingTask()
    agent = make_agent("ppo", environment, "lstm", value_network="own")
    params = jax.jit(agent.init)(KEY).params
    unroll, _ = _acted(agent, LearnerState(params, None, None), environment)

    def reached(pick_output):
        def total(weights):
            output = agent.network.unroll(params._replace(network=weights), unroll)
            return jnp.square(pick_output(output)).sum()

        slopes = jax.jit(jax.grad(total))(params.network)
        return {
            f"{module}/{name}"
            for module, leaves in slopes.items()
            for name, slope in leaves.items()
            if jnp.abs(slope).max() > 0
        }

    policy, value = reached(lambda x: x.policy), reached(lambda x: x.value)
    assert not policy & value
    every = {f"{m}/{name}" for m, leaves in params.network.items() for name in leaves}
    assert policy | value == every
    assert len(policy) == len(value)
    shared = make_agent("ppo", environment, "lstm")
    assert len(jax.jit(shared.init)(KEY).params.network) < len(params.network)


@pytest.mark.slow
@pytest.mark.parametrize("action", ["nest", "masked several"])
def test_it_learns_which_numbers_pay(action):
    """The largest numbers pay most: at random about half of what the best earn."""
    environment = ActionTask(action)
    agent = make_agent(
        "ppo", environment, "feedforward", unroll_length=20, batch_size=16,
        num_minibatches=4, learning_rate=3e-3,
    )  # fmt: skip
    runner = OnDeviceRunner(agent, environment, devices=jax.devices()[:1])
    state = runner.prepare(runner.init(KEY[None]), 60)
    state, first = runner.train(state, 1)
    for _ in range(3):
        state, last = runner.train(state, 20)
    key = "train/episode_return"
    assert float(last[key][0]) > float(first[key][0]) + 4.0
