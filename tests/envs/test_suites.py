"""Environments of other JAX suites: with stand-ins here, with theirs where installed."""

import importlib.machinery
import sys
import types
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from dm_env import specs
from suite_stand_ins import (
    Arcade,
    Crew,
    Discrete,
    Endless,
    NewWalk,
    Params,
    Part,
    Space,
    State,
    TileParams,
    Tiles,
    Walk,
    install,
    nested,
)
from toys import make_agent

from tolman.envs import suites, vector
from tolman.envs.conformance import check_environment
from tolman.envs.suites import gymnax as adapter
from tolman.envs.suites import jumanji as jumanji_adapter
from tolman.envs.suites import make_suite
from tolman.envs.suites.settings import (
    ArcadeSettings,
    BraxSettings,
    SuiteSettings,
    XMiniGridSettings,
)
from tolman.envs.suites.shapes import spec_of
from tolman.envs.suites.xminigrid import XMiniGridTask
from tolman.launchers.catalog.environments import find_environments
from tolman.launchers.catalog.listing import list_names
from tolman.launchers.catalog.names import ENV, find
from tolman.launchers.settings.commands import parse_train
from tolman.launchers.settings.files import load_config, save_config


@pytest.fixture
def stand_ins(monkeypatch):
    """Packages with one task or two each."""
    install(monkeypatch)
    yield
    suites._make.cache_clear()


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


def test_actions_of_a_box_are_continuous():
    class Push(Walk):
        def action_space(self, params):
            return Space(-2.0, 2.0, (1,))

        def step_env(self, key, state, action, params):
            return super().step_env(key, state, action[0], params)

    spec = adapter.GymnaxTask(Push(), Params()).action_spec()
    assert spec == specs.BoundedArray((1,), np.float32, -2.0, 2.0, name="action")


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
    plain = {"x": Discrete(2), "y": Space(0, 1, (1,))}
    for several in (both, plain):
        nest = spec_of(several, {"x": shaped((), np.int32), "y": shaped((1,))}, "f")
        assert (nest["x"].num_values, nest["y"].shape) == (2, (1,))
    row = types.SimpleNamespace(spaces=(Discrete(2), Discrete(4)))
    assert spec_of(row, (shaped(()), shaped(())), "g")[1].num_values == 4
    with pytest.raises(ValueError, match="h: is a object; must be a space of numbers"):
        spec_of(object(), shaped(()), "h")


def test_numbers_under_one_mask_are_one_action_and_agents_one_player(stand_ins):
    crew = find_environments("jumanji/Crew-v0").environment()
    assert crew.action_spec() == specs.DiscreteArray(6, name="action")
    assert set(crew.observation_spec()) == {"inner.place", "action_mask"}
    right = 1 * 3 + 2  # The combination (1, 2).
    assert play(crew, [right] * 3) == RIGHT
    assert play(crew, [0] * 5) == STAY
    assert play(crew, [3] * 5) == STAY  # (1, 0).
    assert play(crew, [0, 0, right, right, right])[-1] == (2, 3.0, 0.0)
    assert play(make_suite("jumanji/Crew-v0", SuiteSettings(2), 0), [0, 0])[-1] == (2, 0, 1)
    alone = find_environments("jumanji/Alone-v0").environment()
    assert play(alone, [0] * 9)[-1] == (1, 0.0, 1.0)
    for environment in (crew, alone):
        assert "some action is legal until an episode ends" in check_environment(
            environment
        )
    with pytest.raises(ValueError, match="max_episode_steps=3: Alone-v0 has no clock"):
        make_suite("jumanji/Alone-v0", SuiteSettings(3), 0)


def test_a_task_is_over_where_it_is_over_for_all_agents():
    class Half(Crew):
        """At its end the second agent could go on."""

        def step(self, state, action):
            state, timestep = super().step(state, action)
            return state, timestep._replace(discount=timestep.discount.at[1].set(1.0))

    assert play(jumanji_adapter.JumanjiTask(Half()), [5] * 3)[-1] == (2, 3.0, 1.0)


def test_a_mask_for_each_number_leaves_the_action_as_it_is(stand_ins):
    class Pair(Crew):
        """Its spec has a value more than its mask; the second number has no legal one."""

        action_spec = Part((3,), np.int16, 0, np.array([2, 2, 2]))
        observation_spec = nested(
            inner=nested(place=Part((), np.int32)), action_mask=Part((3, 2), bool)
        )

        def _tell(self, place, time):
            state, timestep = super()._tell(place, time)
            mask = jnp.array([[True, False], [False, False], [True, True]])
            seen = timestep.observation._replace(action_mask=mask)
            return state, timestep._replace(observation=seen)

    pair = jumanji_adapter.JumanjiTask(Pair())
    spec = pair.action_spec()
    assert (spec.shape, spec.dtype, spec.maximum.tolist()) == ((3,), np.int16, [1, 1, 1])
    state, first = pair.reset(jax.random.PRNGKey(0))
    _, second = pair.step(state, jnp.zeros(3, jnp.int16))
    for timestep in (first, second):
        mask = timestep.observation["action_mask"].tolist()
        assert mask == [[True, False], [True, True], [True, True]]
    assert "some action is legal until an episode ends" in check_environment(pair)


def test_a_body_starts_anew_and_is_cut_by_its_clock(stand_ins):
    body = make_suite("brax/body", BraxSettings(5), 0)
    assert body.action_spec() == specs.BoundedArray((1,), np.float32, -1, 1, name="action")
    assert (play(body, [1, 1, 1]), play(body, [0] * 5)) == (RIGHT, STAY)
    assert play(body, [0, 0, 1, 1, 1])[-1] == (2, 3.0, 0.0)
    assert "same key, same trajectory" in check_environment(body)
    starts = vector.reset(body, jax.random.split(jax.random.PRNGKey(0), 4))
    states, timestep = starts
    seen = [timestep.observation[:, 0]]
    for _ in range(12):  # An end of each copy, and the start after it.
        states, timestep = vector.step(body, states, jnp.zeros((4, 1)))
        if (timestep.step_type == 0).all():
            seen.append(timestep.observation[:, 0])
    assert len(seen) == 3
    assert len(np.unique(np.stack(seen))) == 12


def test_the_physics_of_a_body_are_those_that_are_asked_for(stand_ins, monkeypatch):
    asked = []
    make = sys.modules["brax.envs"].get_environment
    monkeypatch.setattr(
        sys.modules["brax.envs"],
        "get_environment",
        lambda name, **keys: asked.append((name, keys)) or make(name),
    )
    for backend in ("spring", None):
        make_suite("brax/body", BraxSettings(7, backend), 0)
    assert asked == [("body", {"backend": "spring"}), ("body", {})]


def test_a_state_that_was_handed_out_stays_as_it_was(stand_ins):
    body = make_suite("brax/body", BraxSettings(), 0)
    state, _ = body.reset(jax.random.PRNGKey(0))
    body.step(state, jnp.ones(1))
    assert int(state.inner.metrics["steps"]) == 0


def test_an_agent_of_numbered_actions_refuses_a_body_in_one_line(stand_ins):
    body = make_suite("brax/body", BraxSettings(), 0)
    with pytest.raises(ValueError, match=r"needs numbered actions .*Train ppo,") as caught:
        make_agent("dqn", body, "lstm")
    assert "\n" not in str(caught.value)


def test_files_that_a_suite_cannot_fetch_are_one_line(stand_ins, monkeypatch):
    def make(task):
        raise FileNotFoundError("no\nnetwork")

    monkeypatch.setattr(sys.modules["jumanji"], "make", make)
    with pytest.raises(
        ValueError, match=r"fetch what it needs for it \(FileNotFoundError: no"
    ):
        find_environments("jumanji/Crew-v0").environment()


def test_a_task_that_its_suite_cannot_make_is_one_line(stand_ins, monkeypatch):
    def make(task):
        return np.clip(task, a_mini=0)

    monkeypatch.setattr(sys.modules["jumanji"], "make", make)
    monkeypatch.setattr(suites, "version", {"jumanji": "1.1.2", "jax": "0.12.0"}.get)
    with pytest.raises(ValueError, match="cannot make it") as caught:
        find_environments("jumanji/Crew-v0").environment()
    told = str(caught.value)
    assert told.startswith(
        "env 'jumanji/Crew-v0': jumanji 1.1.2 with jax 0.12.0 cannot make it (TypeError: "
    )
    assert "\n" not in told


def test_what_brax_prints_and_warns_of_itself_is_left_out(tmp_path, monkeypatch, capsys):
    folder = tmp_path / "brax"
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "envs.py").write_text(
        "import warnings\n"
        "from suite_stand_ins import Body\n"
        "print('Failed to import warp')\n"
        "_envs = {'body': Body}\n"
        "def get_environment(name, **keys):\n"
        "    warnings.warn('Brax System is not maintained')\n"
        "    return Body()\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("brax", "brax.envs"):
        monkeypatch.setitem(sys.modules, name, None)  # What is imported is taken out again.
        del sys.modules[name]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert find(ENV, "brax/body").build(BraxSettings(), 0).action_spec().shape == (1,)
    suites._make.cache_clear()
    told = capsys.readouterr()
    assert (told.out, told.err) == ("", "")


def test_a_tile_is_told_by_two_numbers_and_the_goal_drawn_anew(stand_ins):
    drawn = make_suite("xminigrid/XLand-Walk", XMiniGridSettings(benchmark="small"), 0)
    spec = drawn.observation_spec()
    assert (spec["tile"].shape, spec["tile"].maximum, spec["tile"].dtype) == (
        (1, 1),
        12,
        np.int32,
    )
    assert spec["color"].maximum == 11
    goals = set()
    for seed in range(20):
        state, timestep = drawn.reset(jax.random.PRNGKey(seed))
        goal = int(timestep.observation["color"][0, 0])
        goals.add(goal)
        for _ in range(goal):
            state, timestep = drawn.step(state, 1)
        assert int(timestep.observation["tile"][0, 0]) == goal
        assert (int(timestep.step_type), float(timestep.discount)) == (2, 0.0)
    assert goals == {1, 2, 3}
    assert "same key, same trajectory" in check_environment(drawn)


def test_a_goal_and_its_grid_are_drawn_by_keys_of_their_own(stand_ins):
    """One key for both would tie the one to the other."""
    keys = {}

    class Rules:
        def sample_ruleset(self, key):
            keys["rules"] = key
            return jnp.int32(2)

    class Grid(Tiles):
        def reset(self, params, key):
            keys["grid"] = key
            return super().reset(params, key)

    drawn = XMiniGridTask(Grid(), TileParams(ruleset=1), Rules())
    drawn.reset(jax.random.PRNGKey(0))
    assert not np.array_equal(keys["rules"], keys["grid"])


def test_ids_of_suites_lead_to_environments_on_the_device(stand_ins):
    source = find_environments("gymnax/Walk-v0")
    assert source.is_on_device
    assert play(source.environment(), [1, 1, 1]) == RIGHT
    assert source.environment() is find_environments("gymnax/Walk-v0").environment()
    short = find_environments("gymnax/Walk-v0", SuiteSettings(2)).environment()
    assert play(short, [0, 0])[-1] == (2, 0.0, 1.0)
    arcade = make_suite("popgym_arcade/WalkEasy", ArcadeSettings(False, 256), 0)
    assert arcade._environment.made_with == (256, False)
    grid = find_environments("navix/Navix-Walk-v0").environment()
    assert (play(grid, [1, 1, 1]), play(grid, [0] * 5)) == (RIGHT, STAY)
    assert "same key, same trajectory" in check_environment(grid)
    carried, _ = jax.eval_shape(grid.reset, jax.random.PRNGKey(0))
    assert carried.state.cache is None  # No picture goes from step to step.
    world = find_environments("craftax/Craftax-Symbolic-v1").environment()
    tiles = find_environments("xminigrid/MiniGrid-Walk").environment()
    for environment in (world, tiles):
        assert (play(environment, [1, 1, 1]), play(environment, [0] * 5)) == (RIGHT, STAY)
        assert play(environment, [0, 0, 1, 1, 1])[-1] == (2, 3.0, 0.0)
        assert "same key, same trajectory" in check_environment(environment)
    for name, settings in (
        ("navix/Navix-Walk-v0", SuiteSettings(2)),
        ("craftax/Craftax-Symbolic-v1", SuiteSettings(2)),
        ("xminigrid/MiniGrid-Walk", XMiniGridSettings(2)),
    ):
        assert play(make_suite(name, settings, 0), [0, 0])[-1] == (2, 0.0, 1.0)
    listed = list_names("envs")["envs"]
    assert {f"{package}/TASK" for package in suites.SUITES} <= set(listed)


@pytest.mark.parametrize(
    ("name", "flags"),
    [
        ("gymnax/Walk-v0", []),
        ("gymnax/Walk-v0", ["--env.max-episode-steps", "3"]),
        ("popgym_arcade/WalkEasy", []),
        ("xminigrid/MiniGrid-Walk", []),
        ("brax/body", ["--env.backend", "spring"]),
    ],
)
def test_a_run_of_a_suite_is_stored_and_read_again(name, flags, stand_ins, tmp_path):
    config = parse_train(["ppo", "--env", name, "--num-env-steps", "1", *flags])
    save_config(config, tmp_path / "config.yaml")
    assert load_config(tmp_path / "config.yaml") == config


def test_an_id_that_cannot_be_is_refused(stand_ins):
    for name, told in (
        ("gymnax/Walk-v1", "did you mean 'gymnax/Walk-v0'"),
        ("popgym_arcade/WalkEasi", "did you mean 'popgym_arcade/WalkEasy'"),
        ("navix/Navix-Walk-v1", "did you mean 'navix/Navix-Walk-v0'"),
        ("brax/Body", "did you mean 'brax/body'"),
        ("jumanji/Crew-v1", "did you mean 'jumanji/Crew-v0'"),
        ("craftax/Craftax-v1", "did you mean 'craftax/Craftax-Pixels-v1'"),
        ("xminigrid/MiniGrid-Wlak", "did you mean 'xminigrid/MiniGrid-Walk'"),
    ):
        with pytest.raises(ValueError, match=told):
            find(ENV, name)
    for name in ("braxx/body", "jumanij/Crew-v0"):
        with pytest.raises(ValueError, match=r"did you mean '(brax|jumanji)/\.\.\.'"):
            find(ENV, name)
    with pytest.raises(ValueError, match="max_episode_steps=3: Endless-v0 has no clock"):
        make_suite("gymnax/Endless-v0", SuiteSettings(3), 0)
    for task, benchmark, told in (
        ("XLand-Walk", "smal", "is unknown .did you mean 'small'"),
        ("MiniGrid-Walk", "small", "has rules of its own"),
    ):
        with pytest.raises(ValueError, match=told):
            make_suite(f"xminigrid/{task}", XMiniGridSettings(benchmark=benchmark), 0)


@pytest.mark.parametrize("package", sorted(suites.SUITES))
def test_a_suite_that_is_not_installed_is_named(package, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=f"{package} is not installed"):
        find(ENV, f"{package}/Any-v0")
    assert f"{package}/TASK" not in list_names("envs")["envs"]


@pytest.mark.parametrize(
    "name",
    [
        "brax/reacher",
        "craftax/Craftax-Classic-Symbolic-v1",
        "gymnax/CartPole-v1",
        "jumanji/Minesweeper-v0",
        "jumanji/Connector-v3",
        "navix/Navix-Empty-5x5-v0",
        "popgym_arcade/CountRecallEasy",
        "xminigrid/MiniGrid-DoorKey-5x5",
    ],
)
def test_a_task_of_theirs_keeps_the_contract(name):
    pytest.importorskip(name.partition("/")[0])
    source = find_environments(name)
    assert "same key, same trajectory" in check_environment(source.environment())
