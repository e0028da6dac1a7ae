"""Small tasks behind the interfaces of other JAX suites, and packages that have them.

A walk to the right ends at the third step, after which it pays what place it is at; five
steps are all that its clock allows.
"""

import importlib.machinery
import sys
import types
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np


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


class ClockedParams(NamedTuple):
    max_timesteps: int = 5

    def replace(self, **changes):
        return self._replace(**changes)


class World(Walk):
    """The same as Craftax tells it: one function for the end and the clock."""

    default_params = ClockedParams()

    def is_terminal(self, state, params):
        return (state.place >= 3) | (state.time >= params.max_timesteps)


class Endless(Walk):
    def is_terminal(self, state, params):
        return state.place >= 3


class GridState(NamedTuple):
    place: object
    cache: object

    def replace(self, **changes):
        return self._replace(**changes)


class GridStep(NamedTuple):
    observation: object
    reward: object
    step_type: object
    t: object
    state: object

    def replace(self, **changes):
        return self._replace(**changes)


class Grid:
    """navix's interface: ends are step types, and `step` would start the next episode."""

    action_set = (None,) * 2
    observation_space = types.SimpleNamespace(minimum=0, maximum=9, shape=(1,))

    def __init__(self, max_steps=5):
        self._max_steps = max_steps

    def reset(self, key):
        place, picture = jnp.zeros(1, jnp.int32), jnp.zeros((64, 64, 3), jnp.uint8)
        return GridStep(place, 0.0, 0, 0, GridState(place, picture))

    def _step(self, timestep, action):
        place, t = timestep.state.place + action, timestep.t + 1
        is_there, is_late = place[0] >= 3, t >= self._max_steps
        kind = jnp.clip(is_late + 2 * is_there, 0, 2)
        state = timestep.state.replace(place=place)
        return GridStep(place, place[0] * 1.0, kind, t, state)


class Part(NamedTuple):
    """A spec of Jumanji's."""

    shape: tuple
    dtype: type = np.int32
    minimum: object = None
    maximum: object = None

    def generate_value(self):
        raise NotImplementedError


def nested(**parts):
    return types.SimpleNamespace(**parts, generate_value=None)


class CrewStep(NamedTuple):
    observation: object
    reward: object
    discount: object
    step_type: object

    def last(self):
        return self.step_type == 2


class CrewSeen(NamedTuple):
    inner: object
    action_mask: object


class CrewSeenInside(NamedTuple):
    place: object


class Crew:
    """Jumanji's interface with two agents, and an action of two numbers under one mask.

    The walk goes on where the second number is the first one's double. Its clock is told
    as an end of the task, as most of Jumanji tell it.
    """

    action_spec = Part((2,), np.int32, np.zeros(2), np.array([1, 2]))
    observation_spec = nested(
        inner=nested(place=Part((), np.int32)), action_mask=Part((2, 3), bool, False, True)
    )

    def __init__(self, time_limit=5):
        if time_limit is not None:
            self.time_limit = time_limit

    def reset(self, key):
        return self._tell(jnp.int32(0), 0)

    def step(self, state, action):
        place, time = state
        return self._tell(place + (action[0] * 2 == action[1]) * action[0], time + 1)

    def _tell(self, place, time):
        is_last = (place >= 3) | (time >= getattr(self, "time_limit", 99))
        observation = CrewSeen(CrewSeenInside(place), jnp.ones((2, 3), bool))
        reward = jnp.array([0.75, 0.25]) * place
        discount = jnp.where(is_last, 0.0, jnp.ones(2))
        kind = jnp.where(time == 0, 0, 1 + is_last).astype(jnp.int8)
        return (place, time), CrewStep(observation, reward, discount, kind)


class BodyState(NamedTuple):
    obs: object
    reward: object
    done: object
    metrics: dict


class Body:
    """Brax's interface, which writes into what it is given; it starts anywhere."""

    action_size = 1

    def reset(self, key):
        start = jax.random.uniform(key, (1,), maxval=0.5)
        return BodyState(start, jnp.float32(0), jnp.float32(0), {"steps": 0})

    def step(self, state, action):
        state.metrics.update(steps=state.metrics["steps"] + 1)
        place = state.obs + (jnp.sum(action) > 0)
        done = (place[0] >= 3).astype(jnp.float32)
        return BodyState(place, jnp.floor(place[0]), done, state.metrics)


class Benchmark:
    """Goals from 1 to 3, as the seed says."""

    def sample_ruleset(self, key):
        return jax.random.randint(key, (), 1, 4)


class TileParams:
    def __init__(self, max_steps=5, **rules):
        self.max_steps = max_steps
        vars(self).update(rules)

    def replace(self, **changes):
        return TileParams(**{**vars(self), **changes})


RULES = {"MiniGrid-Walk": {}, "XLand-Walk": {"ruleset": 9}}


class TileStep(NamedTuple):
    state: object
    step_type: object
    reward: object
    discount: object
    observation: object

    def last(self):
        return self.step_type == 2


class Tiles:
    """XLand-MiniGrid's interface; a tile's number is the place, its colour the goal."""

    def num_actions(self, params):
        return 2

    def observation_shape(self, params):
        return 1, 1, 2

    def reset(self, params, key):
        goal = getattr(params, "ruleset", 3)
        return self._tell(params, jnp.int32(goal), jnp.int32(0), jnp.int32(0))._replace(
            step_type=jnp.uint8(0)
        )

    def step(self, params, timestep, action):
        goal, place, time = timestep.state
        return self._tell(params, goal, place + action, time + 1)

    def _tell(self, params, goal, place, time):
        over = place >= goal
        return TileStep(
            (goal, place, time),
            jnp.where(over | (time == params.max_steps), 2, 1).astype(jnp.uint8),
            place * 1.0,
            jnp.where(over, 0.0, 1.0),
            jnp.array([[[place, goal]]], jnp.uint8),
        )


def install(monkeypatch):
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
    module("brax")
    module("brax.envs", _envs={"body": Body}, get_environment=lambda name, **keys: Body())
    sys.modules["brax"].envs = sys.modules["brax.envs"]
    crews = {"Crew-v0": Crew, "Alone-v0": lambda: Crew(None)}
    module(
        "jumanji",
        registered_environments=crews.keys,
        make=lambda task, **keys: crews[task](**keys),
    )
    module("craftax")
    module(
        "craftax.craftax_env",
        make_craftax_env_from_name=lambda name, auto_reset: None if auto_reset else World(),
    )
    module(
        "xminigrid",
        registered_environments=lambda: ("MiniGrid-Walk", "XLand-Walk"),
        registered_benchmarks=lambda: ("small",),
        load_benchmark=lambda name: Benchmark(),
        make=lambda task: (Tiles(), TileParams(**RULES[task])),
    )
    module("xminigrid.core")
    module("xminigrid.core.constants", NUM_TILES=13, NUM_COLORS=12)
