"""The control that wipes memories, and the study end to end."""

import jax
import jax.numpy as jnp
import pytest

from tolman.envs.maze.grid import MOVES, GridMaze
from tolman.launchers.studies.meta_rl import one_shot_navigation as study
from tolman.launchers.studies.study import run_study


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


@pytest.mark.slow
def test_the_study_end_to_end(tmp_path, monkeypatch):
    monkeypatch.setattr(study, "QUICK", study.QUICK._replace(num_env_steps=40_000))
    assert run_study("meta_rl/one_shot_navigation", True, 0, tmp_path / "s") in (0, 1)
    figures = {path.stem for path in (tmp_path / "s" / "figures").glob("*.png")}
    assert figures == {"latency", "learning_curves"}
