"""The conformance check passes sound environments and names what is broken in others."""

import re
import threading

import dm_env
import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from dm_env import specs

from tolman.envs.adapters import DmEnvAdapter
from tolman.envs.checks import ConformanceError, check_values, is_same
from tolman.envs.conformance import check_environment
from tolman.envs.environment import restart, transition
from tolman.envs.meta_rl import TwoStep

HERE = re.escape(__file__)


class Sound:
    """Counts to five; a coin is shown."""

    def reset(self, key):
        state = {"key": key, "time": jnp.int32(0)}
        return state, restart(self.observe(state))

    def step(self, state, action):
        state = {"key": jax.random.split(state["key"])[0], "time": state["time"] + 1}
        return state, transition(action, self.observe(state), state["time"] == 5)

    def observe(self, state):
        return jax.random.uniform(state["key"], (1,))

    def observation_spec(self):
        return specs.BoundedArray((1,), np.float32, 0.0, 1.0)

    def action_spec(self):
        return specs.DiscreteArray(3)


class NoStep:
    reset, observation_spec, action_spec = (
        Sound.reset,
        Sound.observation_spec,
        Sound.action_spec,
    )


class TextActions(Sound):
    def action_spec(self):
        return specs.StringArray(())


class PythonBranch(Sound):
    def step(self, state, action):
        return super().step(state, 0 if action > 0 else 1)


class WrongShape(Sound):
    def observation_spec(self):
        return specs.Array((2,), np.float32)


class WrongDtype(Sound):
    def observe(self, state):
        return super().observe(state).astype(jnp.float16)


class ChangingState(Sound):
    def step(self, state, action):
        state, timestep = super().step(state, action)
        return {**state, "time": state["time"].astype(jnp.float32)}, timestep


class FloatNewTask(Sound):
    def step(self, state, action):
        state, timestep = super().step(state, action)
        return state, timestep._replace(new_task=jnp.float32(0))


class TupleOnly(Sound):
    def reset(self, key):
        return super().reset(key)[1]


class HiddenChance(Sound):
    def step(self, state, action):
        state, timestep = super().step(state, action)
        return state, timestep._replace(reward=jnp.float32(np.random.uniform()))  # noqa: NPY002


class HiddenCounter(Sound):
    calls = 0

    def reset(self, key):
        type(self).calls += 1
        state, timestep = super().reset(key)
        return {**state, "time": jnp.int32(self.calls)}, timestep


class HostChance(Sound):
    """Random outside jax, at run time."""

    def step(self, state, action):
        state, timestep = super().step(state, action)
        noise = jax.pure_callback(
            lambda _: np.float32(np.random.uniform()),  # noqa: NPY002
            jax.ShapeDtypeStruct((), jnp.float32),
            action,
            vmap_method="sequential",
        )
        return state, timestep._replace(reward=noise)


class FirstInStep(Sound):
    def step(self, state, action):
        state, timestep = super().step(state, action)
        step_type = jnp.where(state["time"] == 3, 0, timestep.step_type)
        return state, timestep._replace(step_type=step_type)


class NewTaskInStep(Sound):
    def step(self, state, action):
        state, timestep = super().step(state, action)
        return state, timestep._replace(new_task=state["time"] == 2)


class NeverNewTask(Sound):
    def reset(self, key):
        state, timestep = super().reset(key)
        return state, timestep._replace(new_task=jnp.asarray(False))


class BigDiscount(Sound):
    def step(self, state, action):
        state, timestep = super().step(state, action)
        return state, timestep._replace(discount=jnp.float32(1.5))


class NanReward(Sound):
    def step(self, state, action):
        state, timestep = super().step(state, action)
        return state, timestep._replace(reward=jnp.float32(0) / (state["time"] - 2))


class RewardOnFirst(Sound):
    def reset(self, key):
        state, timestep = super().reset(key)
        return state, timestep._replace(reward=jnp.float32(1))


class OutOfBounds(Sound):
    def observe(self, state):
        return super().observe(state) + 1.0


BROKEN = [
    (NoStep, r"NoStep.step: got nothing"),
    (TextActions, r"action_spec\(\): got StringArray.*must be numbered"),
    (PythonBranch, r"step under jit: got .*Tracer.*; must be traceable"),
    (WrongShape, r"observation shape: got \(1,\); must be \(2,\)"),
    (WrongDtype, r"observation dtype: got float16; must be float32"),
    (ChangingState, r"state after step: got .*float32.*int32"),
    (FloatNewTask, r"TimeStep.new_task: .*must be a scalar bool"),
    (TupleOnly, r"result of reset: got TimeStep; must be a pair"),
    (HiddenChance, r"step: got different results for the same arguments"),
    (HiddenCounter, r"reset: got different results for the same arguments"),
    (HostChance, r"trajectory: got another"),
    (FirstInStep, r"step: step_type: got 0 \(FIRST\)"),
    (NewTaskInStep, r"new_task: got True on a later step"),
    (NeverNewTask, r"reset: new_task: got False"),
    (BigDiscount, r"discount: got 1.5; must be in \[0, 1\]"),
    (NanReward, r"reward: got nan; must be finite"),
    (RewardOnFirst, r"reward on FIRST: got 1.0"),
    (OutOfBounds, r"observation: got 1.*; must be in \[0.0, 1.0\]"),
]


@pytest.mark.parametrize(
    ("broken", "message"), BROKEN, ids=[case[0].__name__ for case in BROKEN]
)
def test_names_the_first_violation_in_one_line(broken, message):
    with pytest.raises(ConformanceError, match=message) as caught:
        check_environment(broken(), num_steps=12)
    assert "\n" not in str(caught.value)


def test_what_is_out_of_bounds_is_told_with_its_own_bounds():
    """Of three numbers with bounds of their own, in two rows, the second of the last."""
    spec = specs.BoundedArray((3,), np.float32, [0, 0, -5], [1, 2, 9])
    check_values("x", spec, np.array([[0, 2, -5], [1, 0, 9]], np.float32), num_axes=1)
    with pytest.raises(ConformanceError, match=r"x: got 2\.5; must be in \[0\.0, 2\.0\]"):
        check_values("x", spec, np.array([[0, 2, 9], [1, 2.5, 9]], np.float32), num_axes=1)


def test_sound_one_passes_and_a_class_is_not_an_instance():
    checked = check_environment(Sound(), num_steps=12)
    assert len(checked) == 8
    assert not [line for line in checked if "note" in line]
    with pytest.raises(ConformanceError, match="the class Sound; must be an instance"):
        check_environment(Sound)


class Constant(Sound):
    def observe(self, state):
        return jnp.zeros(1)


def test_lack_of_chance_and_of_an_end_is_only_noted():
    checked = check_environment(Constant(), num_steps=3)
    notes = [line for line in checked if "note:" in line]
    assert len(notes) == 2
    assert "no episode ended within 3 steps" in notes[0]
    assert "all keys gave the same trajectory" in notes[1]


class Host(dm_env.Environment):
    """Three steps an episode."""

    def reset(self):
        self.time = 0
        return dm_env.restart(np.float32(0.0))

    def step(self, action):
        self.time += 1
        if self.time == 4:
            return self.reset()
        observation = np.float32(self.time)
        if self.time == 3:
            return dm_env.termination(1.0, observation)
        return dm_env.transition(1.0, observation)

    def observation_spec(self):
        return specs.Array((), np.float32)

    def action_spec(self):
        return specs.DiscreteArray(2)


class HostIntReward(Host):
    def step(self, action):
        timestep = super().step(action)
        return timestep if timestep.first() else timestep._replace(reward=1)


class HostSkipsLast(Host):
    def step(self, action):
        timestep = super().step(action)
        return self.reset() if timestep.last() else timestep


class HostNeverRestarts(Host):
    def step(self, action):
        timestep = super().step(action)
        if timestep.first():
            return dm_env.termination(0.0, np.float32(9.0))
        return timestep


class HostRewardOnFirst(Host):
    def reset(self):
        return super().reset()._replace(reward=0.0)


class HostRaises(Host):
    def step(self, action):
        raise RuntimeError("the screen is dark\nand more")


class HostHangs(Host):
    def step(self, action):
        threading.Event().wait()


class HostForgetful(Host):
    def reseed(self, seed):
        """Does nothing, while chance is drawn from elsewhere."""

    def step(self, action):
        timestep = super().step(action)
        noise = np.float32(np.random.uniform())  # noqa: NPY002
        return timestep._replace(observation=noise)


HOST_BROKEN = [
    (HostIntReward, "reward dtype: got int64; must be float64"),
    (HostSkipsLast, "step: step_type: got FIRST in mid-episode"),
    (HostNeverRestarts, "step after LAST: step_type: got"),
    (HostRewardOnFirst, "reset: reward: got 0.0; must be None"),
    (
        HostRaises,
        rf"step: got RuntimeError: the screen is dark \({HERE}:\d+\); must be free",
    ),
    (HostForgetful, "trajectory: got another one from the same seed"),
]


@pytest.mark.parametrize(
    ("broken", "message"), HOST_BROKEN, ids=[case[0].__name__ for case in HOST_BROKEN]
)
def test_names_what_is_broken_in_a_host_environment(broken, message):
    with pytest.raises(ConformanceError, match=message) as caught:
        check_environment(broken(), num_steps=12)
    assert "\n" not in str(caught.value)


def test_sound_host_environments_pass():
    assert "note: no method reseed" in check_environment(Host(), num_steps=12)[-1]
    checked = check_environment(DmEnvAdapter(TwoStep(2), seed=0), num_steps=12)
    assert checked[-1] == "same seed, same trajectory"
    checked = check_environment(gymnasium.make("CartPole-v1"), num_steps=100)
    assert checked[0] == "Gymnasium's own checker is content"


class UnseededGymnasium(gymnasium.Env):
    observation_space = gymnasium.spaces.Box(0.0, 1.0, (1,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.random.uniform(size=1).astype(np.float32), {}  # noqa: NPY002

    def step(self, action):
        return np.zeros(1, np.float32), 0.0, False, False, {}


class ClosesForAll(UnseededGymnasium):
    """As pygame does, closes what every copy in the process draws on."""

    is_open = True

    def reset(self, *, seed=None, options=None):
        assert type(self).is_open
        super().reset(seed=seed)
        return self.np_random.uniform(size=1).astype(np.float32), {}

    def close(self):
        type(self).is_open = False


class AddsArm(gymnasium.Wrapper):
    """A wrapper that takes what the spec cannot hold, and so is not in it."""

    def __init__(self, environment, callback):
        super().__init__(environment)
        self.callback = callback


def test_gymnasium_is_not_rebuilt_from_its_spec():
    gymnasium.register("ClosesForAll-v0", ClosesForAll)
    environment = AddsArm(gymnasium.make("ClosesForAll-v0"), callback=lambda: None)
    checked = check_environment(environment, num_steps=20)
    assert checked[0] == "Gymnasium's own checker is content"
    assert ClosesForAll.is_open


class OutOfSpaceGymnasium(UnseededGymnasium):
    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.full(1, 2.0, np.float32), {}


def test_gymnasium_violation_is_one_line():
    with pytest.raises(ConformanceError, match="Gymnasium's checker: got") as caught:
        check_environment(OutOfSpaceGymnasium())
    assert "\n" not in str(caught.value)
    with pytest.raises(ConformanceError, match="same seed"):
        check_environment(UnseededGymnasium())


class HangingGymnasium(UnseededGymnasium):
    def reset(self, *, seed=None, options=None):
        threading.Event().wait()


def test_what_hangs_is_named(monkeypatch):
    monkeypatch.setattr("tolman.envs.conformance_host.TIMEOUT_SECONDS", 0.2)
    with pytest.raises(ConformanceError, match=r"step: got no answer within 0.2 s"):
        check_environment(HostHangs())
    with pytest.raises(ConformanceError, match=r"checker: got no answer within 0.2 s"):
        check_environment(HangingGymnasium())


def test_two_ways_to_compile_may_differ_in_few_pixels_and_in_nothing_else():
    image = np.zeros((10, 10, 3), np.uint8)
    other = image.copy()
    other[0, 0] = 255  # 3 of 300 bytes.
    assert is_same(image, image.copy()) and not is_same(image, other)
    assert is_same(image, other, pixel_share=0.01)
    assert not is_same(image, other, pixel_share=0.009)
    codes = image.astype(np.int32)
    assert not is_same(codes, codes + (other > 0), pixel_share=0.5)
    assert not is_same(np.uint8([1, 2]), np.uint8([1, 3]), pixel_share=0.9)


class Parting(Sound):
    """A chaotic map, whose steps under vmap differ from those alone.

    The first four of an episode by `first`, of the others one in `every` by `later`.
    """

    def __init__(self, first, later, every=1):
        self.first, self.later, self.every = first, later, every

    def step(self, state, action):
        @jax.custom_batching.custom_vmap
        def differ(place, time):
            return place

        @differ.def_vmap
        def under_vmap(size, is_mapped, place, time):
            later = jnp.where(time % self.every == self.every - 1, self.later, 0.0)
            apart = jnp.where(time < 4, self.first, later)
            return jnp.clip(place + apart, 0.0, 1.0), True

        place = differ(4.0 * state["place"] * (1.0 - state["place"]), state["time"])
        state = {"place": place, "time": state["time"] + 1}
        return state, transition(action, self.observe(state), state["time"] == 40)

    def reset(self, key):
        state = {"place": jax.random.uniform(key), "time": jnp.int32(0)}
        return state, restart(self.observe(state))

    def observe(self, state):
        return state["place"][None]


def test_rounding_that_grows_is_told_from_copies_that_differ():
    grown = "note: alone as under vmap in each step; over many, rounding grows"
    assert grown in check_environment(Parting(1e-6, 1e-6))
    assert grown not in check_environment(Parting(0.0, 0.0))
    # One step of the 40 of an episode may differ, four may not.
    few = re.compile(r"note: alone .* in each step, but for [45] of 19\d; over many")
    assert any(map(few.match, check_environment(Parting(1e-6, 5e-2, every=30))))
    for settings in ((0.3, 0.3), (5e-3, 5e-3), (1e-6, 5e-3), (1e-6, 5e-2, 10)):
        with pytest.raises(ConformanceError, match="another time step from DmEnvAdapter"):
            check_environment(Parting(*settings))
