"""The local runner: the path on the host learns what the path on the device learns."""

import threading
from importlib.util import find_spec

import jax
import numpy as np
import pytest
from acting import ActionTask
from toys import CountingTask, make_agent

from tolman.envs.host import OnDeviceVector
from tolman.envs.meta_rl import TwoStep
from tolman.launchers.device.on_device import OnDeviceRunner
from tolman.launchers.host.local import LocalRunner, replay_maker

KEY = jax.random.PRNGKey(5)
KINDS = ("memory", "reverb") if find_spec("reverb") else ("memory",)


def make_runner(
    agent, environment, tmp_path, num_envs, kind, wrap=lambda vector: vector, num_groups=1
):
    """A local runner whose environments have the keys of the on-device runner's."""

    def make_vector(seed, number):
        if num_groups > 1:
            return wrap(OnDeviceVector(environment, jax.random.split(KEY, number)))
        keys = jax.random.split(jax.random.split(KEY, 3)[2], agent.data.batch_size)
        return wrap(OnDeviceVector(environment, keys[:number]))

    make_replay = replay_maker(kind, agent.data, num_groups, tmp_path / "replay", 0)
    return LocalRunner(agent, make_vector, num_envs, make_replay, num_groups=num_groups)


def train(runner, *pieces, total=100):
    state, metrics = runner.prepare(runner.init(KEY[None]), total), []
    try:
        for num_updates in pieces:
            state, row = runner.train(state, num_updates)
            metrics.append({name: float(value[0]) for name, value in row.items()})
    finally:
        runner.close()
    return state, metrics


@pytest.mark.parametrize("environment", [TwoStep(num_trials=3), CountingTask()])
def test_host_and_device_paths_give_the_same_parameters(environment, tmp_path):
    """Same keys, same network, same updates: equal but for the rounding of two programs.

    XLA adds the terms of a bias's gradient in an order that depends on the program.
    """
    agent = make_agent("meta_rl", environment, "lstm", unroll_length=7, batch_size=4)
    on_device = OnDeviceRunner(agent, environment, devices=jax.devices()[:1])
    expected = on_device.prepare(on_device.init(KEY[None]), 100)
    expected, _ = on_device.train(expected, 2)
    expected, row = on_device.train(expected, 10)
    for kind in KINDS:
        state, (_, metrics) = train(
            make_runner(agent, environment, tmp_path / kind, 4, kind), 2, 10
        )
        jax.tree.map(
            lambda ours, theirs: np.testing.assert_allclose(
                ours, theirs[0], rtol=1e-5, atol=1e-6
            ),
            state.learner,
            expected.learner,
        )
        for name in ("loss/policy", "loss/value", "loss/entropy"):
            assert metrics[name] == pytest.approx(float(row[name][0]), rel=1e-4)
        assert metrics["time/param_lag"] == 0.0
        assert int(state.updates) == 12 and int(state.env_steps) == 12 * 7 * 4


def test_nested_actions_take_both_paths_alike(tmp_path):
    """With PPO, whose many steps an update two programs round differently."""
    environment = ActionTask("nest")
    agent = make_agent("ppo", environment, "lstm", unroll_length=7, batch_size=4)
    on_device = OnDeviceRunner(agent, environment, devices=jax.devices()[:1])
    expected = on_device.prepare(on_device.init(KEY[None]), 100)
    expected, _ = on_device.train(expected, 3)
    for kind in KINDS:
        state, _ = train(make_runner(agent, environment, tmp_path / kind, 4, kind), 3)
        jax.tree.map(
            lambda ours, theirs: np.testing.assert_allclose(
                ours, theirs[0], rtol=1e-4, atol=1e-5
            ),
            state.learner,
            expected.learner,
        )


def test_two_runs_repeat_with_an_actor_that_is_one_update_behind(tmp_path, kind):
    """V-trace lets acting and learning overlap; the age of the parameters stays fixed."""
    environment = TwoStep(num_trials=3)
    agent = make_agent(
        "actor_critic", environment, "gru", unroll_length=5, batch_size=4,
        off_policy_correction="vtrace",
    )  # fmt: skip
    results = [
        train(make_runner(agent, environment, tmp_path / name, 4, kind, num_groups=2), 3, 9)
        for name in ("a", "b")
    ]
    (a, (_, metrics)), (b, _) = results
    jax.tree.map(np.testing.assert_array_equal, a.learner, b.learner)
    assert metrics["time/param_lag"] == 1.0


def test_one_program_learns(tmp_path, kind):
    environment = TwoStep(num_trials=3)
    agent = make_agent("meta_rl", environment, "lstm", unroll_length=5)
    runner = make_runner(agent, environment, tmp_path, 2, kind)
    state = runner.prepare(runner.init(KEY[None]), 10)
    for _ in range(3):
        state, _ = runner.train(state, 2)
    assert runner.num_compilations() == 1
    runner.close()


class Breaking:
    """Raises at its third step."""

    def __init__(self, vector):
        self._vector, self._steps = vector, 0
        self.num_envs = vector.num_envs

    def __getattr__(self, name):
        return getattr(self._vector, name)

    def step(self, action):
        self._steps += 1
        if self._steps == 3:
            raise OSError("the joystick is gone")
        return self._vector.step(action)


def test_what_an_environment_raises_ends_the_run_and_every_thread(tmp_path, kind):
    environment = TwoStep(num_trials=3)
    agent = make_agent("meta_rl", environment, "lstm", unroll_length=5)
    before = set(threading.enumerate())
    runner = make_runner(agent, environment, tmp_path, 2, kind, wrap=Breaking)
    with pytest.raises(OSError, match="the joystick is gone"):
        train(runner, 5)
    assert not {t.name for t in set(threading.enumerate()) - before} & {"actor", "batches"}


class Counted:
    """Notes that it was made and closed; where it is told to, it cannot be reset."""

    def __init__(self, vector, log, is_sound):
        self._vector, self._log, self._is_sound = vector, log, is_sound
        self.num_envs = vector.num_envs
        log.append("made")

    def __getattr__(self, name):
        return getattr(self._vector, name)

    def reset(self):
        if not self._is_sound:
            raise OSError("no screen")
        return self._vector.reset()

    def close(self):
        self._log.append("closed")


def test_environments_that_cannot_start_are_closed(tmp_path):
    environment, log = TwoStep(num_trials=3), []
    agent = make_agent("meta_rl", environment, "lstm", unroll_length=5)

    def wrap(vector):  # The second group's.
        return Counted(vector, log, is_sound=log != ["made"])

    runner = make_runner(agent, environment, tmp_path, 2, "memory", wrap=wrap, num_groups=2)
    with pytest.raises(OSError, match="no screen"):
        train(runner, 5)
    assert log == ["made", "made", "closed", "closed"]


def test_environments_whose_replay_cannot_be_had_are_closed(tmp_path):
    environment, log = TwoStep(num_trials=3), []
    agent = make_agent("meta_rl", environment, "lstm", unroll_length=5)
    runner = make_runner(
        agent, environment, tmp_path, 2, "memory", wrap=lambda v: Counted(v, log, True)
    )

    def no_replay(layout, saved):
        raise ValueError("no such replay")

    runner._make_replay = no_replay
    with pytest.raises(ValueError, match="no such replay"):
        train(runner, 5)
    assert log == ["made", "closed"]


def test_environments_that_do_not_fill_a_batch_are_refused(tmp_path):
    environment = TwoStep()
    agent = make_agent("meta_rl", environment, "lstm", batch_size=4)
    with pytest.raises(ValueError, match=r"^num_envs=3: must divide the batch of 4 seq"):
        make_runner(agent, environment, tmp_path, 3, "memory")
