"""One trajectory, whichever interface it is seen through."""

import dm_env
import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from dm_env import specs
from gymnasium import spaces
from gymnasium.utils.env_checker import check_env
from hypothesis import given, settings
from hypothesis import strategies as st

from tolman.envs import vector
from tolman.envs.adapters import DmEnvAdapter, GymnasiumAdapter, space_to_spec, to_gymnasium
from tolman.envs.environment import restart, transition
from tolman.envs.gymnasium_env import spec_to_space
from tolman.envs.host import OnDeviceVector
from tolman.envs.meta_rl import DependentBandit, TwoStep


class TwoEpisodeTask:
    """A task that spans two episodes of three steps; the secret tells which task it is."""

    def reset(self, key):
        return self._start(jax.random.randint(key, (), 0, 1_000_000), jnp.int32(0))

    def next_episode(self, state, key):
        secret = jax.random.randint(key, (), 0, 1_000_000)
        is_new = state["episode"] == 1
        secret = jnp.where(is_new, secret, state["secret"])
        return self._start(secret, jnp.where(is_new, 0, 1))

    def step(self, state, action):
        state = {**state, "time": state["time"] + 1}
        return state, transition(action, state["secret"], False, state["time"] == 3)

    def observation_spec(self):
        return specs.Array((), np.int32, "secret")

    def action_spec(self):
        return specs.DiscreteArray(2)

    def _start(self, secret, episode):
        state = {"secret": secret, "episode": episode, "time": jnp.int32(0)}
        return state, restart(secret, new_task=episode == 0)


def play_vector(environment, seeds, actions):
    keys = jnp.stack([jax.random.PRNGKey(seed) for seed in seeds])

    @jax.jit
    def play():
        state, first = vector.reset(environment, keys)

        def step(state, action):
            return vector.step(environment, state, jnp.full(len(seeds), action))

        return first, jax.lax.scan(step, state, jnp.asarray(actions, jnp.int32))[1]

    first, rest = play()
    return jax.tree.map(lambda a, b: np.concatenate([a[None], b]), first, rest)


def test_new_task_is_held_across_episodes_through_vector_and_adapter():
    actions = np.zeros(20, np.int32)
    played = play_vector(TwoEpisodeTask(), [0, 1], actions)
    # An episode is FIRST and three steps; every other one opens a task.
    np.testing.assert_array_equal(
        np.flatnonzero(played.step_type[:, 0] == 0), range(0, 21, 4)
    )
    np.testing.assert_array_equal(np.flatnonzero(played.new_task[:, 0]), [0, 8, 16])
    secrets = played.observation[:, 0]
    assert len(set(secrets[0:8])) == len(set(secrets[8:16])) == 1
    assert len(set(secrets)) == 3
    assert (played.observation[:, 0] != played.observation[:, 1]).all()

    adapter = DmEnvAdapter(TwoEpisodeTask(), seed=0)
    timesteps, new_tasks = [adapter.reset()], [adapter.new_task]
    for action in actions:
        timesteps.append(adapter.step(action))
        new_tasks.append(adapter.new_task)
    np.testing.assert_array_equal(new_tasks, played.new_task[:, 0])
    np.testing.assert_array_equal([step.observation for step in timesteps], secrets)
    last = timesteps[3]
    assert last.last()
    assert last.discount == 1.0


@settings(max_examples=3, deadline=None)
@given(st.integers(0, 1000))
def test_adapter_equals_vector(seed):
    actions = np.random.default_rng(seed).integers(2, size=45)
    played = play_vector(TwoStep(), [seed, seed + 1], actions)
    adapter = DmEnvAdapter(TwoStep(), seed)
    timesteps = [adapter.reset(), *(adapter.step(action) for action in actions)]
    for time, timestep in enumerate(timesteps):
        assert timestep.step_type == played.step_type[time, 0]
        np.testing.assert_array_equal(timestep.observation, played.observation[time, 0])
        if timestep.first():
            assert timestep.reward is None
            assert timestep.discount is None
        else:
            assert timestep.reward == played.reward[time, 0]
            assert timestep.discount == played.discount[time, 0]


def test_adapter_types_and_reseed():
    adapter = DmEnvAdapter(DependentBandit(3), seed=4)
    assert adapter.step(0).first()  # As dm_env has it, where no episode is under way.
    timestep = adapter.step(1)
    assert isinstance(timestep.reward, np.float32)
    assert isinstance(timestep.discount, np.float32)
    assert isinstance(timestep.observation, np.ndarray)
    assert adapter.reward_spec().dtype == np.float32
    adapter.reseed(4)
    assert adapter.step(0).first()
    assert adapter.new_task is True
    again = adapter.step(1)
    assert again.reward == timestep.reward
    assert adapter.new_task is False


class Pointer:
    """Is steered by a number and a key, and shows the number."""

    def reset(self, key):
        return jnp.float32(0.0), restart(jnp.float32(0.0))

    def step(self, state, action):
        number, key = action["number"], action["key"]
        assert (number.dtype, number.shape, key.dtype) == (np.float32, (1,), np.int32)
        return number[0], transition(key.astype(float), number[0], False, False)

    def observation_spec(self):
        return specs.Array((), np.float32)

    def action_spec(self):
        number = specs.BoundedArray((1,), np.float32, -1.0, 1.0)
        return {"number": number, "key": specs.DiscreteArray(3)}


def test_actions_of_plain_python_take_the_dtypes_of_their_spec():
    keys = jax.random.split(jax.random.PRNGKey(0))
    adapter, vectored = DmEnvAdapter(Pointer(), seed=0), OnDeviceVector(Pointer(), keys)
    adapter.reset()
    vectored.reset()
    timestep = adapter.step({"number": np.array([0.5]), "key": True})
    assert (timestep.observation, timestep.reward) == (0.5, 1.0)
    timestep = vectored.step({"number": np.array([[0.5], [0.25]]), "key": [True, False]})
    assert timestep.observation.tolist() == [0.5, 0.25]


class Toy(gymnasium.Env):
    """Ends by termination after two steps, or by truncation after three."""

    observation_space = spaces.Dict(
        {
            "place": spaces.Box(-1.0, 1.0, (2,), np.float64),
            "level": spaces.Discrete(3, start=5),
            "more": spaces.Tuple([spaces.MultiDiscrete([2, 4]), spaces.MultiBinary(2)]),
        }
    )
    action_space = spaces.Discrete(2, start=1)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.time, self.seed = 0, seed
        self.buffer = np.zeros(2)
        return self._observe(), {}

    def step(self, action):
        assert self.action_space.contains(action)
        self.time += 1
        terminated = self.time == 2 and action == 2
        told = {"is_success": terminated, "fuel": 9 - self.time, "words": "none"}
        return self._observe(), int(action), terminated, self.time == 3, told

    def _observe(self):
        self.buffer[:] = self.time / 4  # Written in place, as many environments do.
        return {
            "place": self.buffer,
            "level": np.int64(7),
            "more": (np.array([1, 3]), [0, 1]),
        }


def test_gymnasium_terminated_and_truncated():
    adapter = GymnasiumAdapter(Toy(), seed=11)
    first = adapter.reset()
    assert adapter.environment.seed == 11
    assert adapter.new_task is True
    assert adapter.action_spec().num_values == 2
    assert first.observation["level"] == 2  # Counted from the start of the space.
    terminated = [adapter.step(1), adapter.step(1)]
    assert [step.step_type for step in terminated] == [
        dm_env.StepType.MID,
        dm_env.StepType.LAST,
    ]
    assert [float(step.discount) for step in terminated] == [1.0, 0.0]
    # Action 1 is the space's 2, and Toy pays the action.
    assert [float(step.reward) for step in terminated] == [2.0, 2.0]
    assert adapter.step(0).first()
    assert adapter.environment.seed is None
    truncated = [adapter.step(0) for _ in range(3)]
    assert [float(step.discount) for step in truncated] == [1.0, 1.0, 1.0]
    assert truncated[-1].last()
    places = [float(step.observation["place"][0]) for step in truncated]
    assert places == [0.25, 0.5, 0.75]


def test_what_is_told_of_an_episode_is_told_at_its_end():
    plain, asked = GymnasiumAdapter(Toy()), Toy()
    asked.log_info = ("fuel",)
    for adapter, told in (
        (plain, {"is_success": 1.0}),
        (GymnasiumAdapter(asked), {"is_success": 1.0, "fuel": 7.0}),
    ):
        adapter.reset()
        seen = []
        for _ in range(2):
            adapter.step(1)
            seen.append(adapter.episode_info)
        assert seen == [{}, told]
        adapter.reset()
        assert adapter.episode_info == {}


class SharedBuffer(gymnasium.Env):
    """Writes every observation, of the dtype that is delivered, into one buffer."""

    observation_space = spaces.Dict({"place": spaces.Box(0.0, 9.0, (1,), np.float32)})
    action_space = spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.buffer = np.zeros(1, np.float32)
        return {"place": self.buffer}, {}

    def step(self, action):
        self.buffer += 1
        return {"place": self.buffer}, 0.0, False, False, {}


def test_gymnasium_observations_are_copies():
    adapter = GymnasiumAdapter(SharedBuffer())
    steps = [adapter.reset(), adapter.step(0), adapter.step(0)]
    assert [float(step.observation["place"][0]) for step in steps] == [0.0, 1.0, 2.0]


def test_gymnasium_specs():
    spec = GymnasiumAdapter(Toy()).observation_spec()
    assert spec["place"].dtype == np.float32
    assert spec["level"].num_values == 3
    assert spec["more"][0].dtype == np.int32
    np.testing.assert_array_equal(spec["more"][0].maximum, [1, 3])
    observation = GymnasiumAdapter(Toy()).reset().observation
    jax.tree.map(lambda leaf_spec, leaf: leaf_spec.validate(leaf), spec, observation)
    box = space_to_spec(spaces.Box(-np.inf, np.inf, (1,), np.float64), "box")
    assert np.isinf(box.maximum).all()
    with pytest.raises(ValueError, match="observation space Text"):
        space_to_spec(spaces.Text(3), "observation")


@pytest.mark.parametrize("environment", [TwoStep(), TwoEpisodeTask()])
@pytest.mark.filterwarnings("ignore")
def test_exported_environment_passes_gymnasiums_checker(environment):
    check_env(to_gymnasium(environment), skip_render_check=True)


def test_exported_and_imported_again_is_the_same():
    there = DmEnvAdapter(TwoStep(2), seed=3)
    back = GymnasiumAdapter(to_gymnasium(TwoStep(2), seed=8), seed=3)
    for action in (0, 1, 0, 1, 1, 0, 1):
        one, other = there.step(action), back.step(action)
        assert one.step_type == other.step_type
        assert one.reward == other.reward
        assert one.discount == other.discount
        np.testing.assert_array_equal(one.observation, other.observation)


def test_exported_truncation():
    exported = to_gymnasium(TwoEpisodeTask())
    _, info = exported.reset(seed=0)
    assert info == {"new_task": True}
    results = [exported.step(0) for _ in range(3)]
    assert [result[2:4] for result in results] == [
        (False, False),
        (False, False),
        (False, True),
    ]
    assert exported.reset()[1] == {"new_task": False}


def test_spec_to_space():
    space = spec_to_space(
        {"a": specs.Array((2,), np.float32), "b": (specs.Array((1,), np.uint8),)}
    )
    assert space["a"] == spaces.Box(-np.inf, np.inf, (2,), np.float32)
    assert space["b"][0] == spaces.Box(0, 255, (1,), np.uint8)
    assert spec_to_space(specs.Array((3,), bool)) == spaces.MultiBinary((3,))
    with pytest.raises(ValueError, match="must hold numbers"):
        spec_to_space(specs.StringArray(()))
