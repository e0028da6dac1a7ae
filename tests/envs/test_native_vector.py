"""Vectors that other packages step as one, beside the same environments stepped in turn."""

import importlib.util
import sys
import types

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from tolman.envs.adapters import GymnasiumAdapter
from tolman.envs.conformance import check_environment
from tolman.envs.gymnasium_settings import GymnasiumSettings
from tolman.envs.host import EnvironmentFault
from tolman.envs.native_vector import FirstCopy, NativeVector
from tolman.envs.serial_vector import SerialVector
from tolman.launchers.catalog.environments import find_environments
from tolman.launchers.catalog.names import ENV, find

FIRST, MID, LAST = 0, 1, 2


class Sums(gymnasium.Env):
    """Adds up actions: over at 9 (a success) or above, and cut off after 6 steps."""

    metadata = {"render_modes": []}  # noqa: RUF012
    action_space = spaces.Discrete(3, start=2)
    observation_space = spaces.Dict(
        {"sum": spaces.Box(-50.0, 50.0, (2,), np.float64), "steps": spaces.Discrete(7)}
    )

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.steps, self.sum = 0, (options or {}).get("start", 0.0)
        return self.observe(), {}

    def step(self, action):
        assert self.action_space.contains(action) or self.action_space.shape
        self.steps += 1
        self.sum += float(np.sum(action)) - 2
        is_over, is_late = self.sum >= 9, self.steps == 6
        info = {"is_success": self.sum == 9, "steps": self.steps} if is_over else {}
        return self.observe(), 0.5 * self.sum, is_over, is_late, info

    def observe(self):
        return {"sum": np.array([self.sum, -self.sum]), "steps": self.steps}


class Pushes(Sums):
    action_space = spaces.Box(-1.0, 4.0, (2,), np.float32)


def native(kind, num_envs, **keywords):
    environments = SyncVectorEnv(
        [kind] * num_envs, autoreset_mode=AutoresetMode.NEXT_STEP, copy=False
    )
    each = environments.single_observation_space, environments.single_action_space
    return NativeVector("sums", environments, each, num_envs, seed=3, **keywords)


@pytest.mark.parametrize("kind", [Sums, Pushes])
def test_rows_are_those_of_the_same_environments_stepped_in_turn(kind):
    in_turn = SerialVector(lambda seed: GymnasiumAdapter(kind(), seed), 4)
    as_one = native(kind, 4)
    assert as_one.observation_spec() == in_turn.observation_spec()
    assert as_one.action_spec() == in_turn.action_spec()
    rng, seen, kept = np.random.default_rng(0), set(), []
    for time in range(80):
        if kind is Sums:
            action = rng.integers(3, size=4).astype(np.int32)
        else:  # Beyond the bounds too: both clip.
            action = rng.uniform(-2.0, 6.0, (4, 2)).astype(np.float32)
        resets = time in (0, 40)
        rows = [
            vector.reset() if resets else vector.step(action)
            for vector in (in_turn, as_one)
        ]
        wanted, got = (
            {"sum": row.observation["sum"], "steps": row.observation["steps"]}
            | row._replace(observation=())._asdict()
            for row in rows
        )
        for name in set(wanted) - {"observation"}:
            assert got[name].dtype == wanted[name].dtype, name
            np.testing.assert_array_equal(got[name], wanted[name], name)
        assert list(as_one.episode_info) == [dict(each) for each in in_turn.episode_info]
        is_last = rows[1].step_type == LAST
        seen |= {(*pair,) for pair in zip(rows[1].discount[is_last], strict=True)}
        kept.append((rows[1], rows[1].observation["sum"].copy()))
    assert seen == {(0.0,), (1.0,)}
    for row, copy in kept:  # What was handed out is never written to again.
        np.testing.assert_array_equal(row.observation["sum"], copy)
    in_turn.close()
    as_one.close()


def test_numbers_of_an_episode_are_told_where_it_ends():
    vector = native(Sums, 2, log_info=("steps",))
    vector.reset()
    told = [vector.step([2, 0]) and vector.episode_info for _ in range(5)]
    # 2 a step: 2, 4, 6, 8, 10 are five steps; the other copy stands still.
    assert told == [[{}, {}]] * 4 + [[{"is_success": 0.0, "steps": 5.0}, {}]]


def test_options_go_to_every_reset_that_is_asked_for():
    vector = native(Sums, 2, options={"start": 5.0})
    for _ in range(2):
        np.testing.assert_array_equal(vector.reset().observation["sum"][:, 0], [5.0, 5.0])


class Broken:
    """A vector of two that gives what it is told to, and then does wrong."""

    def __init__(self, observation, reward):
        self.given = observation, reward

    def reset(self, seed=None):
        return np.zeros((2, 3)), {}

    def step(self, action):
        if self.given is None:
            raise RuntimeError("no more\nlines")
        return *self.given, np.zeros(2, bool), np.zeros(2, bool), {}

    def close(self):
        pass


@pytest.mark.parametrize(
    "observation, reward, line",
    [
        (np.full((2, 3), np.nan), np.zeros(2), "copy 0, step 1: observation: got nan"),
        (np.zeros((2, 3)), np.array([0.0, np.inf]), "copy 1, step 1: reward: got inf"),
        (np.zeros((2, 4)), np.zeros(2), r"observation: got shape \(2, 4\); must be \(2, 3"),
        (np.zeros((2, 3)), np.zeros(3), r"reward: got shape \(3,\); must be \(2,\)"),
    ],
)
def test_what_is_wrong_is_named_in_one_line(observation, reward, line):
    each = spaces.Box(-1.0, 1.0, (3,), np.float32), spaces.Discrete(2)
    vector = NativeVector("mine", Broken(observation, reward), each, 2, seed=0)
    vector.reset()
    with pytest.raises(EnvironmentFault, match=line) as fault:
        vector.step([0, 1])
    assert "\n" not in str(fault.value) and str(fault.value).startswith("env 'mine'")


def test_an_error_of_the_vector_is_a_fault_of_all_copies():
    each = spaces.Box(-1.0, 1.0, (3,), np.float32), spaces.Discrete(2)
    broken = Broken(None, None)
    broken.given = None
    vector = NativeVector("mine", broken, each, 2, seed=0)
    vector.reset()
    with pytest.raises(
        EnvironmentFault, match="all copies, step 1: raised RuntimeError: no"
    ):
        vector.step([0, 1])


def test_actions_of_another_shape_or_not_finite_are_refused():
    vector = native(Pushes, 2)
    vector.reset()
    with pytest.raises(ValueError, match=r"shape \(3, 2\): must be \(2, 2\)"):
        vector.step(np.zeros((3, 2)))
    with pytest.raises(ValueError, match="got nan; must be finite"):
        vector.step(np.full((2, 2), np.nan))


def follow_beside_cartpole(vector, num_steps, limit):
    """Plays at random; every row is that of Gymnasium's CartPole from the same start."""
    judges = [gymnasium.make("CartPole-v1").unwrapped for _ in range(vector.num_envs)]
    for judge in judges:
        judge.reset()
    row, rng, ends = vector.reset(), np.random.default_rng(0), []
    age = np.zeros(vector.num_envs, int)
    starts = [row.observation]
    assert (row.step_type == FIRST).all() and row.new_task.all()
    for _ in range(num_steps):
        before, action = row, rng.integers(2, size=vector.num_envs)
        row = vector.step(action)
        for index, judge in enumerate(judges):
            got = row.step_type[index], row.reward[index], row.discount[index]
            assert row.new_task[index] == (got[0] == FIRST)
            if before.step_type[index] == LAST:
                assert got == (FIRST, 0.0, 1.0)
                assert np.abs(row.observation[index]).max() <= 0.05
                age[index] = 0
                continue
            if before.step_type[index] == FIRST:
                judge.state = before.observation[index].astype(np.float64)
                judge.steps_beyond_terminated = None
                starts.append(before.observation[index])
            age[index] += 1
            observation, _, is_over, _, _ = judge.step(action[index])
            is_late = age[index] == limit
            is_last = is_over or is_late
            assert got[:2] == (LAST if is_last else MID, 1.0)
            if not (is_over and is_late):  # EnvPool calls that truncated only.
                assert got[2] == (0.0 if is_over else 1.0)
            np.testing.assert_allclose(row.observation[index], observation, atol=1e-4)
            if is_last:
                ends.append(is_over)
    assert {True, False} == set(ends)
    return starts[0]


def test_gymnasiums_own_vector_of_cartpole():
    settings = GymnasiumSettings(max_episode_steps=20, vectorized=True)
    source = find_environments("CartPole-v1", settings)
    assert not source.is_on_device and not source.releases_gil
    vector = source.make_vector(seed=5, num_envs=3)
    assert type(vector) is NativeVector and vector.num_envs == 3
    assert vector.observation_spec() == source.observation_spec()
    first = follow_beside_cartpole(vector, 150, limit=20)
    vector.close()
    again = source.make_vector(seed=5, num_envs=3)
    np.testing.assert_array_equal(again.reset().observation, first)
    other = source.make_vector(seed=6, num_envs=3)
    assert (other.reset().observation != first).any()
    plain = find_environments("CartPole-v1").make_vector(seed=5, num_envs=3)
    assert type(plain) is SerialVector
    plain.close()


def test_one_line_where_there_is_no_vector_of_that_kind():
    settings = GymnasiumSettings(vectorized=True)
    with pytest.raises(ValueError, match=r"'Acrobot-v1': has no vector_entry_point"):
        find_environments("Acrobot-v1", settings).make_vector(0, 2)
    settings = GymnasiumSettings(vectorized=True, keywords='{"colour": 3}')
    with pytest.raises(ValueError, match=r"unexpected keyword argument 'colour'"):
        find_environments("CartPole-v1", settings).specs()

    class SameStep(gymnasium.vector.VectorEnv):
        metadata = {"autoreset_mode": AutoresetMode.SAME_STEP}  # noqa: RUF012

        def __init__(self, num_envs):
            self.num_envs = num_envs

    gymnasium.register("SameStep-v0", "none:None", vector_entry_point=SameStep)
    try:
        settings = GymnasiumSettings(vectorized=True)
        with pytest.raises(ValueError, match="SAME_STEP; must be NEXT_STEP"):
            find_environments("SameStep-v0", settings).make_vector(0, 2)
    finally:
        gymnasium.registry.pop("SameStep-v0")


class StandIn(types.ModuleType):
    """What of EnvPool is called, made of Gymnasium's CartPole."""

    def list_all_envs(self):
        return ["CartPole-v1", "Pong-v5"]

    def make_spec(self, task, max_episode_steps=500, **keywords):
        if keywords:
            raise TypeError(f"Config.__new__() got an unexpected keyword {[*keywords]}")
        made = gymnasium.make(task)
        return types.SimpleNamespace(
            observation_space=made.observation_space, action_space=made.action_space
        )

    def make(self, task, env_type, num_envs, env_seed, num_threads, max_episode_steps=500):
        assert env_type == "gymnasium" and len(env_seed) == num_envs
        made = SyncVectorEnv(
            [lambda: gymnasium.make(task, max_episode_steps=max_episode_steps)] * num_envs
        )
        reset = made.reset
        made.reset = lambda: reset(seed=env_seed)
        return made


@pytest.fixture(params=["stand-in", "installed"])
def envpool(request, monkeypatch):
    if request.param == "installed":
        pytest.importorskip("envpool")
        return
    module = StandIn("envpool")
    module.__spec__ = importlib.util.spec_from_loader("envpool", None)
    monkeypatch.setitem(sys.modules, "envpool", module)


def test_a_vector_of_envpool(envpool):
    named = find(ENV, "envpool/CartPole-v1")
    settings = named.default_settings()
    source = find_environments("envpool/CartPole-v1", type(settings)(max_episode_steps=20))
    assert source.releases_gil and not source.is_on_device
    vector = source.make_vector(seed=5, num_envs=3)
    assert vector.observation_spec() == source.observation_spec()
    assert source.action_spec().num_values == 2
    first = follow_beside_cartpole(vector, 150, limit=20)
    assert (first[0] != first[1]).any()
    vector.close()
    again = source.make_vector(seed=5, num_envs=3)
    np.testing.assert_array_equal(again.reset().observation, first)
    other = source.make_vector(seed=6, num_envs=3).reset().observation
    assert (other != first).all(-1).all()


def test_envpools_mistakes_are_one_line(envpool):
    with pytest.raises(ValueError, match="mean 'envpool/CartPole-v1'"):
        find_environments("envpool/CartPoll-v1")
    settings = find(ENV, "envpool/CartPole-v1").default_settings()
    settings = type(settings)(keywords='{"colour": 3}')
    with pytest.raises(ValueError, match="unexpected keyword"):
        find_environments("envpool/CartPole-v1", settings).specs()


def test_envpool_that_is_not_installed(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match="pip install 'tolman\\[envpool\\]'"):
        find_environments("envpool/Pong-v5")


def test_a_vector_of_one_is_an_environment():
    assert check_environment(FirstCopy(native(Sums, 1)))
    environment = FirstCopy(native(Sums, 1))
    steps = [environment.step(2) for _ in range(7)]
    # FIRST, then 2 a step until 10, which is over; then FIRST again.
    assert [each.step_type for each in steps] == [FIRST, MID, MID, MID, MID, LAST, FIRST]
    assert steps[5].discount == 0.0 and steps[5].reward == 5.0
    assert steps[0].reward is None and environment.new_task
