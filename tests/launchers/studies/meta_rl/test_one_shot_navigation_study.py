"""The control that wipes memories, and the study end to end."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tolman.envs.maze.grid import MOVES, GridMaze
from tolman.envs.maze.task import GOAL_REWARD
from tolman.launchers.studies.finds import Finds
from tolman.launchers.studies.meta_rl import one_shot_navigation as study
from tolman.launchers.studies.study import Study, run_study


def test_the_wiped_control_opens_a_task_at_every_find():
    maze = GridMaze()
    wiped = study.Wiped(maze, 0.5)
    step = jax.jit(wiped.step)
    moves = ["north"] * 3 + ["west"] * 2 + ["north"]
    for seed in range(30):
        state, row = wiped.reset(jax.random.PRNGKey(seed))
        assert bool(row.new_task)
        for move in moves:
            state, row = step(state, jnp.int32(MOVES.index(move)))
            assert bool(row.new_task) == (float(row.reward) == 1.0)
        if bool(row.new_task):
            return
    raise AssertionError("no find")


def heads(agent):
    """Names of what the network predicts besides policy and value."""
    params = jax.eval_shape(agent.init, jax.random.PRNGKey(0)).params
    return {name.split("_head/")[0] for name in params if "_head/" in name}


def test_in_pixels_the_agent_predicts_and_who_has_no_memory_does_not():
    setting = study.FULL
    maze, size = setting.environment, setting.agent["core_size"]
    assert maze.num_decisions == 2 * setting.agent["unroll_length"] == 150
    agent = setting.make(maze, **setting.agent)
    assert heads(agent) == {"depth_1", "depth_2", "loop"}
    lower, upper = agent.initial_actor_state(1).core[0]
    assert (lower.cell.shape, upper.cell.shape) == ((1, 64), (1, size))
    other = setting.make(maze, **{**setting.agent, **setting.others[study.NO_MEMORY]})
    assert not heads(other) and not jax.tree.leaves(other.initial_actor_state(1).core)


def test_on_the_grid_one_has_no_memory_and_one_no_reward():
    setting, shapes = study.QUICK, {}
    for name, changed in {study.AGENT_NAME: {}, **setting.others}.items():
        agent = setting.make(setting.environment, **{**setting.agent, **changed})
        has_memory = bool(jax.tree.leaves(agent.initial_actor_state(1).core))
        assert has_memory == (name != study.NO_MEMORY)
        shapes[name] = jax.eval_shape(agent.init, jax.random.PRNGKey(0)).params
    (own, other) = (
        [layer["w"].shape[0] for path, layer in shapes[name].items() if "input_g" in path]
        for name in (study.AGENT_NAME, study.NO_REWARD)
    )
    assert [size - 1 for size in own] == other and own  # The reward is a number.


def test_the_wiped_player_is_the_agent_in_the_maze_that_wipes(monkeypatch):
    played = []
    monkeypatch.setattr(study.common, "evaluate", lambda *given: played.append(given[2]))
    monkeypatch.setattr(study, "read_finds", lambda *given: given[-1])
    for setting in (study.QUICK, study.FULL):
        paid = study._play_wiped(None, setting, None, None, None, None)
        assert paid == setting.goal_reward
        assert played.pop() == study.Wiped(setting.environment, setting.goal_reward)


def test_a_find_in_pixels_pays_what_the_study_takes_for_one():
    for setting in (study.QUICK, study.FULL):
        scale = getattr(setting.environment, "reward_scale", 1 / GOAL_REWARD)
        assert (
            setting.goal_reward < np.float32(GOAL_REWARD * scale) <= 2 * setting.goal_reward
        )


def test_members_may_be_chosen():
    assert study.choose(study.FULL, study.Options()) == study.FULL
    sweep = study.choose(study.FULL, study.Options(num_members=1)).sweep
    assert (sweep.num_members, sweep.num_shown) == (1, 1)


def finds_every(*latencies):
    """Of one member, an episode for each tuple: decisions to one find after another."""
    found = np.zeros((60, 1, len(latencies)), bool)
    for episode, steps in enumerate(latencies):
        found[np.cumsum(steps, dtype=int) - 1, 0, episode] = True
    return Finds(found)


@pytest.mark.parametrize(
    ("changes", "number"),
    [
        ({}, None),
        ({study.AGENT_NAME: finds_every((10, 5, 5))}, 0),
        ({study.AGENT_NAME: finds_every(*[(15, 5, 5)] * 19, ())}, 1),
        ({study.NO_MEMORY: finds_every((12, 10, 10), (), (), ())}, 2),
        ({study.NO_MEMORY: finds_every((8, 10, 10), (), (), ())}, 2),
        ({study.WIPED: finds_every((12, 10, 10))}, 3),
        ({study.NO_MEMORY: finds_every(*[(10, 10, 10)] * 3, ())}, 4),
    ],
)
def test_bars_by_hand(tmp_path, changes, number):
    players = {
        study.AGENT_NAME: finds_every((15, 5, 5)),
        study.NO_MEMORY: finds_every((10, 10, 10), (), (), ()),
        study.WIPED: finds_every((10, 10, 10)),
    }
    told = Study("toy", "t", "p", True, 0, tmp_path / "quick")
    study._check(told, {**players, **changes}, most_found=0.75)
    passed = [check.passed for check in told.checks]
    assert passed == [one != number for one in range(5)]
    told = Study("toy", "t", "p", False, 0, tmp_path / "full")
    study._check(told, {**players, **changes}, most_found=None)
    assert [check.passed for check in told.checks] == passed[:4]


@pytest.mark.slow
def test_the_study_end_to_end(tmp_path, monkeypatch):
    monkeypatch.setattr(study, "QUICK", study.QUICK._replace(num_env_steps=40_000))
    assert run_study("meta_rl/one_shot_navigation", True, 0, tmp_path / "s") in (0, 1)
    figures = {path.stem for path in (tmp_path / "s" / "figures").glob("*.png")}
    assert figures == {"latency", "learning_curves"}
