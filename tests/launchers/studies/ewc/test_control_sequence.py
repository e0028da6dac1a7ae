"""The study of small games in turn: its numbers by hand, and once from end to end."""

import json
import os
import signal
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tolman.launchers import cli
from tolman.launchers.studies.ewc import control_sequence
from tolman.launchers.studies.ewc.control_sequence import (
    Budget,
    Learned,
    half_width,
    interval,
    make_agent,
    make_switch,
)
from tolman.launchers.studies.study import Study

# A game has 25 updates, and a row and a checkpoint every 5.
SMALL = Budget(600, 3, 4, 2, 5, (30.0,), (1.0,), 1e5)
KILLED = """
import os, signal, sys
from tolman.launchers.cli import main
from tolman.launchers.runs import loop
from tolman.launchers.studies.ewc import control_sequence

def train(runner, state, num_updates):
    if runner.agent.config.strength == 30 and int(state.updates[0]) == 35:
        os.kill(os.getpid(), signal.SIGKILL)
    return unbroken(runner, state, num_updates)

loop.SECONDS_BETWEEN_CHECKPOINTS = 0.0
control_sequence.QUICK = control_sequence.Budget(600, 3, 4, 2, 5, (30.0,), (1.0,), 1e5)
unbroken = control_sequence.SequenceRunner.train
control_sequence.SequenceRunner.train = train
sys.exit(main())
"""


def test_what_is_kept_by_hand():
    one = np.array([[1.0, 0.0, 0.0], [0.5, 0.8, 0.0], [0.25, 0.6, 0.9]])
    learned = Learned(1.0, np.stack([one, one - 0.1]), np.arange(3), np.zeros((3, 3, 2)))
    np.testing.assert_allclose(learned.average, [1.75 / 3, 1.75 / 3 - 0.1])
    np.testing.assert_allclose(learned.lost, [(0.75 + 0.2) / 2] * 2)
    np.testing.assert_allclose(learned.when_learned(2), [0.9, 0.8])
    # Three members: t = 4.303, standard deviation 1.
    assert half_width(np.array([1.0, 2.0, 3.0])) == pytest.approx(4.303 / np.sqrt(3))
    assert interval(np.array([1.0, 1.0, 1.0])) == "1.00 ± 0.00"


def test_l2_holds_all_shared_weights_alike_and_begins_the_next_game():
    agent = make_agent(1.0)
    assert agent.config.strength == 1.0 and agent.config.torso_size == 100
    assert make_switch("ewc", agent) is None is make_switch("strong", agent)
    state = jax.jit(agent.init)(jax.random.PRNGKey(0))
    told = jax.jit(make_switch("l2", agent))(state, (), jax.random.PRNGKey(1), 0, 2)
    fisher, centre = told.elastic.quadratic.fisher, told.elastic.quadratic.centre
    assert all((leaf == 1).all() for leaf in jax.tree.leaves(fisher.shared))
    assert not any(leaf.any() for leaf in jax.tree.leaves(fisher.own))
    shared = state.params.weights.shared
    jax.tree.map(np.testing.assert_array_equal, centre.shared, shared)
    assert told.task == 2 and isinstance(told.task, jnp.ndarray)


@pytest.mark.slow
def test_from_end_to_end(tmp_path, monkeypatch):
    budget = Budget(600, 3, 4, 2, 1, (30.0,), (1.0, 3.0), 1e5)
    monkeypatch.setattr(control_sequence, "QUICK", budget)
    study = Study("ewc/control_sequence", "", "", True, 0, tmp_path)
    control_sequence.run(study)
    assert len(study.checks) == 11 and len(study.tables) == 3
    assert (tmp_path / "figures" / "matrices.png").exists()


def rows_of(stage):
    """Of a training, without what depends on the clock."""
    lines = (stage / "metrics.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    return [{k: v for k, v in row.items() if not k.startswith("time/")} for row in rows]


@pytest.mark.slow
def test_killed_in_the_second_game_it_goes_on_there(tmp_path, monkeypatch):
    """To the bits of a training that nobody killed; what was trained before stays."""
    out = tmp_path / "out"
    words = ["study", "ewc/control_sequence", "--quick", "--out", str(out)]
    code = subprocess.run([sys.executable, "-c", KILLED, *words], env=os.environ).returncode
    assert code == -signal.SIGKILL
    plain, ewc = (out / "training" / name for name in ("plain_0", "ewc_30"))
    assert [path.name for path in sorted((out / "training").iterdir())] == [
        "ewc_30", "plain_0"
    ]  # fmt: skip
    (saved,) = [path for path in (ewc / "checkpoints").iterdir() if path.name.isdigit()]
    assert 600 < int(saved.name) < 1200  # In the second game.
    assert len(rows_of(ewc)) == 7 and rows_of(ewc)[-1]["task/index"] == 3 * [1]
    before = (plain / "metrics.jsonl").read_bytes()

    monkeypatch.setattr(control_sequence, "QUICK", SMALL)
    assert cli.main(words) in (0, 1)  # So few steps prove nothing.
    assert (plain / "metrics.jsonl").read_bytes() == before
    assert "it was killed" in (ewc / "log.txt").read_text()
    whole = Study("ewc/control_sequence", "", "", True, 0, tmp_path / "whole")
    games = [*control_sequence.GAMES]
    learned = control_sequence.learn(whole, "ewc", "ewc", 30.0, games, SMALL)
    rows = rows_of(ewc)
    unbroken = rows_of(tmp_path / "whole" / "training" / "ewc_30")
    np.testing.assert_equal(rows, unbroken)  # NaN, where no episode ended, is NaN.
    assert len(rows) == 15
    found = json.loads((out / "result.json").read_text())
    assert len(found["checks"]) == 11 and found["settings"]["num_env_steps"] == 600
    (line,) = [row for row in found["tables"][0]["rows"] if row[0] == "EWC"]
    assert line[-2:] == [interval(learned.average), interval(learned.lost)]
