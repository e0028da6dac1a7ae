"""What every agent that acts owes to actions of every kind."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from acting import ACTIONS, ActionTask
from toys import make_agent

from tolman.agents.agent import Unroll, draw_noise
from tolman.agents.inputs import encode_actions
from tolman.envs import vector
from tolman.envs.actions import Legal
from tolman.envs.host import EnvironmentFault
from tolman.launchers.device.episodes import play_episodes
from tolman.launchers.device.on_device import OnDeviceRunner

KEY = jax.random.PRNGKey(0)
AGENTS = ("actor_critic", "ppo")


@functools.cache
def _unroll(name, action, **settings):
    """An agent with large weights, and an unroll that it acted step by step."""
    environment = ActionTask(action)
    agent = make_agent(
        name, environment, "lstm", unroll_length=11, batch_size=3, use_previous_action=True,
        use_previous_reward=True, **settings,
    )  # fmt: skip
    learner = jax.jit(agent.init)(jax.random.PRNGKey(3))
    params = jax.tree.map(lambda leaf: np.asarray(leaf) * np.float32(2.0), learner.params)
    learner = learner._replace(params=params)
    env_state, timestep = vector.reset(environment, jax.random.split(KEY, 3))
    actor_state = before = agent.initial_actor_state(3)
    act = jax.jit(agent.act)
    step = jax.jit(functools.partial(vector.step, environment))
    rows, decisions = [timestep], []
    for key in jax.random.split(KEY, 11):
        noise = draw_noise(agent, key, 3)
        decision, actor_state = act(learner.params, noise, timestep, actor_state)
        env_state, timestep = step(env_state, decision.action)
        rows.append(timestep)
        decisions.append(decision)

    def stack(parts):
        return jax.tree.map(lambda *leaves: jnp.asarray(np.stack(leaves)), *parts)

    decided = stack(decisions)
    return agent, learner, Unroll(stack(rows), decided.action, decided.policy, before)


CASES = [(name, action, {}) for name in AGENTS for action in ACTIONS]
SQUASHED = {"action_bounds": "squash"}
CASES += [("actor_critic", action, SQUASHED) for action in ("box", "nest")]
CASES += [("dqn", "masked", {})]


@pytest.mark.parametrize(("name", "action", "settings"), CASES)
def test_the_learner_recomputes_what_the_actor_chose_by(name, action, settings):
    agent, learner, unroll = _unroll(name, action, **settings)
    params = getattr(learner.params, "weights", learner.params)
    policy = jax.jit(agent.network.unroll)(params, unroll).policy
    jax.tree.map(
        lambda ours, stored: np.testing.assert_allclose(
            ours[:-1], stored, rtol=2e-5, atol=2e-5
        ),
        policy,
        unroll.policy,
    )


@pytest.mark.parametrize(("name", "action", "settings"), CASES)
def test_only_legal_actions_reach_the_environment(name, action, settings):
    """In bounds, and allowed by the mask of the row that was decided on."""
    _, _, unroll = _unroll(name, action, **settings)
    environment = ActionTask(action)
    spec, seen = environment.action_spec(), unroll.timestep.observation
    if "masked" not in action:
        taken = np.asarray(seen)[1:, :, :-1]  # [T, B, K], as the environment got it.
        low, high = (
            np.concatenate(
                [
                    np.broadcast_to(getattr(leaf, end), leaf.shape).reshape(-1)
                    for leaf in jax.tree.leaves(spec)
                ]
            )
            for end in ("minimum", "maximum")
        )
        played = np.asarray(unroll.timestep.step_type)[1:] != 0
        assert (taken[played] >= low).all() and (taken[played] <= high).all()
        return
    mask = np.asarray(Legal(environment.observation_spec(), spec).read(seen))[:-1]
    chosen = np.asarray(encode_actions(spec)(unroll.action)) > 0  # One-hot.
    assert (chosen & ~mask).sum() == 0 and not mask.all()
    assert chosen.sum() == mask[..., 0].size * int(np.prod(spec.shape))


@pytest.mark.parametrize(("name", "action", "settings"), CASES)
def test_an_update_learns_from_them_and_stays_finite(name, action, settings):
    agent, learner, unroll = _unroll(name, action, **settings)
    if name == "dqn":
        unroll = unroll._replace(probability=jnp.full(3, 0.1))
    learned = jax.jit(agent.update)(learner, unroll, KEY, jnp.float32(0.0))
    new, old = (jax.tree.leaves(state.params) for state in (learned[0], learner))
    assert all(np.isfinite(leaf).all() for leaf in new)
    assert any((a != b).any() for a, b in zip(new, old, strict=True))


def test_previous_actions_enter_by_their_kind():
    """One-hot, then numbers within their bounds; all zeros at FIRST."""
    encode = encode_actions(ACTIONS["nest"])
    action = {
        "aim": jnp.array([[3.0, 0.5]]),
        "move": (jnp.array([1]), jnp.array([[2, 2]])),
    }
    expected = [2.0, 0.5, 0, 1, 0, 0, 1, 0, 0, 1]
    np.testing.assert_array_equal(encode(action), [expected])


def test_no_mask_reaches_the_network():
    agent, learner, unroll = _unroll("actor_critic", "masked")
    observation = unroll.timestep.observation
    flipped = {**observation, "action_mask": jnp.ones_like(observation["action_mask"])}
    changed = unroll._replace(timestep=unroll.timestep._replace(observation=flipped))
    values = [
        agent.network.unroll(learner.params, rows).value for rows in (unroll, changed)
    ]
    np.testing.assert_array_equal(*values)


def test_the_runner_and_evaluation_take_a_nest_of_actions():
    environment = ActionTask("nest")
    agent = make_agent("ppo", environment, "gru", unroll_length=5)
    runner = OnDeviceRunner(agent, environment, num_members=2, devices=jax.devices()[:1])
    state = runner.prepare(runner.init(jax.random.split(KEY, 2)), 2)
    state, metrics = runner.train(state, 2)
    assert np.isfinite(metrics["loss/total"]).all()
    played = play_episodes(agent, environment, runner.params(state), KEY, 3, chunk_length=4)
    assert played.action["aim"].shape == (4, 2, 3, 2)
    assert played.policy["aim"].mean.shape == (4, 2, 3, 2)
    assert (played.episode_length == 4).all()


class Stuck(ActionTask):
    """In its third step nothing is legal, and its episode goes on."""

    def step(self, state, action):
        state, timestep = super().step(state, action)
        seen = timestep.observation
        mask = seen["action_mask"] * (state.time != 3).astype(jnp.int8)
        return state, timestep._replace(observation={**seen, "action_mask": mask})


@pytest.mark.parametrize("name", ["actor_critic", "dqn"])
def test_a_step_without_a_legal_action_ends_the_training_in_one_line(name):
    own = {"min_size": 8, "capacity": 64} if name == "dqn" else {}
    for environment in (ActionTask("masked"), Stuck("masked")):
        agent = make_agent(
            name, environment, "feedforward", unroll_length=6, batch_size=4, **own
        )
        runner = OnDeviceRunner(agent, environment, devices=jax.devices()[:1])
        state = runner.prepare(runner.init(KEY[None]), 2)
        if type(environment) is ActionTask:  # The end of an episode is no mistake.
            assert set(runner.train(state, 2)[1]) >= {"train/episode_return"}
            continue
        with pytest.raises(EnvironmentFault, match=r"^env Stuck: legal actions: got none"):
            runner.train(state, 2)


def test_agents_of_action_values_refuse_continuous_actions_in_one_line():
    with pytest.raises(ValueError, match=r"needs numbered actions .*Train ppo,") as caught:
        make_agent("dqn", ActionTask("box"), "lstm")
    assert "\n" not in str(caught.value)
