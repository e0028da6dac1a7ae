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
    player = player_of("...x.x.xx", ".......x.")  # The second has one find: too few.
    np.testing.assert_array_equal(player.latencies(), [[4, 2, 2]])
    assert player.latency() == (4.0, 2.0)
    assert player.ratio == 2.0 and player.share_found == 1.0
    both = player_of("...x.x.xx", "xxxx.....")
    assert both.latency() == ((4 + 1) / 2, (2 + 2 + 1 + 1) / 4)


def test_episodes_without_finds_have_no_latency():
    player = player_of("..x.....", "........")
    assert np.isnan(player.ratio) and player.share_found == 0.5


def test_who_goes_to_one_alcove_alone_does_not_remember():
    """Where the goal is there it is found in every walk, elsewhere never: ratio 1."""
    assert player_of(".....x" * 4, "." * 24, "." * 24).ratio == 1.0


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
