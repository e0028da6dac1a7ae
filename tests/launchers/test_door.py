"""The public door in Python: evaluations, callbacks, things in place of names, policies."""

import json
import subprocess
import sys
from dataclasses import dataclass

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from dm_env import specs

from tolman.agents.greedy import greedy
from tolman.envs.environment import restart, transition
from tolman.launchers import evaluate, load, make_config, resume, train
from tolman.launchers.catalog.given import name_of
from tolman.launchers.catalog.names import AGENT, CORE, ENV, find, lookup, make_core
from tolman.launchers.runs.checkpoints import Checkpoints
from tolman.networks.cores import LSTM, Feedforward

SMALL = {
    "agent": "actor_critic",
    "core": "feedforward",
    "num_env_steps": 60,
    "agent.unroll_length": 5,
    "agent.batch_size": 2,
    "agent.torso": "flat",
    "log_interval": 10,
    "checkpoint_interval": 20,
    "num_checkpoints_to_keep": 1,
}


@dataclass(frozen=True)
class Right:
    """Action 1 earns 1, action 0 nothing; an episode has four decisions."""

    reward: float = 1.0

    def reset(self, key):
        return jnp.int32(0), restart(jnp.ones(2))

    def step(self, state, action):
        earned = self.reward * (action == 1)
        return state + 1, transition(earned, jnp.ones(2), state + 1 >= 4)

    def observation_spec(self):
        return specs.Array((2,), np.float32, "observation")

    def action_spec(self):
        return specs.DiscreteArray(2)


class Left(gymnasium.Env):
    """The same on the host: action 0 earns; the episode tells whether it succeeded."""

    observation_space = gymnasium.spaces.Box(0.0, 1.0, (2,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.time = 0
        return np.ones(2, np.float32), {}

    def step(self, action):
        self.time += 1
        is_over = self.time >= 4
        info = {"is_success": True} if is_over else {}
        return np.ones(2, np.float32), float(action == 0), is_over, False, info


class Recorder:
    """What the callbacks were told."""

    def __init__(self, stop_at=None):
        self.rows, self.checkpoints, self.episodes = [], [], []
        self.stop_at = stop_at

    def on_row(self, moment):
        self.rows.append((moment.units, moment.updates, dict(moment.row)))
        assert jax.tree.leaves(moment.params())
        if moment.units == self.stop_at:
            moment.stop("good enough")

    def on_checkpoint(self, moment, path):
        self.checkpoints.append((moment.units, path.name))


class EpisodeRecorder(Recorder):
    def on_episode(self, moment, episode):
        self.episodes.append((episode.episode_return, episode.episode_length))


def status(run):
    return json.loads((run / "status.json").read_text())


def small(folder, **more):
    return make_config({**SMALL, "env": Right, "run_dir": str(folder), **more})


def rows(run):
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def test_the_door_is_light():
    command = "import sys, tolman.launchers as t; t.__all__; print('jax' in sys.modules)"
    out = subprocess.run(
        [sys.executable, "-c", command], capture_output=True, text=True, check=True
    )
    assert out.stdout.strip() == "False"


def test_evaluations_are_in_the_rows_and_the_best_stays(tmp_path, monkeypatch):
    returns = iter([1.0, 3.0, 3.0, 4.0, 2.0])
    asked = []

    def evaluator(job):
        def evaluate(params, updates):
            asked.append(updates)
            return {"eval/episode_return": next(returns)}

        evaluate.close = lambda: asked.append("closed")
        return evaluate

    monkeypatch.setattr("tolman.launchers.runs.training.build_evaluator", evaluator)
    run = train(small(tmp_path / "run", eval_every=15))
    # Six updates of 10 steps; 15 steps are rounded up to 2 updates, a whole number of rows.
    assert asked == [2, 4, 6, "closed"]
    told = {row["env_steps"]: row.get("eval/episode_return") for row in rows(run)}
    assert told == {10: None, 20: 1.0, 30: None, 40: 3.0, 50: None, 60: 3.0}
    checkpoints = Checkpoints(run / "checkpoints")  # Of equal ones the first is the best.
    assert (checkpoints.best(), checkpoints.steps()) == ((40, 3.0), [40, 60])
    # 4.0 takes its place at 80; 40 is not kept any longer.
    resume(run, changes={"num_env_steps": 100})
    assert (checkpoints.best(), checkpoints.steps()) == ((80, 4.0), [80, 100])
    assert load(f"{run}@best").env_steps == 80
    assert evaluate(f"{run}@best", 2)["env_steps"] == 80
    assert load(run).env_steps == 100
    assert load(f"{run}@80").env_steps == load(run, 80).env_steps == 80
    with pytest.raises(ValueError, match="names a checkpoint, as checkpoint=80"):
        load(f"{run}@best", 80)


def test_evaluations_while_training_play_greedily_on_both_runners(tmp_path):
    flags = {"eval_every": 30, "eval_episodes": 3, "eval_greedy": True}
    run = train(small(tmp_path / "device", **flags, **{"agent.learning_rate": 0.1}))
    told = [row["eval/episode_return"] for row in rows(run) if "eval/episode_length" in row]
    assert len(told) == 2 and set(told) <= {0.0, 4.0}  # One action throughout.
    greedy_return = evaluate(run, 3, greedily=True)
    assert greedy_return["eval/episode_return"] == told[-1]
    assert greedy_return["eval/episode_return_standard_error"] == 0.0
    with pytest.raises(ValueError, match=r"^eval_greedy=True: there are no evaluations"):
        train(small(tmp_path / "none", eval_greedy=True))
    with pytest.raises(ValueError, match="has no best checkpoint"):
        load(f"{train(small(tmp_path / 'plain'))}@best")


def test_callbacks_hear_of_rows_and_checkpoints_and_may_stop(tmp_path):
    recorder = Recorder(stop_at=30)
    run = train(small(tmp_path / "run"), callbacks=[recorder])
    assert [each[:2] for each in recorder.rows] == [(10, 1), (20, 2), (30, 3)]
    assert recorder.rows[-1][2] == rows(run)[-1]
    assert recorder.checkpoints == [(20, "20"), (30, "30")]
    assert (status(run)["state"], status(run)["reason"]) == ("interrupted", "good enough")
    again = Recorder()
    resume(run, callbacks=[again])
    assert [each[0] for each in again.rows] == [40, 50, 60]
    assert status(run)["state"] == "finished"
    with pytest.raises(ValueError, match="has none of the methods on_row"):
        train(small(tmp_path / "a"), callbacks=[object()])
    with pytest.raises(ValueError, match="'on-device' tells rows only"):
        train(small(tmp_path / "b"), callbacks=[EpisodeRecorder()])
    assert not (tmp_path / "a").exists() and not (tmp_path / "b").exists()


def test_a_host_environment_by_class_tells_episodes_and_info(tmp_path):
    recorder = EpisodeRecorder()
    config = make_config(
        {**SMALL, "env": Left, "run_dir": str(tmp_path / "run"), "eval_every": 60}
    )
    run = train(config, callbacks=[recorder])
    assert recorder.episodes and all(length == 4 for _, length in recorder.episodes)
    assert rows(run)[-1]["eval/is_success"] == 1.0
    assert evaluate(run, 2, trust=True)["eval/is_success"] == 1.0
    policy = load(run, trust=True)
    action = policy.act(np.ones(2), greedy=True)
    assert action.shape == () and action in (0, 1)


def test_instances_stand_for_themselves(tmp_path):
    name = name_of(ENV, Right(2.0))
    assert name == name_of(ENV, Right(2.0)) or name.startswith("object Right")
    run = train(small(tmp_path / "run", env=Right(2.0)))
    assert evaluate(run, 2)["eval/episode_length"] == 4
    assert name_of(CORE, Feedforward) == "feedforward"
    assert name_of(CORE, LSTM) == "lstm"
    assert lookup(ENV, name_of(ENV, Left)) is Left
    inner = type("Inner", (Left,), {"__module__": "nowhere_at_all"})
    assert lookup(ENV, name_of(ENV, inner)) is inner
    with pytest.raises(ValueError, match="is built inside the network"):
        name_of(CORE, find(CORE, "lstm").default_settings())
    with pytest.raises(ValueError, match="was given from Python, in another process"):
        lookup(ENV, "object Nothing")
    with pytest.raises(ValueError, match="other processes cannot find it"):
        train(small(tmp_path / "ray", env=Right(3.0), launcher="ray"))


def test_an_agent_that_is_given_ready_made_is_the_one_that_learns(tmp_path):
    made = find(AGENT, "actor_critic")
    config = made.default_settings()
    core = make_core("feedforward", find(CORE, "feedforward").default_settings())
    agent = made.thing(config, Right().observation_spec(), Right().action_spec(), core)
    settings = {key: v for key, v in SMALL.items() if not key.startswith("agent.")}
    run = train(
        make_config(
            {**settings, "agent": agent, "env": Right, "run_dir": str(tmp_path / "run")}
        )
    )
    # One update of the agent's own unrolls.
    assert status(run)["env_steps"] == config.unroll_length * config.batch_size
    with pytest.raises(ValueError, match="as its agent was given ready made"):
        resume(run, changes={"agent.learning_rate": 1.0})


def test_a_policy_acts_as_the_agent_does(tmp_path):
    settings = {"core": "gru", "core.hidden_size": 8, "agent.learning_rate": 0.05}
    run = train(small(tmp_path / "run", **settings))
    policy = load(run, seed=3)
    agent, params = policy._agents[False], policy._params
    rng = np.random.default_rng(0)
    seen = rng.normal(size=(6, 2)).astype(np.float32)
    state, key = agent.initial_actor_state(1), jax.random.PRNGKey(3)
    for number, observation in enumerate(seen):
        key, noise_key = jax.random.split(key)
        first = number == 0
        timestep = restart(jnp.asarray(observation))._replace(
            step_type=jnp.int32(0 if first else 1),
            reward=jnp.float32(0.0 if first else number),
            new_task=jnp.asarray(first),
        )
        batch = jax.tree.map(lambda leaf: jnp.asarray(leaf)[None], timestep)
        noise = agent.draw_noise(noise_key, 1)
        decision, state = agent.act(params, noise, batch, state)
        # The reward before an episode's first observation does not count.
        assert policy.act(observation, reward=float(number)) == decision.action[0]
    policy.reset(seed=3)
    again = [int(policy.act(observation, 0.0)) for observation in seen]
    policy.reset(seed=3)
    assert [int(policy.act(observation, 0.0)) for observation in seen] == again
    with pytest.raises(ValueError, match=r"got shape \[3\]; must be \[2\]"):
        policy.act(np.ones(3))
    with pytest.raises(ValueError, match="got nan; must be finite"):
        policy.act(np.array([0.0, np.nan]))


@pytest.mark.parametrize("name", ["actor_critic", "meta_rl", "dqn"])
def test_greedy_takes_what_the_policy_holds_best(name):
    made = find(AGENT, name)
    core = make_core("feedforward", find(CORE, "feedforward").default_settings())
    spec = specs.Array((3,), np.float32, "observation")
    agent = made.thing(made.default_settings(), spec, specs.DiscreteArray(5), core)
    params = jax.jit(agent.init)(jax.random.PRNGKey(0)).params
    batch = 64
    observation = jax.random.normal(jax.random.PRNGKey(1), (batch, 3))
    timestep = jax.vmap(restart)(observation)
    state = agent.initial_actor_state(batch)
    chosen = greedy(agent)
    for seed in (0, 1):
        noise = chosen.draw_noise(jax.random.PRNGKey(seed), batch)
        decision, _ = chosen.act(params, noise, timestep, state)
        np.testing.assert_array_equal(decision.action, decision.policy.argmax(-1))
    sampled, _ = agent.act(
        params, agent.draw_noise(jax.random.PRNGKey(0), batch), timestep, state
    )
    assert (sampled.action != decision.action).any()


def test_an_agent_without_greedy_noise_says_so():
    with pytest.raises(ValueError, match=r"has no greedy_noise\(batch_size\)"):
        greedy(object())
