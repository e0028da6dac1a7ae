"""Actions at the border of an environment: bounds, dtypes, starts, masks, bad numbers."""

import dm_env
import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from acting import ACTIONS, ActionTask
from dm_env import specs
from gymnasium import spaces

from tolman.envs import vector
from tolman.envs.actions import cast_action, clip_action, random_action, value_counts
from tolman.envs.adapters import DmEnvAdapter, GymnasiumAdapter
from tolman.envs.conformance import check_environment
from tolman.envs.gymnasium_env import MaskedObservation
from tolman.envs.host import EnvironmentFault, OnDeviceVector
from tolman.envs.serial_vector import SerialVector

KEY = jax.random.PRNGKey(0)


class Recorder(gymnasium.Env):
    """Keeps its actions; every second one is legal, and from the third step on none."""

    def __init__(self, space, size=0):
        self.action_space = space
        self.observation_space = spaces.Discrete(5)
        self.taken, self._size, self._num_steps = [], size, 0

    def _info(self):
        return {"action_mask": (np.arange(self._size) % 2 == 0) & (self._num_steps < 3)}

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self._num_steps = 0
        return 0, self._info()

    def step(self, action):
        self.taken.append(action)
        self._num_steps += 1
        return 1, 0.0, False, False, self._info()


@pytest.mark.parametrize(
    ("space", "action", "expected"),
    [
        (spaces.Discrete(3, start=-4), [2], -2),
        (spaces.MultiDiscrete([2, 3], start=[10, 0]), [[1, 2]], [11, 2]),
        (spaces.MultiBinary(3), [[1, 0, 1]], [1, 0, 1]),
        (spaces.Box(-1.0, np.array([1.0, 2.0], np.float32)), [[-5.0, 1.5]], [-1.0, 1.5]),
        (spaces.Tuple([spaces.Discrete(2), spaces.MultiBinary(1)]), ([1], [[0]]), (1, [0])),
        (
            spaces.Dict({"a": spaces.Discrete(2), "b": spaces.Box(0.0, 1.0)}),
            {"a": [1], "b": [[7.0]]},
            {"a": 1, "b": [1.0]},
        ),
    ],
    ids=["start", "several", "binary", "box", "tuple", "dict"],
)
def test_gymnasium_gets_actions_of_its_own_space(space, action, expected):
    environment = Recorder(space)
    copies = SerialVector(lambda seed: GymnasiumAdapter(environment, seed), 1)
    copies.reset()
    action = jax.tree.map(np.asarray, action, is_leaf=lambda part: isinstance(part, list))
    copies.step(action)
    copies.close()
    (taken,) = environment.taken
    assert space.contains(taken)
    jax.tree.map(np.testing.assert_allclose, taken, expected)


@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_what_is_not_finite_is_no_action(number):
    copies = SerialVector(
        lambda seed: GymnasiumAdapter(Recorder(spaces.Box(-1, 1, (2,)))), 1
    )
    copies.reset()
    with pytest.raises(
        ValueError, match=f"^action: got {number}; must be finite"
    ) as caught:
        copies.step(np.array([[0.0, number]]))
    assert "\n" not in str(caught.value)
    copies.close()


def test_devices_and_hosts_clip_alike():
    environment = ActionTask("box")
    action = np.array([[-3.0, 5.0], [1.0, 0.5]], np.float32)
    state, _ = vector.reset(environment, jax.random.split(KEY, 2))
    _, row = vector.step(environment, state, jnp.asarray(action))
    np.testing.assert_array_equal(row.observation[:, :2], [[-2.0, 1.0], [1.0, 0.5]])
    on_host = OnDeviceVector(environment, jax.random.split(KEY, 2))
    on_host.reset()
    np.testing.assert_array_equal(on_host.step(action).observation, row.observation)


def test_actions_get_the_dtypes_of_their_spec():
    spec = {"a": ACTIONS["binary"], "b": specs.DiscreteArray(3, np.int64)}
    action = {"a": [[1, 0, 1]], "b": np.array([2], np.int32)}
    cast = cast_action(spec, {"a": np.array(action["a"]), "b": action["b"]})
    assert (cast["a"].dtype, cast["b"].dtype) == (np.int8, np.int64)
    clipped = clip_action(spec, {"a": jnp.array(action["a"]), "b": action["b"]})
    assert (clipped["a"].dtype, clipped["b"].dtype) == (np.int8, np.int32)


def test_masks_of_info_join_the_observation():
    environment = MaskedObservation(Recorder(spaces.MultiDiscrete([2, 3]), 5))
    copies = SerialVector(lambda seed: GymnasiumAdapter(environment, seed), 1)
    row = copies.reset()
    np.testing.assert_array_equal(row.observation["action_mask"], [[1, 0, 1, 0, 1]])
    assert row.observation["observation"].tolist() == [0]
    copies.close()
    with pytest.raises(ValueError, match=r"^action space Box.*must be Discrete or Multi"):
        MaskedObservation(Recorder(spaces.Box(0, 1)))


def test_a_row_without_a_legal_action_is_named_in_one_line():
    environment = MaskedObservation(Recorder(spaces.Discrete(4), 4))
    copies = SerialVector(lambda seed: GymnasiumAdapter(environment, seed), 1, name="stuck")
    copies.reset()
    for _ in range(2):
        copies.step(np.zeros(1, np.int32))
    with pytest.raises(EnvironmentFault, match=r"^env 'stuck', copy 0, step 3: legal act"):
        copies.step(np.zeros(1, np.int32))
    copies.close()


def test_each_number_needs_a_legal_value():
    class Half(Recorder):
        def _info(self):
            return {"action_mask": np.array([1, 1, 0, 0, 0])}

    environment = MaskedObservation(Half(spaces.MultiDiscrete([2, 3])))
    copies = SerialVector(lambda seed: GymnasiumAdapter(environment, seed), 1)
    with pytest.raises(EnvironmentFault, match="legal actions: got none; must be at least"):
        copies.reset()
    copies.close()


def test_an_info_without_a_mask_is_named():
    environment = MaskedObservation(gymnasium.make("CartPole-v1"))
    with pytest.raises(ValueError, match=r'^info: has no "action_mask"'):
        environment.reset()


@pytest.mark.parametrize("name", list(ACTIONS))
def test_the_checks_accept_every_kind_of_action(name):
    checked = check_environment(ActionTask(name), num_steps=20)
    line = "some action is legal until an episode ends"
    assert (line in checked) == ("masked" in name)
    on_host = DmEnvAdapter(ActionTask(name), 0)
    assert (line in check_environment(on_host, num_steps=10)) == ("masked" in name)


def test_the_checks_find_a_row_where_nothing_can_be_done():
    class Stuck(ActionTask):
        def step(self, state, action):
            state, timestep = super().step(state, action)
            seen = timestep.observation
            seen = {**seen, "action_mask": jnp.zeros_like(seen["action_mask"])}
            return state, timestep._replace(observation=seen)

    for environment in (Stuck("masked"), DmEnvAdapter(Stuck("masked"), 0)):
        with pytest.raises(ValueError, match=r"^legal actions: got none; must be at least"):
            check_environment(environment, num_steps=10)


def test_random_actions_reach_every_legal_value_and_no_other():
    spec = ACTIONS["several"]
    assert value_counts({"a": spec, "b": ACTIONS["box"]}) == [2, 3]
    uniform = jax.random.uniform(KEY, (2000, 2))
    free = jax.vmap(lambda numbers: random_action(spec, numbers, None))(uniform)
    assert {tuple(pair) for pair in np.asarray(free).tolist()} == {
        (a, b) for a in (1, 2) for b in (0, 1, 2)
    }
    mask = jnp.array([False, True, True, False, True])
    masked = jax.vmap(lambda numbers: random_action(spec, numbers, mask))(uniform)
    assert {tuple(pair) for pair in np.asarray(masked).tolist()} == {(2, 0), (2, 2)}
    np.testing.assert_allclose((np.asarray(masked)[:, 1] == 2).mean(), 0.5, atol=0.04)


def test_dm_environments_are_checked_by_their_masks():
    class Numbers(dm_env.Environment):
        """`legal_actions` as some board games have it."""

        def reset(self):
            return dm_env.restart({"legal_actions": np.array([0, 1, 1], np.int8)})

        def step(self, action):
            assert action in (1, 2)
            return dm_env.transition(0.0, {"legal_actions": np.array([0, 1, 1], np.int8)})

        def observation_spec(self):
            return {"legal_actions": specs.BoundedArray((3,), np.int8, 0, 1)}

        def action_spec(self):
            return specs.DiscreteArray(3)

    assert "some action is legal until an episode ends" in check_environment(Numbers(), 20)
