"""The analysis of navigation: scores by hand, heads read in whole episodes, end to end."""

import dataclasses
from unittest.mock import Mock

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles.mazes import segments

from tolman.agents.navigation import NavigationConfig, make_navigation
from tolman.agents.recurrent import RecurrentState
from tolman.envs.environment import TimeStep
from tolman.envs.maze.layouts import named_layouts
from tolman.launchers.catalog.names import make_core
from tolman.launchers.device.episodes import Trajectory
from tolman.launchers.studies.finds import Finds
from tolman.launchers.studies.navigation import analysis as study
from tolman.launchers.studies.navigation import pictures, reading
from tolman.launchers.studies.study import Study, run_study
from tolman.networks.cores import LSTMConfig


def test_scores_by_hand():
    told, true = np.array([1, 1, 0, 0, 1]), np.array([1, 0, 0, 1, 1])
    assert reading.f1(told, true) == pytest.approx(2 * 2 / (3 + 3))
    assert reading.f1(np.zeros(3), np.zeros(3)) == 0.0
    assert reading.accuracy(told, true) == pytest.approx(3 / 5)
    classes = np.zeros((4, 1, 2), int)  # Four frames of two pixels.
    classes[:, 0, 0], classes[:, 0, 1] = [2, 2, 2, 7], [0, 1, 2, 3]
    assert reading.accuracy_of_majority(classes) == pytest.approx((3 + 1) / 8)
    pose = np.array([[0.5, 0.5, 3.0], [3.99, 1.0, 0.0]])
    np.testing.assert_array_equal(reading.cells(pose, 4), [0, 7])


def test_every_head_is_held_against_its_own_truth():
    """Four decisions of one episode, with two cells and two pixels of depth."""
    pose = np.zeros((4, 1, 3), np.float32)
    pose[2:, 0, 0] = 1.5  # Two in cell 0, two in cell 1.
    classes = np.array([[5, 1], [5, 2], [5, 3], [4, 1]]).reshape(4, 1, 1, 2)
    closed = np.array([[False], [True], [True], [False]])
    predicted = {
        "depth_1": np.full((4, 1, 1, 2), 5),
        "depth_2": np.full((4, 1, 1, 2), 1),
        "loop": np.array([[0], [1], [0], [0]]),
        "position": np.ones((4, 1), int),
        "position_of_features": np.array([[0], [0], [1], [0]]),
    }
    observation = {"pose": pose, "depth_classes": classes, "loop_closure": closed}
    scores = study._measure(reading.Reading(observation, predicted), 2)
    assert scores == pytest.approx({
        "majority": 5 / 8, "loop_share": 0.5, "loop": 2 / 3, "depth_1": 3 / 8,
        "depth_2": 2 / 8, "position": 0.5, "position_of_features": 0.75,
    })  # fmt: skip


def test_walls_are_drawn_where_they_stand():
    layout, drawn = named_layouts()["i_maze"], Mock()
    pictures._draw_walls(drawn, layout.arrays.faces, layout.width)
    lines = [call.args for call in drawn.plot.call_args_list]
    found = {(x, y, to_x, to_y) for (x, to_x), (y, to_y) in lines}
    assert found == {tuple(wall) for wall in segments(layout.text).tolist()}


def test_evenness_by_hand():
    """One row of eight alike, one of two alike: ln 8 and ln 2, a third of it."""
    logits = np.full((1, 1, 2, 8), 7.0, np.float32)
    logits[0, 0, 1, 2:] = -99.0
    played = Trajectory(None, None, logits, None, None, None)
    agent = study.make_agent(study.QUICK, study.RANDOM)
    assert reading.evenness(agent, played) == pytest.approx((1 + 1 / 3) / 2)


def test_heads_are_read_with_the_memory_of_their_episode():
    """Over whole episodes at once, what the heads said step by step."""
    maze = dataclasses.replace(study.QUICK.maze, image_size=8, num_frames=24)
    config = NavigationConfig(
        wiring="plain", depth_2_cost=0.0, loop_cost=1.0, decodes_position=True,
        unroll_length=4, batch_size=2, torso_size=8,
    )  # fmt: skip
    specs = maze.observation_spec(), maze.action_spec()
    agent = make_navigation(config, *specs, make_core("lstm", LSTMConfig(8)))
    init = jax.jit(lambda key: agent.init(key).params)
    params = jax.vmap(init)(jax.random.split(jax.random.PRNGKey(0), 2))
    params = jax.tree.map(lambda leaf: 4.0 * leaf, params)
    rng, num_steps, shape = np.random.default_rng(0), 6, (7, 2, 3)  # Rows, P, E.
    observation = {
        name: np.broadcast_to(np.zeros(spec.shape, spec.dtype), (*shape, *spec.shape))
        for name, spec in maze.observation_spec().items()
    }
    observation["rgb"] = rng.integers(0, 256, (*shape, 8, 8, 3)).astype(np.uint8)
    first = np.zeros(shape, bool)
    first[0] = True
    rows = TimeStep(~first * 1, 0.0 * first, 1.0 - first, observation, first)
    action = np.zeros((num_steps, *shape[1:]), np.int32)
    policy = np.zeros((num_steps, *shape[1:], 8), np.float32)
    length = np.full(shape[1:], num_steps)
    played = Trajectory(rows, action, policy, None, 0.0 * length, length)
    found = reading.read_predictions(agent, params, played, member=1)
    assert found.observation["rgb"].shape[:2] == (num_steps, 3)
    one, state = jax.tree.map(lambda leaf: leaf[1], params), agent.initial_actor_state(3)
    step, said = jax.jit(agent.network.step), []
    for time in range(num_steps):
        row = jax.tree.map(lambda leaf, time=time: jnp.asarray(leaf[time, 1]), rows)
        output, core = step(one, row, state)
        state = RecurrentState(core, jnp.zeros(3, jnp.int32))
        said.append(jax.tree.map(lambda leaf: leaf.argmax(-1), output.auxiliary))
    for name, predicted in found.predicted.items():
        np.testing.assert_array_equal(predicted, [one[name] for one in said])
    assert set(found.predicted) == {"loop", "position", "position_of_features"}
    assert len(np.unique(found.predicted["position"])) > 1


def test_probes_read_and_teach_nothing_and_the_other_heads_do():
    for name, heads in ((study.NAV, 5), (study.FF, 2), (study.RANDOM, 5)):
        tasks = study.make_agent(study.QUICK, name)._auxiliary_tasks
        assert len(tasks) == heads
        state = study.make_agent(study.QUICK, name).initial_actor_state(1)
        assert bool(jax.tree.leaves(state.core)) == (name != study.FF)
        for task in tasks:
            assert task.is_probe == ("position" in task.name)


def test_of_black_frames_nothing_is_seen_and_all_else_is_the_same():
    maze = dataclasses.replace(study.QUICK.maze, image_size=8, num_frames=24)
    dark, key = study.Black(maze), jax.random.PRNGKey(0)
    (state, row), (same, black) = jax.jit(maze.reset)(key), jax.jit(dark.reset)(key)
    for _ in range(2):
        assert row.observation["rgb"].any() and not black.observation["rgb"].any()
        bright = {**black.observation, "rgb": row.observation["rgb"]}
        black = black._replace(observation=bright)
        jax.tree.map(np.testing.assert_array_equal, (state, row), (same, black))
        state, row = jax.jit(maze.step)(state, jnp.int32(2))
        same, black = jax.jit(dark.step)(same, jnp.int32(2))


def test_where_nothing_is_paid_the_maze_and_the_heads_are_the_same():
    maze, unpaid = (
        study.make_maze(study.QUICK, name) for name in (study.NAV, study.RANDOM)
    )
    assert unpaid.reward_scale == study.NOTHING < 1e-5
    assert dataclasses.replace(unpaid, reward_scale=maze.reward_scale) == maze
    assert maze == study.QUICK.maze
    heads = {
        name: study.make_agent(study.QUICK, name)._auxiliary_tasks
        for name in study.VARIANTS
    }
    costs = {name: [(task.name, task.cost) for task in one] for name, one in heads.items()}
    assert costs[study.RANDOM] == costs[study.NAV] != costs[study.FF]


def test_checks_by_hand(tmp_path):
    """D1 with and without pictures, the cell against 0.6 and twice the other agent's."""
    nav = {"depth_1": 0.5, "depth_2": 0.6, "majority": 0.3, "loop": 0.7, "position": 0.5}
    told = {
        study.NAV: nav,
        study.RANDOM: {"depth_1": 0.51, "majority": 0.3, "loop": 0.61, "evenness": 0.995},
        study.BLACK: {"depth_1": 0.3, "majority": 0.3},
        study.FF: {"position": 0.2},
    }

    def passed(changes):
        done = Study("navigation/analysis", "", "", True, 0, tmp_path)
        changed = {name: {**told[name], **changes.get(name, {})} for name in told}
        study._check(done, changed, {})
        return [check.passed for check in done.checks]

    # D1, D2, F1, the cell; of the random agent evenness, D1, F1; black frames.
    good = {study.NAV: {"depth_1": 0.51}}
    assert passed(good) == [True] * 8
    for number, changes in enumerate([
        {study.NAV: {"depth_1": 0.49}},
        {study.NAV: {"depth_2": 0.49}},
        {study.NAV: {"loop": 0.6}},
        {study.FF: {"position": 0.26}},
        {study.RANDOM: {"evenness": 0.98}},
        {study.RANDOM: {"depth_1": 0.49}},
        {study.RANDOM: {"loop": 0.6}},
        {study.BLACK: {"depth_1": 0.32}},
    ]):  # fmt: skip
        broken = {name: {**good.get(name, {}), **changes.get(name, {})} for name in told}
        assert passed(broken) == [one != number for one in range(8)]
    assert passed({study.FF: {"position": 0.9}, study.NAV: {"position": 0.61}})[3] is True
    # From pixels to the plateau: the first find takes longer than later ones, too.
    for steps, is_good in (([13, 10, 10], True), ([12, 10, 10], False)):
        found = np.zeros((40, 1, 1), bool)
        found[np.cumsum(steps) - 1] = True
        done = Study("navigation/analysis", "", "", False, 0, tmp_path)
        changed = {**told, study.NAV: {**nav, **good[study.NAV]}}
        study._check(done, changed, {study.NAV: Finds(found)})
        assert [check.passed for check in done.checks] == [True] * 8 + [is_good]


@pytest.mark.slow
def test_the_quick_study_runs_end_to_end(tmp_path, monkeypatch):
    short = dataclasses.replace(study.QUICK, num_decisions=4_000, num_episodes=3)
    monkeypatch.setattr(study, "QUICK", short)
    assert run_study("navigation/analysis", True, 0, tmp_path / "s") in (0, 1)
    figures = {path.stem for path in (tmp_path / "s" / "figures").glob("*.png")}
    assert figures == {"depth", "paths", "learning_curves"}
