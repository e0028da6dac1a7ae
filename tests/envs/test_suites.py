"""Environments of other JAX suites: with stand-ins here, with theirs where installed."""

import importlib.machinery
import sys
import types
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from dm_env import specs

from tolman.envs.conformance import check_environment
from tolman.envs.suites import gymnax as adapter
from tolman.envs.suites import make_suite
from tolman.envs.suites import navix as navix_adapter
from tolman.envs.suites.settings import ArcadeSettings, GymnaxSettings, NavixSettings
from tolman.envs.suites.shapes import spec_of
from tolman.launchers.catalog.environments import find_environments
from tolman.launchers.catalog.listing import list_names
from tolman.launchers.catalog.names import ENV, find


class Space(NamedTuple):
    low: object
    high: object
    shape: tuple
    dtype: type = np.float32


class Discrete(NamedTuple):
    n: int
    shape: tuple = ()


class Params(NamedTuple):
    max_steps_in_episode: int = 5

    def replace(self, **changes):
        return self._replace(**changes)


class State(NamedTuple):
    place: object
    time: object


class Walk:
    """Three steps to the right end it, by gymnax's interface of before 1.0.

    Its reset has a Python number where its step has an array of another type.
    """

    def reset_env(self, key, params):
        return jnp.zeros(1), State(0, 0)

    def step_env(self, key, state, action, params):
        state = State(state.place + 1.0 * action, state.time + 1)
        done = self.is_terminal(state, params)
        return jnp.full(1, state.place), state, state.place[None], done, {}

    def is_terminal(self, state, params):
        return (state.place >= 3) | (state.time >= params.max_steps_in_episode)

    def action_space(self, params):
        return Discrete(2)

    def observation_space(self, params):
        return Space(0.0, np.array([9.0]), (1,))


class NewWalk(Walk):
    """The same as from 1.0 on."""

    def is_truncated(self, state, params):
        return state.time >= params.max_steps_in_episode

    def step_env(self, key, state, action, params):
        observation, state, reward, _, info = super().step_env(key, state, action, params)
        return observation, state, reward, state.place >= 3, info


class Arcade(Walk):
    """The same as POPGym Arcade tells of ends; its parameters have no clock."""

    def __init__(self, obs_size, partial_obs):
        self.made_with = obs_size, partial_obs

    def step_env(self, key, state, action, params):
        observation, state, reward, done, _ = super().step_env(key, state, action, Params())
        info = {"terminated": state.place >= 3, "truncated": state.time >= 5}
        return observation, state, reward, done, info


class Endless(Walk):
    def is_terminal(self, state, params):
        return state.place >= 3


def play(environment, actions):
    state, timestep = environment.reset(jax.random.PRNGKey(0))
    rows = [timestep]
    for action in actions:
        state, timestep = environment.step(state, jnp.int32(action))
        rows.append(timestep)
    return [(int(row.step_type), float(row.reward), float(row.discount)) for row in rows]


RIGHT = [(0, 0.0, 1.0), (1, 1.0, 1.0), (1, 2.0, 1.0), (2, 3.0, 0.0)]
STAY = [(0, 0.0, 1.0)] + [(1, 0.0, 1.0)] * 4 + [(2, 0.0, 1.0)]


@pytest.mark.parametrize(
    ("task", "params"),
    [(Walk(), Params()), (NewWalk(), Params()), (Arcade(1, True), object())],
)
def test_an_end_and_a_cut_are_told_apart(task, params):
    environment = adapter.GymnaxTask(task, params)
    assert play(environment, [1, 1, 1]) == RIGHT
    assert play(environment, [0] * 5) == STAY
    # An end at the last moment of the clock is an end.
    assert play(environment, [0, 0, 1, 1, 1])[-1] == (2, 3.0, 0.0)


def test_a_task_without_a_clock_is_never_cut():
    environment = adapter.GymnaxTask(Endless(), object())
    assert play(environment, [0] * 9)[-1] == (1, 0.0, 1.0)
    assert play(environment, [1] * 3)[-1] == (2, 3.0, 0.0)


def test_a_state_keeps_its_types_and_the_contract_holds():
    environment = adapter.GymnaxTask(Walk(), Params())
    (inner, _), _ = jax.eval_shape(environment.reset, jax.random.PRNGKey(0))
    assert (inner.place.dtype, inner.time.dtype) == (jnp.float32, jnp.int32)
    assert "same key, same trajectory" in check_environment(environment)
    assert environment.action_spec() == specs.DiscreteArray(2, name="action")


def test_chance_comes_from_the_key_of_the_reset():
    class Noisy(Walk):
        def reset_env(self, key, params):
            return jax.random.uniform(key, (1,)), State(0, 0)

        def step_env(self, key, state, action, params):
            _, *rest = super().step_env(key, state, action, params)
            return jax.random.uniform(key, (1,)), *rest

    environment = adapter.GymnaxTask(Noisy(), Params())
    state, first = environment.reset(jax.random.PRNGKey(3))
    state, second = environment.step(state, 0)
    _, third = environment.step(state, 0)
    seen = [float(row.observation[0]) for row in (first, second, third)]
    assert len(set(seen)) == 3


def shaped(shape, dtype=np.float32):
    return jax.ShapeDtypeStruct(shape, dtype)


def test_specs_of_spaces():
    assert spec_of(Discrete(3), shaped((), np.int32), "a") == specs.DiscreteArray(
        3, name="a"
    )
    box = spec_of(Space(-1, 2, (2,)), shaped((2,)), "b")
    assert box == specs.BoundedArray((2,), np.float32, -1.0, 2.0, name="b")
    assert spec_of(Space(0, np.inf, (2,)), shaped((2,)), "c") == specs.Array(
        (2,), np.float32, name="c"
    )
    narrow = spec_of(Space(-5, 999, (2,)), shaped((2,), np.uint8), "d")
    assert (narrow.minimum, narrow.maximum) == (0, 255)
    assert type(spec_of(Space(0, 1, ()), shaped((), bool), "e")) is specs.Array
    both = types.SimpleNamespace(spaces={"x": Discrete(2), "y": Space(0, 1, (1,))})
    nest = spec_of(both, {"x": shaped((), np.int32), "y": shaped((1,))}, "f")
    assert (nest["x"].num_values, nest["y"].shape) == (2, (1,))
    row = types.SimpleNamespace(spaces=(Discrete(2), Discrete(4)))
    assert spec_of(row, (shaped(()), shaped(())), "g")[1].num_values == 4
    with pytest.raises(ValueError, match="h: is a object; must be a space of numbers"):
        spec_of(object(), shaped(()), "h")


@pytest.fixture
def stand_ins(monkeypatch):
    """Packages of these names with one task each."""

    def module(name, **contents):
        made = types.ModuleType(name)
        made.__dict__.update(contents)
        made.__spec__ = importlib.machinery.ModuleSpec(name, None)
        monkeypatch.setitem(sys.modules, name, made)

    known = ["Walk-v0", "Endless-v0"]
    tasks = {"Walk-v0": (Walk(), Params()), "Endless-v0": (Endless(), object())}
    module("gymnax", registered_envs=known, make=tasks.get)
    module("popgym_arcade", make=lambda task, **keys: (Arcade(**keys), object()))
    module("popgym_arcade.registration", REGISTERED_ENVIRONMENTS=["WalkEasy"])
    module(
        "navix",
        registry=lambda: {"Navix-Walk-v0": None},
        make=lambda task, **keys: Grid(**keys),
    )
    yield
    adapter.make_gymnax.cache_clear()
    navix_adapter.make_navix.cache_clear()


class GridStep(NamedTuple):
    observation: object
    reward: object
    step_type: object
    t: object


class Grid:
    """navix's interface: ends are step types, and `step` would start the next episode."""

    action_set = (None,) * 2
    observation_space = types.SimpleNamespace(minimum=0, maximum=9, shape=(1,))

    def __init__(self, max_steps=5):
        self._max_steps = max_steps

    def reset(self, key):
        return GridStep(jnp.zeros(1, jnp.int32), 0.0, 0, 0)

    def _step(self, state, action):
        place, t = state.observation + action, state.t + 1
        is_there, is_late = place[0] >= 3, t >= self._max_steps
        kind = jnp.clip(is_late + 2 * is_there, 0, 2)
        return GridStep(place, place[0] * 1.0, kind, t)


def test_ids_of_suites_lead_to_environments_on_the_device(stand_ins):
    source = find_environments("gymnax/Walk-v0")
    assert source.is_on_device
    assert play(source.environment(), [1, 1, 1]) == RIGHT
    assert source.environment() is find_environments("gymnax/Walk-v0").environment()
    short = find_environments("gymnax/Walk-v0", GymnaxSettings(2)).environment()
    assert play(short, [0, 0])[-1] == (2, 0.0, 1.0)
    arcade = make_suite("popgym_arcade/WalkEasy", ArcadeSettings(False, 256), 0)
    assert arcade._environment.made_with == (256, False)
    grid = find_environments("navix/Navix-Walk-v0").environment()
    assert (play(grid, [1, 1, 1]), play(grid, [0] * 5)) == (RIGHT, STAY)
    assert "same key, same trajectory" in check_environment(grid)
    short = make_suite("navix/Navix-Walk-v0", NavixSettings(2), 0)
    assert play(short, [0, 0])[-1] == (2, 0.0, 1.0)
    listed = list_names("envs")["envs"]
    assert {"gymnax/TASK", "navix/TASK", "popgym_arcade/TASK"} <= set(listed)


def test_an_id_that_cannot_be_is_refused(stand_ins):
    for name, told in (
        ("gymnax/Walk-v1", "did you mean 'gymnax/Walk-v0'"),
        ("popgym_arcade/WalkEasi", "did you mean 'popgym_arcade/WalkEasy'"),
        ("navix/Navix-Walk-v1", "did you mean 'navix/Navix-Walk-v0'"),
    ):
        with pytest.raises(ValueError, match=told):
            find(ENV, name)
    with pytest.raises(ValueError, match="max_episode_steps=3: Endless-v0 has no clock"):
        make_suite("gymnax/Endless-v0", GymnaxSettings(3), 0)


@pytest.mark.parametrize("package", ["gymnax", "navix", "popgym_arcade"])
def test_a_suite_that_is_not_installed_is_named(package, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=f"{package} is not installed"):
        find(ENV, f"{package}/Any-v0")
    assert f"{package}/TASK" not in list_names("envs")["envs"]


@pytest.mark.parametrize(
    "name",
    ["gymnax/CartPole-v1", "navix/Navix-Empty-5x5-v0", "popgym_arcade/CountRecallEasy"],
)
def test_a_task_of_theirs_keeps_the_contract(name):
    pytest.importorskip(name.partition("/")[0])
    source = find_environments(name)
    assert "same key, same trajectory" in check_environment(source.environment())
