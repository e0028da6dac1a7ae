import sys
from dataclasses import fields
from importlib.util import find_spec

import dm_env
import gymnasium
import numpy as np
import pytest

from tolman.launchers.catalog import names
from tolman.launchers.catalog.environments import EnvironmentSource, find_environments
from tolman.launchers.catalog.names import AGENT, CORE, ENV, find, make_core
from tolman.networks.cores import LSTM, LSTMConfig


def test_registered_names_resolve():
    assert names.lookup(CORE, "lstm") is LSTM
    assert find(CORE, "lstm").settings_type is LSTMConfig
    assert find(AGENT, "meta_rl").settings_type.__name__ == "MetaRLConfig"
    assert find(ENV, "bandit/easy").default_settings().num_trials == 100


def test_module_attribute_resolves(extension):
    assert names.lookup(CORE, "tolman.networks.cores:LSTM") is LSTM
    assert find(CORE, "my_extension:MyCore").settings_type.__name__ == "MyConfig"
    assert find(AGENT, "my_extension:Faulty").settings_type.__name__ == "ActorCriticConfig"


def test_factory_signature_becomes_settings(extension):
    settings = find(ENV, "my_extension:make_env").settings_type(num_trials=4)
    assert (settings.num_trials, settings.scale) == (4, 1.0)
    assert (
        find_environments("my_extension:make_env", settings).environment().num_trials == 4
    )


def test_entry_point_of_installed_package_resolves(extension):
    info = extension / "my_extension-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: my_extension\nVersion: 1.0\n"
    )
    (info / "entry_points.txt").write_text("[tolman.cores]\nmine = my_extension:MyCore\n")
    assert names.lookup(CORE, "mine").__name__ == "MyCore"
    with pytest.raises(ValueError, match=r"did you mean 'mine'"):
        names.lookup(CORE, "minee")


@pytest.mark.parametrize(
    "kind, name, message",
    [
        (
            CORE,
            "lstn",
            r"^core 'lstn' is unknown \(did you mean 'lstm'\?\): use one of .*gru",
        ),
        (ENV, "zzz", r"^env 'zzz' is unknown: use one of bandit/easy"),
        (AGENT, "meta-rl", r"did you mean 'meta_rl'"),
        (ENV, "ALE/Ping-v5", r"'ALE/Ping-v5' is unknown \(did you mean 'ALE/Pong-v5'\?\)"),
        (ENV, "CartPol-v1", r"knows no 'CartPol-v1' \(did you mean 'CartPole-v1'\?\)"),
        (ENV, "gymnasium.envs:Thing-v0", r"knows no 'Thing-v0'"),
        (ENV, "no_such_module:Thing-v0", r"importing no_such_module failed"),
        (CORE, "no_such_module:Core", r"importing no_such_module failed"),
        (CORE, "my_extension:MyCor", r"has no 'MyCor' \(did you mean 'MyCore'\?\)"),
        (CORE, "my_extension:A_NUMBER", r"is a int; must be a class"),
        (CORE, ":MyCore", r"spelled module:attribute"),
    ],
)
def test_wrong_name_is_one_line(kind, name, message, extension):
    with pytest.raises(ValueError, match=message) as error:
        names.lookup(kind, name)
    assert len(str(error.value).splitlines()) == 1


def test_wrong_thing_is_one_line(extension):
    with pytest.raises(ValueError, match="parameter `config` annotated"):
        _ = find(CORE, "my_extension:Slow").settings_type
    with pytest.raises(ValueError, match="lacks initial_state, unroll"):
        make_core("my_extension:make_env", None)
    with pytest.raises(ValueError, match="is a Slow; must be an on-device environment"):
        find_environments("my_extension:Slow").environment()
    with pytest.raises(ValueError, match=r"set --env\.num-trials"):
        find(ENV, "my_extension:make_env").default_settings()


HOST_EXTENSION = """
import dataclasses

import dm_env
import gymnasium
import numpy as np
from dm_env import specs


class Seeded(dm_env.Environment):
    def __init__(self, seed: int, size: int = 2):
        self.seed, self.size = seed, size

    def reset(self):
        return dm_env.restart(self.observe())

    def step(self, action):
        return dm_env.termination(float(action), self.observe())

    def observe(self):
        return np.full(self.size, self.seed % 1000, np.float32)

    def observation_spec(self):
        return specs.Array((self.size,), np.float32)

    def action_spec(self):
        return specs.DiscreteArray(2)


class Gym(gymnasium.Env):
    observation_space = gymnasium.spaces.Box(0, 1, (3,), np.float32)
    action_space = gymnasium.spaces.Box(-1, 1, (2,), np.float32)

    def __init__(self, gain: float = 1.0):
        self.gain = gain

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self.np_random.random(3, np.float32), {}

    def step(self, action):
        return self.np_random.random(3, np.float32), self.gain, False, True, {}


class Stuck(Seeded):
    def step(self, action):
        raise RuntimeError("stuck")


def make_seeded(size: int = 4):
    return Seeded(0, size)


gymnasium.register("Mine-v0", Gym)
"""


@pytest.fixture
def host_extension(tmp_path, monkeypatch):
    (tmp_path / "host_extension.py").write_text(HOST_EXTENSION)
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop("host_extension", None)
    gymnasium.registry.pop("Mine-v0", None)


def vector_of(name, num_envs=2, seed=0, **settings):
    settings = find(ENV, name).settings_type(**settings)
    return find_environments(name, settings).make_vector(seed, num_envs)


def test_vector_of_every_kind(host_extension):
    cases = {
        "two_step": ({"num_trials": 3}, True, (4,), ()),
        "CartPole-v1": ({"max_episode_steps": 5}, False, (4,), ()),
        "host_extension:Mine-v0": ({"keywords": '{"gain": 3.0}'}, False, (3,), (2,)),
        "host_extension:Gym": ({"gain": 2.0}, False, (3,), (2,)),
        "host_extension:Seeded": ({"size": 5}, False, (5,), ()),
        "host_extension:make_seeded": ({}, False, (4,), ()),
        "ALE/Pong-v5": ({"stack": 1}, False, (84, 84, 1), ()),
    }
    gains = {"host_extension:Mine-v0": 3.0, "host_extension:Gym": 2.0}
    for name, (settings, on_device, observation, action) in cases.items():
        source = find_environments(name, find(ENV, name).settings_type(**settings))
        assert source.is_on_device is on_device
        source.close()
        vector = vector_of(name, **settings)
        assert vector.num_envs == 2
        assert vector.observation_spec().shape == observation
        assert vector.action_spec().shape == action
        timestep = vector.reset()
        assert timestep.observation.shape == (2, *observation)
        assert timestep.step_type.tolist() == [0, 0] and timestep.new_task.all()
        timestep = vector.step(np.zeros((2, *action)))
        if name in gains:
            assert timestep.reward.tolist() == [gains[name]] * 2
        vector.close()


def test_copies_have_seeds_of_their_own_that_repeat(host_extension):
    def shown(seed):
        vector = vector_of("host_extension:Seeded", num_envs=3, seed=seed)
        observation = vector.reset().observation[:, 0]
        vector.close()
        return observation.tolist()

    assert shown(0) == shown(0) and not set(shown(0)) & set(shown(1))
    assert len(set(shown(0))) == 3
    # Which seed an environment gets is for the run to say.
    assert [
        item.name for item in fields(find(ENV, "host_extension:Seeded").settings_type)
    ] == ["size"]


def test_faults_and_mistakes_of_host_environments(host_extension):
    stuck = find(ENV, "host_extension:Stuck")
    source = EnvironmentSource(stuck, stuck.default_settings(), on_error="restart")
    vector = source.make_vector(0, 1)
    vector.reset()
    assert vector.step([0]).step_type.tolist() == [2] and vector.num_restarts == 1
    with pytest.raises(ValueError, match="runs on the host, with --launcher local"):
        find_environments("host_extension:Stuck").environment()
    with pytest.raises(ValueError, match=r"^env 'CartPole-v1': .*'size'"):
        vector_of("CartPole-v1", keywords='{"size": 1}')


@pytest.mark.parametrize(
    ("name", "can"),
    [
        ("host_extension:Stuck", True),
        ("host_extension:Gym", True),
        ("CartPole-v1", True),
        ("two_step", False),
    ],
)
def test_which_environments_can_be_restarted_one_by_one(host_extension, name, can):
    assert find_environments(name).mends_copies is can


def test_one_host_environment_of_every_kind(host_extension):
    for name in ("two_step", "CartPole-v1", "host_extension:Gym", "host_extension:Seeded"):
        environment = find_environments(name).host_environment(seed=4)
        assert isinstance(environment, dm_env.Environment)
        assert environment.reset().first()


def test_options_of_every_reset():
    # CartPole draws its first state between these two.
    options = '{"low": 0.125, "high": 0.125}'
    vector = vector_of("CartPole-v1", num_envs=2, reset_options=options)
    timesteps = [vector.reset()] + [vector.step([1, 1]) for _ in range(30)]
    firsts = [each.observation for each in timesteps if (each.step_type == 0).all()]
    assert len(firsts) > 1 and (np.stack(firsts) == 0.125).all()
    vector.close()


bsuite = pytest.mark.skipif(find_spec("bsuite") is None, reason="bsuite is not installed")


@bsuite
def test_bsuite_ids():
    vector = vector_of("bsuite/memory_len/0", num_envs=4)
    opening = vector.reset().observation
    assert opening.shape == (4, 1, 3) and set(np.abs(opening[:, 0, 2])) == {1.0}
    rows = [vector.step(np.zeros(4)) for _ in range(2)]
    # Memory of length 1: the sign is to be repeated in the second step.
    assert rows[1].step_type.tolist() == [2] * 4
    np.testing.assert_array_equal(rows[1].reward, -opening[:, 0, 2])
    vector.close()
    with pytest.raises(ValueError, match=r"did you mean 'bsuite/memory_len/0'.*468 ids"):
        names.lookup(ENV, "bsuite/memory_len/00")


def test_bsuite_that_is_not_installed_is_one_line(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"pip install 'tolman\[bsuite\]', where"):
        names.lookup(ENV, "bsuite/memory_len/0")
