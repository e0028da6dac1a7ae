"""Latencies by hand, the control that wipes memories, and the study end to end."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tolman.envs.maze.grid import MOVES, GridMaze
from tolman.launchers.studies.meta_rl import one_shot_navigation as study
from tolman.launchers.studies.study import run_study


def player_of(*episodes):
    """From strings, one an episode: a dot for a step, x for a step that finds."""
    found = np.array([[letter == "x" for letter in episode] for episode in episodes])
    return study.Player(found.T[:, None])  # [T, 1, E]


def test_latencies_by_hand():
    player = player_of("...x.x.x", ".......x")
    first, later = player.latency()
    assert first == (4 + 8) / 2  # Four steps and eight, two finds.
    assert later == 4 / 2
    assert player.ratio == 3.0 and player.share_found == 1.0


def test_searches_that_were_cut_short_count():
    first, later = player_of("..x.....", "........").latency()
    assert first == (3 + 8) / 1  # The second episode has no find, and eight steps.
    assert later == np.inf
    assert np.isnan(player_of("..x.....").ratio)
    assert player_of("........").share_found == 0.0


def test_one_who_does_not_remember_has_a_ratio_of_one():
    found = np.random.default_rng(0).random((120, 4, 2000)) < 0.05
    assert study.Player(found).ratio == pytest.approx(1.0, abs=0.03)


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
    assert run_study("meta_rl/one_shot_navigation", True, 0, tmp_path / "s") == 1
    figures = {path.stem for path in (tmp_path / "s" / "figures").glob("*.png")}
    assert figures == {"latency", "learning_curves"}
